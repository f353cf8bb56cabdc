"""From a signed start to a permit: gather what the gate judges, ask it, write down what it said.

Rules kept here: the gate is asked with the change's head in hand, and its permit is appended only if that head and the
policy have not moved since; the world is looked at only when every other check has passed, so that a refused run
makes no connection, and only once everything that the run may act on is leased to it, so that what was seen cannot be
moved by another run of this workspace; every refusal is an event.
"""

import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.supervisor import custody
from itmp.audit import Event, Expect, Finding, HeadMovedError, Health
from itmp.calendars import format_time
from itmp.canonical import Digest, digest
from itmp.change import (
    Admission,
    ChangeRecord,
    GateInput,
    Judgement,
    NeedsWorld,
    Permit,
    Refusal,
    World,
    fold,
    judge,
    permit_event,
)
from itmp.change.gate import NAMES
from itmp.change.policy import CLOCK, SYNCHRONISED
from itmp.errors import Error, StaleError
from itmp.plan import AnsibleStep, Host, Manifest, Plan, PulumiStep, all_steps
from itmp.workspace import remembered
from itmp.workspace.engines import container
from itmp.workspace.leases import Leases, TargetHeldError, acted_on
from itmp.workspace.place import EXECUTOR, Workspace

if TYPE_CHECKING:
    from itmp.execution.doors import Phase, Slice

Mode: TypeAlias = Literal["run", "resume", "undo"]
ATTEMPTS: Final = 20
_STARTS: Final = frozenset({"run", "resume", "undo"})
"""Modes that ask what anchors remember; later, the log that stays open finds a rollback by itself."""
_TIMED: Final = frozenset({"run", "resume", "slice"})
"""Modes in which the gate judges times, and so asks for the clock that the policy may demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody's wish to start: `start` is the leaf of the signed statement, `run` the run that it is for."""

    mode: Mode
    change: str
    plan: Plan
    start: Digest | None
    run: str


def admit(place: Workspace, attempt: Attempt, leases: Leases) -> tuple[Admission, Permit] | Refusal:
    """Ask the gate and return its permit, durable, or its refusal, recorded.

    Raises `TargetHeldError`, recorded too, when another change holds what this one would act on.
    """
    for _ in range(ATTEMPTS):
        head, policy = place.log.head_of(attempt.change), place.log.policy_head()
        answer = _judge_fully(place, attempt, leases)
        try:
            if isinstance(answer, Refusal):
                _record_refusal(place, attempt, answer)
                return answer
            event = permit_event(
                answer,
                id=new_id(),
                run=attempt.run,
                manifest=attempt.plan.manifest,
                actor=EXECUTOR,
                binaries={**binaries(), **_clock_said(place, attempt.mode), **container(attempt.plan)},
            )
            receipt = place.log.append(event, expect=Expect(change=attempt.change, head=head, policy=policy))
        except HeadMovedError:
            continue
        place.log.checkpoint()
        return answer, Permit.from_receipt(receipt, manifest=attempt.plan.manifest)
    raise HeadMovedError(
        f"{attempt.change} kept moving", do="Others are acting on it; try again in a moment."
    )


class Recheck:
    """The checks that repeat before each slice, on the leaves as they are now."""

    def __init__(self, place: Workspace, attempt: Attempt) -> None:
        self._place, self._attempt = place, attempt

    def __call__(self, part: "Slice", *, exempt: bool) -> None:
        """Return when `part` may run; raise the refusal's error when it may not."""
        del part  # which slice it is changes nothing for the gate
        alone = exempt or self._attempt.mode == "undo"
        answer = judge(_input(self._place, self._attempt, "always" if alone else "slice", None))
        if isinstance(answer, Refusal):
            raise answer.to_error(self._attempt.change)


def binaries() -> Mapping[str, str]:
    """Return what the permit says of this machine: what the plan's digest must not depend on."""
    return {
        "python": platform.python_version(),
        "platform": sys.platform,
        "machine": platform.machine(),
        "custody": custody.means(),
    }


