"""What an approver sees of a plan, as tables; printing them is the command line's business.

Rules kept here: everything that the digest covers and a person can judge is shown, and so is what nobody can
know before the run; every cell is one line in which no character can hide or move another.
"""

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from itmp.documents.guards import Known
from itmp.documents.text import visible
from itmp.plan.bundle import Plan
from itmp.plan.guarding import guard_of, guards_on, meant
from itmp.plan.model import (
    AnsibleStep,
    AskStep,
    CheckStep,
    CommandProbe,
    HostStep,
    HttpProbe,
    LeafStep,
    Manifest,
    Probe,
    PulumiStep,
    RollingStep,
    WaitStep,
)
from itmp.plan.order import added, all_steps, resources, scope, step_hosts

Row = tuple[str, ...]

_NOT_RUN: Final = "not run: guard"
_SIZES: Final = 12
"""How many batch sizes fit on a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table: `key` is stable for programs, `title` and `columns` are for people."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def show(plan: Plan) -> tuple[Section, ...]:
    """Return the sections of `plan` that have something to say, in reading order."""
    manifest = plan.manifest
    sections = (
        _section("plan", "Plan", ("what", "value"), _head(plan)),
        _section("inputs", "Inputs", ("name", "value"), ((k, _json(v)) for k, v in manifest.inputs.items())),
        _section(
            "order", "Order of work", ("step", "title", "hosts", "kind", "when it fails"), _order(manifest)
        ),
        _section("guards", "Guards", ("step", "runs only when", "now"), _guards(manifest)),
        _section("questions", "Questions", ("step", "question", "answer", "roles"), _questions(manifest)),
        _section("waits", "Waits", ("step", "waits"), _waits(manifest)),
        _section("hosts", "Hosts", ("name", "address", "port", "groups", "steps"), _hosts(manifest)),
        _section("ways", "How hosts are reached, where not by plain ssh", ("host", "way"), _ways(manifest)),
        _section("delegates", "Delegates", ("step", "host"), _delegates(manifest)),
        _section("variables", "Variables", ("step", "name", "value"), _variables(manifest)),
        _section("tasks", "Tasks", ("step", "written at", "action", "name", "preview"), _tasks(manifest)),
        _section("checks", "Checks", ("step", "host", "asks"), _checks(manifest)),
        _section(
            "operations",
            "Resource operations",
            ("step", "operation", "input", "old", "new"),
            _operations(manifest),
        ),
        _section(
            "present", "Present values", ("step", "value", "read", "unmoved within"), _present(manifest)
        ),
        _section("undo", "Undo", ("step", "title", "hosts"), _undo(manifest)),
        _section("limits", "Limits", ("what", "value"), _limits(manifest)),
        _section("outside", "Outside the plan", ("step", "reaches"), _outside(manifest)),
        _section("unknown", "Not knowable before the run", ("step", "what"), _unknown(manifest)),
        _section("versions", "Versions", ("tool", "version"), manifest.versions.items()),
        _section("artifacts", "Artifacts", ("path", "digest"), manifest.artifacts.items()),
    )
    return tuple(section for section in sections if section.rows)


def describe_probe(probe: Probe) -> str:
    """Return a probe as one line."""
    if isinstance(probe, HttpProbe):
        holds = f" and holds {_json(probe.contains)}" if probe.contains else ""
        return f"GET {probe.url} answers {probe.status}{holds}"
    if isinstance(probe, CommandProbe):
        prints = f" and prints {_json(probe.contains)}" if probe.contains else ""
        return f"{'as root, ' if probe.become else ''}{shlex.join(probe.argv)} exits with {probe.rc}{prints}"
    return f"TCP connection to {probe.host} port {probe.port}"


def _section(key: str, title: str, columns: tuple[str, ...], rows: Iterable[Row]) -> Section:
    cells = tuple(tuple(visible(cell) for cell in row) for row in rows)
    return Section(key=key, title=title, columns=columns, rows=cells)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _head(plan: Plan) -> Iterator[Row]:
    manifest = plan.manifest
    yield "name", f"{manifest.name}: {manifest.title}"
    yield "kind", manifest.kind
    yield "owner", manifest.owner
    yield "environment", manifest.environment
    yield "risk", manifest.risk
    yield "scope", scope(manifest).text
    yield "document", f"{manifest.document.path} {manifest.document.digest}"
    if manifest.reviewed:
        yield "reviewed", f"{manifest.reviewed.on}, counts until {manifest.reviewed.due}"
    yield "digest", plan.digest
    yield from (("note", note) for note in manifest.notes)


def _order(manifest: Manifest) -> Iterator[Row]:
    for step in manifest.steps:
        if not isinstance(step, RollingStep):
            yield _ordered(manifest, step)
            continue
        more = " + …" if len(step.batches) > _SIZES else ""
        sizes = " + ".join(str(len(batch)) for batch in step.batches[:_SIZES]) + more
        reaction = _reaction(step.on_failure)
        yield step.id, step.title, f"{len(step.hosts)} in batches of {sizes}", "rolling", reaction
        yield from (_ordered(manifest, inner, "  ") for inner in step.steps)


def _ordered(manifest: Manifest, step: LeafStep, pad: str = "") -> Row:
    kind = f"{step.kind}, always" if step.always else step.kind
    kind += f", {_NOT_RUN}" if _settled(manifest, step.id) is False else ""
    return f"{pad}{step.id}", step.title, _reach(step), kind, _reaction(step.on_failure)


def _reaction(word: str) -> str:
    return word if word in {"stop", "continue", "undo"} else f"go on at {word}"


def _reach(step: LeafStep) -> str:
    match step:
        case PulumiStep():
            count = len(step.operations)
            return "1 operation" if count == 1 else f"{count} operations"
        case AskStep():
            return "people"
        case WaitStep():
            return "-"
        case _:
            return str(len(step.hosts))


def _settled(manifest: Manifest, step: str) -> bool | None:
    """Return whether a step's guards hold, as far as the inputs alone decide it."""
    known = [guard_of(one) for one in guards_on(manifest, step)]
    decided = [one.holds(Known(inputs=manifest.inputs)) for one in known if one.settled]
    if False in decided:
        return False
    return True if len(decided) == len(known) else None


