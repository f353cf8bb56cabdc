"""Checks of a patch schedule: what each host must answer before the next batch is patched.

Rules kept here: a check has exactly one of http, tcp and command; http and tcp are asked from the controller,
a command runs on the host and changes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from itmp.documents import Block
from itmp.documents.inputs import replace
from itmp.documents.scalars import Duration, Line, Name, Port, Templated
from itmp.plan.model import Host, HttpProbe, Probe, TcpProbe

_URL: Final = re.compile(r"https?://[^\s/]+(/\S*)?")


class Http(Block):
    """Ask `url` until it answers `status` and, where `contains` is given, its body holds that text."""

    url: Annotated[str, StringConstraints(pattern=r"^(https?://|\$\{)[^\s]+$", max_length=2000)]
    status: Templated[Annotated[int, Field(ge=100, le=599)]] = 200
    contains: str = ""


class Tcp(Block):
    """Connect to `port` of the host."""

    port: Templated[Port]


class Command(Block):
    """Run `argv` on the host until it exits with `rc`."""

    argv: Annotated[tuple[str | int, ...], Field(min_length=1)]
    rc: Templated[Annotated[int, Field(ge=0, le=255)]] = 0
    every: Templated[Duration] = 2


class Check(Block):
    """One check of every host, repeated until it is right or `within` has passed."""

    id: Name
    title: Line | None = None
    http: Http | None = None
    tcp: Tcp | None = None
    command: Command | None = None
    within: Templated[Duration] = 60


def probe(check: Check, host: Host) -> Probe | None:
    """Return what to ask of `host`, or `None` when its address makes no URL."""
    address = f"[{host.address}]" if ":" in host.address else host.address
    if not address:
        return None
    if check.tcp is not None:
        return TcpProbe(host=host.address, port=int(check.tcp.port))
    if check.http is None:
        return None
    url, contains = _fill(check.http.url, host, address), _fill(check.http.contains, host, host.address)
    if not _URL.fullmatch(url):
        return None
    return HttpProbe(url=url, status=int(check.http.status), contains=contains)


def _fill(text: str, host: Host, address: str) -> str:
    known = {"name": host.name, "address": address, "port": str(host.port)}
    return replace(text, lambda space, name: known.get(name) if space == "host" else None)


def command_tasks(check: Check, command: Command) -> Sequence[Mapping[str, Any]]:
    """Return the task that repeats the command until its answer is right, for about `within` seconds."""
    right = f"itmp_check.rc | default(-1) == {command.rc}"
    every = max(int(command.every), 1)
    return [
        {
            "name": check.title or f"Check {check.id}",
            "ansible.builtin.command": {"argv": [str(part) for part in command.argv]},
            "register": "itmp_check",
            "changed_when": False,
            "until": right,
            "failed_when": f"not ({right})",
            "retries": max(int(check.within) // every, 1),
            "delay": every,
        }
    ]
