"""Where ssh enters the hosts of a plan: names may differ, the place tells that two of them are one machine.

Rules kept here: a place is address and port, where an ssh alias leads if there is one, and the jumps on the way, since
an address behind one bastion need not be the machine that has it behind another; nothing is resolved, because that asks
the network. A host that other connections reach has none.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from itmp.adapters.ansible import layout
from itmp.adapters.ansible._ssh_files import Hop
from itmp.adapters.ansible._ways import Way, Ways
from itmp.plan import AnsibleStep, Plan, all_steps

_SSH: Final = frozenset({"ssh", "smart"})


def entered_at(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield each host that ssh enters, and its place."""
    manifest = plan.manifest
    ways = Ways.from_bytes(plan.artifact(layout.WAYS) if layout.WAYS in manifest.artifacts else b"").of
    for host in manifest.inventory.hosts if manifest.inventory else ():
        way = ways.get(host.name, Way())
        if way.connection in _SSH:
            yield host.name, _place(way.end or Hop(host=host.address, port=host.port), way.via)
    for step in all_steps(manifest):
        for added in step.adds if isinstance(step, AnsibleStep) else ():
            if added.address:
                yield added.name, _place(Hop(host=added.address, port=added.port), ())


def _place(end: Hop, via: tuple[Hop, ...]) -> str:
    return " over ".join(f"{_address(hop.host)}:{hop.port}" for hop in (end, *reversed(via)))


def _address(text: str) -> str:
    try:
        return f"[{found}]" if (found := ip_address(text.strip("[]"))).version == 6 else str(found)  # noqa: PLR2004 -- the version of IP
    except ValueError:
        return text.lower().rstrip(".")
