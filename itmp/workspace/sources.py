"""The door `Sources` over the real world: Ansible's part and Pulumi's part, merged.

Only the part that a document needs is loaded, so a runbook compiles without the Pulumi extra and a capacity
adjustment without Ansible.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.plan import Facts, Needs
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.runbook import Prompt

_CATALOG: Final = "playbooks"


def gather(place: Workspace, needs: Needs, inventories: tuple[str, ...]) -> Facts:
    """Look at the world for `needs`; raise an `Error` that names every problem."""
    facts = Facts()
    if needs.plays or needs.patterns:
        facts = facts.joined(_ansible(place, needs, inventories))
    if needs.stacks:
        facts = facts.joined(_pulumi(place, needs))
    return facts


def prompts(place: Workspace, playbook: str) -> "tuple[Prompt, ...]":
    """Return what the plays of a playbook ask a person for."""
    from itmp.adapters.ansible.prompts import asked  # noqa: PLC0415 - only runbooks need it

    return asked(place.root, _CATALOG, playbook)


def _ansible(place: Workspace, needs: Needs, inventories: tuple[str, ...]) -> Facts:
    from itmp.workspace.engines import need  # noqa: PLC0415 - needs the ansible extra

    need("ansible", "ansible")
    from itmp.adapters.ansible import AnsibleSources  # noqa: PLC0415 - as above

    named = place.config.ssh_config
    return AnsibleSources(
        place.root,
        inventories,
        known_hosts=place.config.known_hosts,
        ssh_config=place.root / Path(named).expanduser() if named else None,
        callbacks=place.config.callbacks,
        unpinned=place.has_log and place.history().latest.policy.unpinned_hosts,
    ).gather(needs)


def _pulumi(place: Workspace, needs: Needs) -> Facts:
    from itmp.workspace.engines import pulumi_sources  # noqa: PLC0415 - needs the pulumi extra

    return pulumi_sources(place).gather(needs)
