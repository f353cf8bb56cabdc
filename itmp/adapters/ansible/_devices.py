"""Holds what other SSH libraries know of devices against the keys that the plan pins.

The libraries under `network_cli` and `netconf` read the executor's own known_hosts, and no option names them another
file. Rules kept here: a device with a pinned key is reached only while those files hold that key or nothing of it, and
no other key of a type that the plan pins; whoever answers with another one is then a stranger to the library, which
refuses strangers. What this cannot hold is noted in the plan: a device without a pinned key, one that a container
reaches, and a key of a type that the plan does not pin, which the library takes where those files hold it too.
"""

import os
import pwd
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import _versions, _ways, layout
from itmp.adapters.ansible._tasks import own_library
from itmp.adapters.ansible._ways import Ways
from itmp.adapters.known_hosts import SSH_PORT, Key, PinnedKeys, place
from itmp.errors import StaleError, ToolMissingError
from itmp.plan import Plan
from itmp.plan.model import Host

_OF_ALL: Final = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/openssh/ssh_known_hosts"))
_NETCONF_PORT: Final = 830
_SHOWN: Final = 5


def notes(
    ways: Ways, hosts: Iterable[Mapping[str, Any]], pinned: bytes, *, contained: bool = False
) -> Iterator[str]:
    """Yield a line for each device whose key the library alone checks, and one for what it does with the others'."""
    keys, at = PinnedKeys(data=pinned), {host["name"]: host for host in hosts}
    held = []
    for name, way in sorted(ways.of.items()):
        if not own_library(way.connection):
            continue
        own, _ = _names(way.connection, str(at[name]["address"]), int(at[name]["port"]))
        if contained:
            yield (
                f"host {name}: {way.connection:.80} checks the device's key by the image's own known_hosts files, "
                "not by the plan's pinned keys"
            )
        elif not _of(keys, own):
            yield (
                f"host {name}: {way.connection:.80} checks the device's key by the executor's ~/.ssh/known_hosts, "
                "not by the plan's pinned keys: pin one (itmp hosts scan)"
            )
        else:
            held.append(name)
    if held:
        more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
        yield (
            f"hosts {', '.join(held[:_SHOWN])}{more}: their SSH library also takes a key of a type that the plan "
            "does not pin, where the executor's known_hosts holds one for the device beside the pinned one"
        )


def reachable(plan: Plan, hosts: set[str]) -> None:
    """Raise unless this machine can reach the hosts as the plan says; a container knows devices by its own files."""
    artifacts, inventory = plan.manifest.artifacts, plan.manifest.inventory
    data = plan.artifact(layout.WAYS) if layout.WAYS in artifacts else b""
    ways = Ways(of={name: way for name, way in Ways.from_bytes(data).of.items() if name in hosts})
    _ways.require(ways)
    contained = plan.manifest.versions.get(_versions.ENVIRONMENT)
    if inventory and not contained and any(own_library(way.connection) for way in ways.of.values()):
        for files in read_here():
            require(inventory.hosts, ways, plan.artifact(layout.KNOWN_HOSTS), files)


def read_here() -> list[tuple[Path, ...]]:
    """Return the files that the libraries read together, once for each place that one of them takes for home.

    paramiko and ncclient ask $HOME first, libssh the account's entry. Raises `ToolMissingError` without either.
    """
    homes = [os.path.expanduser("~")]  # noqa: PTH111 -- what paramiko's plugin asks; Path's raises without a home
    with suppress(KeyError):  # an account without an entry, as in many containers
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    found = dict.fromkeys(home for home in homes if Path(home).is_absolute())
    if not found:
        raise ToolMissingError(
            "this account has no home folder, so its known_hosts cannot be held against the plan's",
            where="~/.ssh/known_hosts",
            do="Set HOME, or give the account an entry in /etc/passwd.",
        )
    return [(Path(home, ".ssh", "known_hosts"), *_OF_ALL) for home in found]


def require(hosts: Iterable[Host], ways: Ways, pinned: bytes, read: Iterable[Path]) -> None:
    """Raise `StaleError` when a device is known by `read` otherwise than the plan pins it, before anything is begun.

    Raises `ToolMissingError` for a file that is there and cannot be read: a library may know more of it than we.
    """
    devices = [host for host in hosts if host.name in ways.of and own_library(ways.of[host.name].connection)]
    plan, files = PinnedKeys(data=pinned), {path: _read(path) for path in read if devices}
    for host in devices:
        own, besides = _names(ways.of[host.name].connection, host.address, host.port)
        ours, known = _of(plan, own), {path: _of(keys, own + besides) for path, keys in files.items()}
        if not ours:
            continue
        allowed, types = {*_prints(ours), *_prints(_of(plan, besides))}, {key.type for key in ours.values()}
        for path, found in known.items():
            for (name, _), key in found.items():
                if key.type in types and key.fingerprint not in allowed:
                    raise StaleError(
                        f"{path} knows the device by another key than the plan's",
                        where=f"host {host.name}",
                        do=f"Find out which key is its own. If the plan's is: {_removal(name, path)}, and add "
                        f"the line: {_line(own, ours)}",
                    )
        theirs = {print_ for found in known.values() for print_ in _prints(found)}
        if theirs and not theirs & _prints(ours):
            path = next(path for path, found in known.items() if found)
            raise StaleError(
                f"{path} knows the device by no key that the plan pins, only by one of another type",
                where=f"host {host.name}",
                do=f"If the plan's key is its own, add the line: {_line(own, ours)}",
            )


def _names(connection: str, address: str, port: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names in known_hosts that are the device's, and those that its library asks for besides.

    libssh and paramiko's client ask for `[address]:port` alone, or for the address alone at port 22, where libssh
    takes `[address]:22` too. ncclient, under `netconf`, asks for both at any port, and takes 830 where none is given.
    """
    own = [place(address, port)]
    if port == SSH_PORT:
        own.append(f"[{address}]:{SSH_PORT}")
    if connection.rpartition(".")[2] != "netconf":
        return tuple(own), ()
    return (*own, place(address, _NETCONF_PORT)) if port == SSH_PORT else tuple(own), (address,)


def _of(keys: PinnedKeys, names: Iterable[str]) -> dict[tuple[str, str], Key]:
    return {(name, key.fingerprint): key for name in names for key in keys.keys(name)}


def _prints(keys: Mapping[tuple[str, str], Key]) -> set[str]:
    return {key.fingerprint for key in keys.values()}


def _removal(name: str, path: Path) -> str:
    return f"ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(str(path))} (a line with a pattern: by hand)"


def _line(own: tuple[str, ...], ours: Mapping[tuple[str, str], Key]) -> str:
    return f"{own[0]} {next(iter(ours.values())).text}"


def _read(path: Path) -> PinnedKeys:
    try:
        return PinnedKeys(path)
    except OSError as error:
        raise ToolMissingError(
            f"cannot be read, so it cannot be held against the plan's pinned keys: {error.strerror or error}",
            where=str(path),
            do="Let this account read it, or remove it.",
        ) from error


__all__ = ["notes", "reachable", "read_here", "require"]
