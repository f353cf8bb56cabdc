"""Ansible: reading a project into facts, and carrying out Ansible steps.

`AnsibleSources` and `AnsibleRunner` are loaded when first used, because this package is also imported by
the child processes that import Ansible and need neither.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itmp.adapters.ansible.runner import AnsibleRunner
    from itmp.adapters.ansible.sources import AnsibleSources


def __getattr__(name: str) -> Any:
    if name == "AnsibleSources":
        from itmp.adapters.ansible.sources import AnsibleSources  # noqa: PLC0415 -- see the module's docstring

        return AnsibleSources
    if name == "AnsibleRunner":
        from itmp.adapters.ansible.runner import AnsibleRunner  # noqa: PLC0415 -- see the module's docstring

        return AnsibleRunner
    raise AttributeError(name)


__all__ = ["AnsibleRunner", "AnsibleSources"]
