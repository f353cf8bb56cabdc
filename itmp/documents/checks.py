"""How a document asks whether all is well: over HTTP, over TCP, or by a command on the host.

Rules kept here: a check and a probe have exactly one of http, tcp and command; a command changes nothing, and what it
shall print is plain text. A check's command is a task and may hold templates; a probe's is plain text, and asked once.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from itmp.documents.model import Block, Document, Loc
from itmp.documents.problems import Problem
from itmp.documents.scalars import Duration, Port, Templated


class Http(Block):
    """Ask `url` until it answers `status` and, where `contains` is given, its body holds that text."""

    url: Annotated[str, StringConstraints(pattern=r"^(https?://|\$\{)[^\s]+$", max_length=2000)]
    status: Templated[Annotated[int, Field(ge=100, le=599)]] = 200
    contains: str = ""


class Tcp(Block):
    """Connect to `port` of `host`."""

    port: Templated[Port] | Literal["${host.port}"]
    host: str = "${host.address}"


class Command(Block):
    """Run `argv` on the host until it exits with `rc` and, where `contains` is given, prints that text."""

    argv: Annotated[tuple[str | int, ...], Field(min_length=1)]
    rc: Templated[Annotated[int, Field(ge=0, le=255)]] = 0
    contains: str = ""
    every: Templated[Duration] = 2


class ProbeCommand(Block):
    """Run `argv` on the host once: the effect is there if it exits with `rc` and, where given, prints `contains`."""

    argv: Annotated[tuple[str | int, ...], Field(min_length=1)]
    rc: Templated[Annotated[int, Field(ge=0, le=255)]] = 0
    contains: str = ""
    become: bool = False


class _FromHere(Block):
    http: Http | None = None
    tcp: Tcp | None = None


class Probe(_FromHere):
    """How to find out whether an effect is there: http or tcp from the executor, or a command on the host."""

    command: ProbeCommand | None = None


class Check(_FromHere):
    """Exactly one of: http and tcp from the executor, command on the host."""

    command: Command | None = None


def check_findings(document: Document, loc: Loc, asked: Check | Probe) -> Iterator[Problem]:
    """Yield what is wrong with the check or probe at `loc` of `document`, beyond the types."""
    command = asked.command
    if sum(one is not None for one in (asked.http, asked.tcp, command)) != 1:
        yield document.problem(loc, "exactly one of http, tcp and command expected")
    if command is None:
        return
    texts: dict[Loc, str] = {("contains",): command.contains}
    if isinstance(command, ProbeCommand):
        texts |= {("argv", index): str(part) for index, part in enumerate(command.argv)}
    for place, text in texts.items():
        if "{{" in text or "{%" in text:
            yield document.problem(
                (*loc, "command", *place), "a template cannot stand here", "write plain text"
            )


__all__ = ["Check", "Command", "Http", "Probe", "ProbeCommand", "Tcp", "check_findings"]
