"""Holds what other SSH libraries know of devices against the keys that the plan pins.

The libraries under `network_cli` and `netconf` read the executor's own known_hosts, and no option names them another
file. Rules kept here: a device with a pinned key is reached only while those files know it by no other key; whoever
answers with another one is then a stranger to the library, which refuses strangers. One without a pinned key is noted.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import _ways, layout
from itmp.adapters.ansible._ways import Ways
from itmp.adapters.known_hosts import SSH_PORT, PinnedKeys
from itmp.errors import StaleError
from itmp.plan import Plan
from itmp.plan.model import Host

READ: Final = (
    Path("~/.ssh/known_hosts"),
    Path("/etc/ssh/ssh_known_hosts"),
    Path("/etc/openssh/ssh_known_hosts"),
)
"""What those libraries read: paramiko as `ansible.builtin.paramiko_ssh` asks it to, libssh by itself."""
_OWN_LIBRARY: Final = frozenset({"network_cli", "netconf"})


def notes(ways: Ways, hosts: Iterable[Mapping[str, Any]], pinned: bytes) -> Iterator[str]:
    """Yield a line for each device whose key no plan pins: the library alone checks it."""
    keys, places = (
        PinnedKeys(data=pinned),
        {host["name"]: (str(host["address"]), int(host["port"])) for host in hosts},
    )
    for name, way in sorted(ways.of.items()):
        if _is_device(way.connection) and not keys.fingerprints(*places[name]):
            yield (
                f"host {name}: {way.connection:.80} checks the device's key by the executor's ~/.ssh/known_hosts, "
                "not by the plan's pinned keys: pin one (itmp hosts scan)"
            )


def reachable(plan: Plan, hosts: set[str], *, contained: bool) -> None:
    """Raise unless this machine can reach the hosts as the plan says; a container knows devices by its own files."""
    artifacts, inventory = plan.manifest.artifacts, plan.manifest.inventory
    data = plan.artifact(layout.WAYS) if layout.WAYS in artifacts else b""
    ways = Ways(of={name: way for name, way in Ways.from_bytes(data).of.items() if name in hosts})
    _ways.require(ways)
    if ways.of and inventory and not contained:
        require(inventory.hosts, ways, plan.artifact(layout.KNOWN_HOSTS))


def require(hosts: Iterable[Host], ways: Ways, pinned: bytes, read: Iterable[Path] = READ) -> None:
    """Raise `StaleError` when a device is known here by a key that the plan does not pin, before anything is begun."""
    devices = [host for host in hosts if host.name in ways.of and _is_device(ways.of[host.name].connection)]
    plan, files = PinnedKeys(data=pinned), {path: PinnedKeys(path.expanduser()) for path in read if devices}
    for host in devices:
        ours = plan.fingerprints(host.address, host.port)
        for path, theirs in files.items():
            found = {
                *theirs.fingerprints(host.address, host.port),
                *theirs.fingerprints(host.address, SSH_PORT),
            }
            if ours and not found <= {*ours, *plan.fingerprints(host.address, SSH_PORT)}:
                raise StaleError(
                    f"{path} knows the device by another key than the plan's",
                    where=f"host {host.name}",
                    do=f"Find out which key is its own; ssh-keygen -R {host.address} -f {path} removes the others.",
                )


def _is_device(connection: str) -> bool:
    return connection.rpartition(".")[2] in _OWN_LIBRARY


__all__ = ["READ", "notes", "reachable", "require"]