def world(place: Workspace, plan: Plan) -> World:
    """Look at what the plan rests on: its hosts and variables, its present values. Changes nothing."""
    problems: list[str] = []
    hosts = None
    present: dict[tuple[str, str, str], int] = {}
    problems += _moved_versions(plan.manifest)
    problems += _swapped_scripts(place, plan.manifest)
    try:
        hosts = None if problems else _hosts(place, plan.manifest)
    except Error as error:
        problems.append(f"inventory: {error.what}")
    for step in (*plan.manifest.steps, *plan.manifest.undo):
        for value in step.present if isinstance(step, PulumiStep) else ():
            key = (value.knob, value.id, value.field)
            try:
                present[key] = present[key] if key in present else _present(place, *key)
            except Error as error:
                problems.append(f"{value.knob} {value.id}: {error.what}")
    return World(hosts=hosts, present=present, problems=tuple(problems))


def told_input(place: Workspace, record: ChangeRecord, plan: Plan, now: datetime) -> GateInput:
    """Return the gate's input for the checks that need no start statement (2, 4, 5 and 8), to be told and not acted on.

    `record` is of every leaf, but for what results say; whoever starts something asks the gate, which reads those too.
    """
    health = _with(place.log.health(SystemClock()), _clock(place, "slice"))
    return GateInput(mode="slice", plan=plan, record=record, history=place.history(), health=health, now=now)


def opening(place: Workspace, record: ChangeRecord, plan: Plan) -> str:
    """Return when the window opens that alone keeps a change from running now; empty where something else does."""
    answer = judge(told_input(place, record, plan, SystemClock().now()))
    at = answer.retry_at if isinstance(answer, Refusal) else None
    return format_time(at) if at else ""


def _judge_fully(place: Workspace, attempt: Attempt, leases: Leases) -> Admission | Refusal:
    answer = judge(_input(place, attempt, attempt.mode, None))
    if not isinstance(answer, Refusal) and _lease(place, attempt, answer, leases):
        answer = judge(_input(place, attempt, attempt.mode, None))  # while we waited, time went on
    if isinstance(answer, NeedsWorld):
        found = world(place, attempt.plan)
        if answer.external:
            found = _without_external(found)
        answer = judge(_input(place, attempt, attempt.mode, found))
    return _settled(answer)


def _lease(place: Workspace, attempt: Attempt, answer: Admission | NeedsWorld, leases: Leases) -> bool:
    """Take what the run may act on; write down who holds it when another run does. Return whether we waited."""
    phases: tuple[Phase, ...] = ("undo",) if attempt.mode == "undo" else ("do", "undo")
    try:
        return leases.take(acted_on(attempt.plan, frozenset(answer.hosts), phases=phases))
    except TargetHeldError as error:
        checks = [check.to_data() for check in answer.checks]
        data = {"act": attempt.mode, "exit_code": error.exit_code, "checks": checks}
        _refused(place, attempt.change, attempt.plan.digest, {**data, "held": error.held.to_data()})
        raise


def _settled(answer: Judgement) -> Admission | Refusal:
    assert not isinstance(answer, NeedsWorld)  # noqa: S101 - the gate asks for the world once; it has it now
    return answer


def _without_external(found: World) -> World:
    """No external system is configured in this version: a change that names one cannot be confirmed, so it refuses."""
    from dataclasses import replace  # noqa: PLC0415 - one caller

    return replace(found, external_problem="no external change system is configured here")


def _input(
    place: Workspace,
    attempt: Attempt,
    mode: Literal["run", "resume", "undo", "slice", "always"],
    found: World | None,
) -> GateInput:
    history, now = place.history(), SystemClock().now()
    outside = (*(remembered.compare(place) if mode in _STARTS else ()), *_clock(place, mode))
    leaves = place.log.of_change(attempt.change)
    record = fold(leaves, history, manifest=attempt.plan.manifest, now=now, blob=place.log.blob)
    return GateInput(
        mode=mode,
        plan=attempt.plan,
        record=record,
        history=history,
        health=_with(place.log.health(SystemClock()), outside),
        now=now,
        start=attempt.start,
        world=found,
    )


