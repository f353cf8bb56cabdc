"""Runbooks compiled against a small world, for tests that need a plan made the real way."""

from collections.abc import Mapping
from typing import Final, cast

from itmp import canonical
from itmp.documents import parse, resolve_inputs
from itmp.plan import Plan, Source, Sources, render_play
from itmp.runbook import Runbook, freeze, needs
from itmp.testing.sources import FakeSources

HEAD: Final = """\
itmp: runbook/v1
name: test
title: A test
owner: team-test
environment: lab
risk: low
"""
"""The head of a runbook; a test adds `steps:` and what else it needs."""


def small_world(web: int = 8) -> FakeSources:
    """Return hosts web1 … in group web and lb1 in group lb, with the playbooks `touch` and `drain`."""
    hosts = {**{f"web{number}": ("web",) for number in range(1, web + 1)}, "lb1": ("lb",)}
    touch = render_play("Touch", "web", [{"ansible.builtin.file": {"path": "/srv/x", "state": "touch"}}])
    drain = render_play("Drain", "web", [{"ansible.builtin.command": "drain", "delegate_to": "lb1"}])
    return FakeSources(hosts=hosts, playbooks={"touch": touch, "drain": drain}, delegates={"drain": ("lb1",)})


def read_runbook(data: bytes, path: str = "runbooks/test.yml") -> Runbook:
    """Return the runbook in `data`; raise `DocumentError` with all its problems."""
    return cast("Runbook", parse(path, data, {"runbook/v1": Runbook}))


def compile_runbook(
    data: bytes,
    *,
    sources: Sources | None = None,
    given: Mapping[str, str] | None = None,
    path: str = "runbooks/test.yml",
) -> Plan:
    """Return the plan of a runbook in the world of `sources` (by default the small one)."""
    document = read_runbook(data, path)
    inputs = resolve_inputs(document.inputs, given or {})
    facts = (sources or small_world()).gather(needs(document, inputs))
    return freeze(document, inputs, facts, source=Source(path=path, digest=canonical.digest(data)))