def _guards(manifest: Manifest) -> Iterator[Row]:
    says = {True: "holds with these inputs", False: _NOT_RUN, None: "decided while it runs"}
    for name, source in manifest.guards.items():
        guard = guard_of(source)
        yield (
            name,
            source,
            says[guard.holds(Known(inputs=manifest.inputs)) if guard.settled else None],
        )


def _questions(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if isinstance(step, AskStep):
            after = f"after batch {', '.join(map(str, step.after))}: " if step.after else ""
            roles = ", ".join(step.roles) or "any role that the policy lets answer"
            yield step.id, after + step.question, meant(step), roles


def _waits(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if isinstance(step, WaitStep):
            yield (
                step.id,
                f"until {step.until}" if step.until else f"{step.seconds} s from when it is reached",
            )


def _hosts(manifest: Manifest) -> Iterator[Row]:
    steps: dict[str, list[str]] = {}
    for step in all_steps(manifest):
        for host in step_hosts(step):
            steps.setdefault(host, []).append(step.id)
    for one in manifest.inventory.hosts if manifest.inventory else ():
        used = ", ".join(steps.pop(one.name, ["delegate only"]))
        yield one.name, one.address, str(one.port), ", ".join(one.groups), used
    for new in added(manifest).values():
        yield new.name, new.address, str(new.port), "added while it runs", ", ".join(steps.pop(new.name))
    yield from ((name, "", "", "not in the inventory", ", ".join(ids)) for name, ids in sorted(steps.items()))


def _ways(manifest: Manifest) -> Iterator[Row]:
    if manifest.inventory:
        yield from sorted(manifest.inventory.ways.items())
        yield from ((name, "its host key is not checked") for name in manifest.inventory.unpinned)


def _delegates(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if isinstance(step, AnsibleStep):
            yield from ((step.id, host) for host in step.delegates)


def _variables(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if not isinstance(step, AnsibleStep | PulumiStep):
            continue
        plain = step.config if isinstance(step, PulumiStep) else step.vars
        yield from ((step.id, name, _json(value)) for name, value in sorted(plain.items()))
        yield from (
            (step.id, name, f"secret, read at run time from {ref}")
            for name, ref in sorted(step.secrets.items())
        )


def _tasks(manifest: Manifest) -> Iterator[Row]:
    says = {"full": "exact", "none": "skipped or empty", "unknown": "cannot be trusted"}
    for step in all_steps(manifest):
        for task in step.expected if isinstance(step, AnsibleStep) else ():
            kind = "" if task.section == "task" else f" ({task.section})"
            name = f"{task.name}{kind}" + (", no_log" if task.no_log else "")
            yield step.id, f"{task.path}:{task.line}", task.action, name, says[task.check]


def _checks(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if not isinstance(step, HostStep):
            continue
        within = f", within {step.within} s" if isinstance(step, CheckStep) else ", to find out after a crash"
        for host in step.hosts:
            if host in step.probes:
                yield step.id, host, describe_probe(step.probes[host]) + within


def _operations(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        for one in step.operations if isinstance(step, PulumiStep) else ():
            what = f"{one.op} {one.type} {one.name}"
            if not one.inputs:
                yield step.id, what, one.urn, "", ""
            for name, change in sorted(one.inputs.items()):
                yield (
                    step.id,
                    what,
                    name,
                    "unknown to the engine" if change.old is None else _json(change.old),
                    _json(change.new),
                )


def _present(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        for one in step.present if isinstance(step, PulumiStep) else ():
            yield step.id, f"{one.knob} {one.id} {one.field}", str(one.value), f"{one.low}..{one.high}"


def _undo(manifest: Manifest) -> Iterator[Row]:
    for step in manifest.undo:
        yield step.id, step.title, _reach(step)
    if not manifest.undo:
        yield "none", "this plan cannot be taken back by itmp", ""


def _limits(manifest: Manifest) -> Iterator[Row]:
    for step in manifest.steps:
        if isinstance(step, RollingStep):
            largest = max(len(batch) for batch in step.batches)
            yield (
                f"{step.id}: failures",
                f"stops after more than {step.max_failures} failed hosts of {len(step.hosts)}",
            )
            past = f"hosts of one batch run side by side, so up to {largest} may have failed when it stops"
            yield f"{step.id}: overshoot", past
    for leaf in all_steps(manifest):
        if isinstance(leaf, AnsibleStep) and leaf.tags:
            yield f"{leaf.id}: only tags", ", ".join(leaf.tags)
        if isinstance(leaf, AnsibleStep) and leaf.skip_tags:
            yield f"{leaf.id}: not tags", ", ".join(leaf.skip_tags)
        if isinstance(leaf, AnsibleStep | PulumiStep):
            yield f"{leaf.id}: time", f"at most {leaf.timeout} s for each slice"
    gone = "refuse" if manifest.moved.gone == "refuse" else f"skip up to {manifest.moved.skip}"
    yield "hosts gone since", gone
    yield "hosts new since", manifest.moved.new
    yield "resources changed", str(len(resources(manifest)))


def _outside(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if isinstance(step, AnsibleStep):
            yield from ((step.id, what) for what in step.outside)


def _unknown(manifest: Manifest) -> Iterator[Row]:
    for step in all_steps(manifest):
        if isinstance(step, AnsibleStep):
            yield from _unknown_ansible(step)
        elif isinstance(step, PulumiStep):
            fresh = [one.name for one in step.operations if any(c.old is None for c in one.inputs.values())]
            yield from (
                (step.id, f"old values of {name}: the engine sees it for the first time") for name in fresh
            )


def _unknown_ansible(step: AnsibleStep) -> Iterator[Row]:
    yield from ((step.id, f"included while it runs: {what}") for what in step.opaque)
    blind = sum(task.check != "full" for task in step.expected)
    if blind:
        yield step.id, f"what {blind} of {len(step.expected)} tasks would change: a preview cannot tell"
    if step.secrets:
        yield step.id, f"the values behind {len(step.secrets)} secret references"
    if not step.probes:
        yield step.id, "whether it took effect on a host that fell silent: no probe, so a person is asked"
