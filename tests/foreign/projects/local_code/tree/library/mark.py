#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.stamping import stamp


def main():
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}})
    module.exit_json(changed=stamp(module.params["path"]))


main()