def _clock(place: Workspace, mode: str) -> tuple[Finding, ...]:
    """Name a clock that nobody keeps, where the policy demands one by which windows and approvals can be judged."""
    if mode not in _TIMED or not place.history().latest.policy.clock_demanded or place.synchronised():
        return ()
    why = "the kernel does not call it synchronised, and the policy refuses to judge times by it"
    return (Finding(rule=remembered.RULE, name=CLOCK, place="clock", message=why),)


def _clock_said(place: Workspace, mode: str) -> Mapping[str, str]:
    """Return what a permit says of the clock, where the gate has just asked for it."""
    asked = mode in _TIMED and place.history().latest.policy.clock_demanded
    return {"clock": SYNCHRONISED} if asked else {}


def _with(health: Health, outside: tuple[Finding, ...]) -> Health:
    return Health(findings=(*health.findings, *outside)) if outside else health


def record_stale(place: Workspace, record: ChangeRecord, act: str, error: StaleError) -> None:
    """Write down that check 1 failed before the gate could be asked: the approved bytes are not in the store."""
    check = {"n": 1, "name": NAMES[1], "outcome": "refused", "why": error.what}
    _refused(
        place, record.id, record.plan or "", {"act": act, "exit_code": error.exit_code, "checks": [check]}
    )


def _record_refusal(place: Workspace, attempt: Attempt, refusal: Refusal) -> None:
    checks = [check.to_data() for check in refusal.checks]
    data = {"act": attempt.mode, "exit_code": refusal.exit_code, "checks": checks}
    _refused(place, attempt.change, attempt.plan.digest, data)


def _refused(place: Workspace, change: str, plan: str, data: Mapping[str, Any]) -> None:
    event = Event(
        id=new_id(), type="change.refused", actor=dict(EXECUTOR), change=change, plan=plan, data=data
    )
    place.log.append(event)
    with suppress(Error):  # the refusal stands; what keeps it from being signed, the next opening names
        place.log.checkpoint()


def _swapped_scripts(place: Workspace, manifest: Manifest) -> list[str]:
    """Name inventory scripts that are not those of the plan: reading them would run what nobody approved."""
    if manifest.inventory is None:
        return []
    from itmp.adapters.ansible.sources import inventory_files  # noqa: PLC0415 - needs the ansible extra

    known = {source.path: source.digest for source in manifest.sources}
    now = inventory_files(place.root, manifest.inventory.sources)
    return [
        f"{path}: the inventory script was changed since the plan was made, and was not executed"
        for path, data in now.items()
        if os.access(place.root / path, os.X_OK) and known.get(path) != digest(data)
    ]


def _moved_versions(manifest: Manifest) -> list[str]:
    """Name versions that parse and run plays and are not those of the plan: its bytes would mean something else."""
    if not any(isinstance(step, AnsibleStep) for step in all_steps(manifest)):
        return []
    from itmp.adapters.ansible.sources import moved_versions  # noqa: PLC0415 - needs the ansible extra

    return moved_versions(manifest.versions)


def _hosts(place: Workspace, manifest: Manifest) -> tuple[Host, ...] | None:
    """Return the frozen hosts that are still there and those that the frozen patterns select now."""
    if manifest.inventory is None:
        return None
    from itmp.plan import Needs  # noqa: PLC0415 - only a starting run looks at the world
    from itmp.workspace.sources import gather  # noqa: PLC0415 - needs the ansible extra

    frozen = {host.name for host in manifest.inventory.hosts}
    needs = Needs(patterns=manifest.inventory.patterns or ("all",), compared=True)
    facts = gather(place, needs, manifest.inventory.sources)
    if facts.inventory is None:
        return ()
    selected = {name for names in facts.inventory.patterns.values() for name in names}
    if not manifest.inventory.patterns:
        selected = set()
    return tuple(host for host in facts.inventory.hosts if host.name in frozen | selected)


def _present(place: Workspace, knob: str, name: str, field: str) -> int:
    from itmp.workspace.engines import present_value  # noqa: PLC0415 - needs the aws extra

    return present_value(place, knob, name, field)
