"""Taking up what a dead, stopped or failed run left; and undo on request.

Rules kept here, in this order:
1. a new permit is used up: a resume is admitted like a run;
2. left-over processes of the dead run are ended, before anything is asked or done; those of a host whose connection was
   lost too: what was under way there may have gone on;
3. every unknown outcome is probed; `done` counts as ok, `not_done` runs again, and what cannot be known needs
   a person: then nothing runs. A probe does not see whether a notified handler ran: where one is owed a person is
   needed too;
4. the run goes on through the same loop with what is left. A failed host is taken up only on request
   (`retry`), and no action is repeated, with one exception: a host whose batch was closed by its `always` steps
   before it got through (drained, stopped, undrained) passes the batch from its beginning. A step that runs again
   on a host also runs the handlers that were notified there before and did not run: the change that called for them
   will not be made twice.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

from itmp.change import Permit
from itmp.errors import (
    BusyError,
    Error,
    ForkError,
    InvalidInputError,
    LogUnavailableError,
    RefusedError,
    UnknownOutcomeError,
)
from itmp.execution.accounting import HostState
from itmp.execution.again import overtaken
from itmp.execution.choosing import narrowed
from itmp.execution.course import SKIPPED, Course, absorb, begin_undo, start
from itmp.execution.doors import LeftOverError, Prober, Room, Runner, Slice, Verdict
from itmp.execution.loop import Drive, Wiring, admit, outside, plan_hosts
from itmp.execution.owed import SILENT
from itmp.execution.passing import reconsider
from itmp.execution.progress import RunLooking
from itmp.execution.story import RunStory
from itmp.execution.summary import RunSummary, summarise
from itmp.execution.units import Unit, order
from itmp.execution.watch import Teller
from itmp.plan import Plan, PulumiStep

RETRYABLE: Final = frozenset({"failed", "unreachable"})
Prior: TypeAlias = dict[str, dict[str, HostState]]
Places: TypeAlias = Mapping[str, Mapping[str, int]]
Asking: TypeAlias = Callable[[Slice, tuple[str, ...]], Mapping[str, Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprise:
    """What a person asks of a resume.

    `retry` are the states (`failed`, `unreachable`) whose hosts run again; `skip` the hosts to go on without;
    `reason` says why hosts are skipped; `dead` are the rooms of all attempts before this one, whose left-overs are
    ended (none: this run's own).
    """

    retry: frozenset[str] = field(default_factory=frozenset)
    skip: frozenset[str] = field(default_factory=frozenset)
    reason: str = ""
    dead: tuple[Room, ...] = ()

    @property
    def asked(self) -> Mapping[str, Any]:
        """What the log keeps of it."""
        lists = {"retry": sorted(self.retry), "skip": sorted(self.skip)}
        return {name: value for name, value in {**lists, "reason": self.reason}.items() if value}


def resume(
    permit: Permit,
    plan: Plan,
    *,
    wiring: Wiring,
    story: RunStory,
    prober: Prober,
    reprise: Reprise | None = None,
    limit: Iterable[str] | None = None,
) -> RunSummary:
    """Take up the run that `story` tells of, under a new permit, and return how it ended.

    Where an outcome cannot be known the summary's `cause` is an `UnknownOutcomeError` that lists the commands
    with which a person says what happened; nothing has run then. Raises like `execute`.
    """
    reprise = reprise or Reprise()
    admit(permit, plan, wiring, mode="resume")
    if unsigned := sorted(reprise.skip & permit.hosts):
        raise RefusedError(
            f"the permit covers {unsigned[0]:.80}, which is to be skipped",
            do="Sign the skip: itmp resume --skip HOST",
        )
    left_out = {**outside(plan.manifest, permit, limit), **_skipped(plan, reprise)}
    drive = Drive(permit, plan, wiring, notes=[f"when this was taken up: {line}" for line in story.handlers])
    course = take_up(plan, story, left_out=left_out)
    drive.open(course, resumed=True, asked=reprise.asked)
    try:
        drive.notes += _sweep(plan, story, wiring, reprise.dead, left_out=left_out, retry=reprise.retry)
        story = _probe(plan, story, drive, partial(prober.probe, plan, room=wiring.room), left_out)
        _need_nobody(permit.change, story, reprise.skip)
    except (LogUnavailableError, ForkError) as error:
        return drive.close(drive.die(course, error))
    except Error as error:
        return drive.close(drive.stop(take_up(plan, story, left_out=left_out), error))
    return drive.go(take_up(plan, story, left_out=left_out, retry=reprise.retry))


def undo(
    permit: Permit,
    plan: Plan,
    *,
    wiring: Wiring,
    story: RunStory,
    hosts: Iterable[str] | None = None,
    dead: tuple[Room, ...] = (),
) -> RunSummary:
    """Carry out the plan's undo where the run that `story` tells of began anything; `hosts` narrows it.

    What the attempts before (`dead`: their rooms) left running is ended first, like at a resume: nothing may still
    be doing what is being undone.

    Undo steps that succeeded before are not repeated. Exit code 0 means undone. Raises like `execute`, and
    `InvalidInputError` when there is nothing to undo.
    """
    admit(permit, plan, wiring, mode="undo")
    if not plan.manifest.undo or not story.slices:
        raise InvalidInputError("there is nothing to undo: no undo steps in the plan, or nothing was begun")
    left_out = outside(plan.manifest, permit, hosts)
    course = take_up(plan, story, left_out=left_out, retry=RETRYABLE | {"unknown"}, undoing=True)
    course = replace(course, command=True)
    drive = Drive(permit, plan, wiring)
    drive.notes += [f"{key}: what became of {target} is not known" for key, target in story.unknown()]
    if narrowed(course):
        stacks = [step.id for step in plan.manifest.undo if isinstance(step, PulumiStep)]
        drive.notes += [f"{step}: left as it is, since only hosts were named" for step in stacks]
    drive.open(course, resumed=False)
    try:
        drive.notes += _sweep(plan, story, wiring, dead, left_out=left_out, retry=RETRYABLE)
    except (LogUnavailableError, ForkError) as error:
        return drive.close(drive.die(course, error))
    except Error as error:
        return drive.close(drive.stop(course, error))
    return drive.go(course)


def take_up(
    plan: Plan,
    story: RunStory,
    *,
    left_out: Mapping[str, str],
    retry: Iterable[str] = (),
    undoing: bool = False,
) -> Course:
    """Return the course on which the run that `story` tells of goes on; `undoing`: in its undo phase."""
    at = {key: begun.at for key, begun in story.slices.items()}
    units = order(plan.manifest)
    prior = _renew(units, _prior(units, story, frozenset(retry), left_out, undoing=undoing), at)
    course = _fold(plan, story, prior, left_out, undoing=undoing)
    if course.undoing:
        return course
    if course.halt:
        return reconsider(course)
    prior = _renewed(course, _reopen(course, prior, at), at)
    return reconsider(_fold(plan, story, prior, left_out))


def standing(plan: Plan, story: RunStory, *, left_out: Mapping[str, str]) -> dict[str, HostState]:
    """Return where each host and resource stands by what the log tells now; `unknown` is what nobody has said yet."""
    summary = summarise("", take_up(plan, story, left_out=left_out), cause=None)
    return {**summary.hosts, **summary.resources}


def _skipped(plan: Plan, reprise: Reprise) -> dict[str, str]:
    if wrong := sorted(reprise.retry - RETRYABLE):
        raise InvalidInputError(f"cannot retry {', '.join(wrong)}", do="Retry failed, unreachable, or both.")
    if strangers := sorted(reprise.skip - set(plan_hosts(plan.manifest))):
        raise InvalidInputError(
            f"not in the plan: {', '.join(strangers)}", do="`itmp show` lists the plan's hosts."
        )
    return dict.fromkeys(sorted(reprise.skip), SKIPPED)


def _sweep(
    plan: Plan,
    story: RunStory,
    wiring: Wiring,
    dead: tuple[Room, ...],
    *,
    left_out: Iterable[str],
    retry: frozenset[str],
) -> list[str]:
    """End left-overs of every slice that never ended, or of its silent hosts where it did; return a line for each."""
    found: list[str] = []
    for unit in order(plan.manifest):
        begun, runner = story.slices.get(unit.key), wiring.runners.get(unit.step.kind)
        if unit.word or begun is None or runner is None:
            continue
        quiet = {target: state for target, state in begun.states.items() if state in SILENT}
        if begun.open or quiet:
            asked = begun.states if begun.open else quiet
            part = unit.part(tuple(host for host in unit.hosts if host in asked))
            awaited = {one for one, state in quiet.items() if state in {"unknown", *retry}}.difference(
                left_out
            )
            Teller(wiring.progress)(RunLooking(slice=unit.key, hosts=part.hosts))
            for room in dead or (wiring.room,):
                found += [f"{unit.key}: {line}" for line in _swept(runner, plan, part, room, awaited)]
    return found


def _swept(runner: Runner, plan: Plan, part: Slice, room: Room, awaited: set[str]) -> list[str]:
    """Sweep one room; what runs on stops nobody where people have said what became of its target.

    Nor where a connection was lost that is not to be tried again, or whose target is left out: neither is `awaited`.
    """
    try:
        return [f"left over and ended: {line}" for line in runner.sweep(plan, part, room=room)]
    except BusyError as error:
        if awaited and _stops(error, part, awaited):
            raise
        return [error.what]


def _stops(error: BusyError, part: Slice, awaited: set[str]) -> bool:
    """Tell whether work goes on at an `awaited` target, or where nobody can say for whom: at a delegate."""
    busy = set(error.hosts) if isinstance(error, LeftOverError) else awaited
    return bool(busy & awaited or busy - set(part.hosts))


def _probe(plan: Plan, story: RunStory, drive: Drive, ask: Asking, left_out: Mapping[str, str]) -> RunStory:
    units = {unit.key: unit for unit in order(plan.manifest)}
    for key, targets in _to_probe(story, left_out).items():
        part = units[key].part(tuple(target for target in targets if target in units[key].hosts))
        try:
            answers = ask(part, targets)
        except Error:  # a probe that fails has found out nothing
            continue
        for target in targets:
            answer = answers.get(target, "cannot_know")
            if answer == "cannot_know":
                continue
            state: HostState = "ok" if answer == "done" else "not_reached"
            drive.recorder.reconciled(
                part, story.slices[key].intents[target], target, outcome=state, probe=answer
            )
            story = story.with_state(key, target, state)
    return story


def _to_probe(story: RunStory, left_out: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Return the targets of each slice that may be probed: it sees an effect, not whether an owed handler ran."""
    found: dict[str, tuple[str, ...]] = {}
    for key, target in story.unknown():
        if target not in left_out and (key, target) not in story.owed:
            found[key] = (*found.get(key, ()), target)
    return found


def _need_nobody(change: str, story: RunStory, skip: frozenset[str]) -> None:
    """Raise `UnknownOutcomeError` when somebody must look at a target before the run may go on."""
    lost = [(key, target) for key, target in story.unknown() if target not in skip]
    if not lost:
        return
    names = dict.fromkeys(target for _, target in lost)
    commands = "\n  ".join(f"itmp reconcile {change} {name} ok|failed --reason …" for name in names)
    raise UnknownOutcomeError(
        "what became of "
        + ", ".join(f"{target} in {key}" for key, target in lost)
        + " cannot be known from here",
        where=change,
        do=f"Look there, say what you found, then resume (or go on without: --skip HOST):\n  {commands}",
    )


def _prior(
    units: tuple[Unit, ...],
    story: RunStory,
    retry: frozenset[str],
    left_out: Mapping[str, str],
    *,
    undoing: bool = False,
) -> Prior:
    """Return what is settled: the story's states, those to be retried counting as never reached.

    Once undo has begun only undo is retried: there is no way forward through a half-undone run. A no is no failure of a
    target: it is never asked about again.
    """
    words = {unit.key for unit in units if unit.word}
    undone = undoing or any(key.startswith("undo:") for key in story.slices)
    return {
        key: {
            target: "not_reached"
            if key not in words
            and state in retry
            and target not in left_out
            and (not undone or key.startswith("undo:"))
            else state
            for target, state in begun.states.items()
        }
        for key, begun in story.slices.items()
    }


def _fold(
    plan: Plan, story: RunStory, prior: Prior, left_out: Mapping[str, str], *, undoing: bool = False
) -> Course:
    """Return the course after everything in `prior`, judged as if it had just happened."""
    course = Course(
        units=order(plan.manifest),
        manifest=plan.manifest,
        left_out=left_out,
        owed=story.owed,
        passed={key: begun.passed for key, begun in story.slices.items() if begun.passed},
        answers=story.answers,
        before=frozenset(
            key
            for key, begun in story.slices.items()
            if not begun.passed and set(begun.states.values()) - {"not_reached"}
        ),
        until={
            key: begun.until
            for key, begun in story.slices.items()
            if begun.until and prior[key].items() >= begun.states.items()
        },
    )
    for unit in course.units:
        if unit.phase == "undo" and not course.undoing and (undoing or unit.key in prior):
            course = begin_undo(replace(course.halted("its undo has begun"), undo=True))
        if unit.key in prior:
            stopped = story.slices[unit.key].stopped
            course = absorb(start(course, unit), unit, prior[unit.key], past=True, stopped=stopped)
    return course


def _reopen(course: Course, prior: Prior, at: Places) -> Prior:
    """Return `prior` without what a host did in a batch that was closed before the host had passed it.

    A closing that failed, or died, closed the batch all the same. The batch's `always` steps stay done until the host
    really enters the batch again (`course.absorb`).
    """
    prior = {key: dict(states) for key, states in prior.items()}
    for unit, earlier, batch in _closings(course.units):
        if unit.block is None or unit.block.id in course.closed:
            continue
        gone = course.gone(unit)
        for host in unit.hosts:
            stuck = host in gone
            missed = any(host in other.hosts and not _settled(prior, other, host) for other in earlier)
            if missed and not stuck and _closed(at, unit, earlier, host):
                ordinary = [other for other in batch if not other.step.always]
                _forget(prior, ordinary, host, at, until=at[unit.key][host])
    return prior


def _renew(units: tuple[Unit, ...], prior: Prior, at: Places) -> Prior:
    """Return `prior` without what belongs to a passage before the present one: its batch was opened again."""
    prior = {key: dict(states) for key, states in prior.items()}
    for unit, earlier, batch in _closings(units):
        for host, closed in at.get(unit.key, {}).items():
            if any(at.get(other.key, {}).get(host, -1) > closed for other in earlier):
                _forget(prior, batch, host, at, until=closed)
    return prior


def _renewed(course: Course, prior: Prior, at: Places) -> Prior:
    """Return `prior` without the words that something has overtaken."""
    # What was passed over for a reason that no longer holds is still to come.
    lifted = course.passed.keys() - reconsider(course).passed.keys()
    done = {key: states for key, states in prior.items() if key not in lifted}
    again = overtaken(course.units, done, course.gone, at)
    return {**prior, **{unit.key: dict.fromkeys(unit.targets, "not_reached") for unit in again}}


def _closings(units: tuple[Unit, ...]) -> Iterator[tuple[Unit, list[Unit], list[Unit]]]:
    """Yield each `always` slice of a batch, the slices before it that open the batch, and the whole batch."""
    for unit in units:
        if unit.block is not None and unit.step.always:
            batch = [other for other in units if other.block is unit.block and other.batch == unit.batch]
            yield unit, [other for other in batch[: batch.index(unit)] if other.opens], batch


def _forget(prior: Prior, batch: list[Unit], host: str, at: Places, *, until: int) -> None:
    for unit in batch:
        if at.get(unit.key, {}).get(host, until + 1) <= until:
            prior[unit.key][host] = "not_reached"


def _closed(at: Places, unit: Unit, earlier: list[Unit], host: str) -> bool:
    """Whether `unit` was begun on `host` after everything that opens its batch there."""
    opened = max((at.get(other.key, {}).get(host, -1) for other in earlier), default=-1)
    return at.get(unit.key, {}).get(host, -1) > opened


def _settled(prior: Mapping[str, Mapping[str, HostState]], unit: Unit, host: str) -> bool:
    return prior.get(unit.key, {}).get(host, "not_reached") != "not_reached"
