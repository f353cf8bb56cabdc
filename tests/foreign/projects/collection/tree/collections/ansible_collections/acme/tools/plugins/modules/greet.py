#!/usr/bin/python
DOCUMENTATION = """
module: greet
short_description: writes a greeting
options:
  path: {type: path, required: true}
  who: {type: str, required: true}
"""
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.acme.tools.plugins.module_utils.words import greeting


def main():
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "who": {"required": True}},
        supports_check_mode=True,
    )
    path, text = Path(module.params["path"]), greeting(module.params["who"])
    changed = not path.exists() or path.read_text() != text
    if changed and not module.check_mode:
        path.write_text(text)
    module.exit_json(changed=changed)


main()
