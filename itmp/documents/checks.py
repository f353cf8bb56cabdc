"""How a document asks whether all is well: over HTTP, over TCP, or by a command on the host.

Rules kept here: a check has exactly one of http, tcp and command, a probe of http and tcp, for it is asked
from the executor; a command changes nothing, and what it shall print is plain text.
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


class Probe(Block):
    """How to find out from the executor whether an effect is there: exactly one of http and tcp."""

    http: Http | None = None
    tcp: Tcp | None = None


class Check(Probe):
    """Exactly one of: http and tcp from the executor, command on the host."""

    command: Command | None = None


def check_findings(document: Document, loc: Loc, asked: Check | Probe) -> Iterator[Problem]:
    """Yield what is wrong with the check or probe at `loc` of `document`, beyond the types."""
    command = asked.command if isinstance(asked, Check) else None
    if sum(one is not None for one in (asked.http, asked.tcp, command)) != 1:
        names = "http, tcp and command" if isinstance(asked, Check) else "http and tcp"
        yield document.problem(loc, f"exactly one of {names} expected")
    if command is not None and ("{{" in command.contains or "{%" in command.contains):
        message = "a template cannot stand here"
        yield document.problem((*loc, "command", "contains"), message, "write plain text")


__all__ = ["Check", "Command", "Http", "Probe", "Tcp", "check_findings"]
