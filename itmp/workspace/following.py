"""Following a run that another process carries out: its events, told again from the log as it grows.

Rules kept here: only what stands in the log is told, in its order, so that a follower can lag and never invents; who
watches decides nothing, and what a watcher raises ends its watching alone; a run whose process is gone has ended for
whoever waits, and is called by its name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itmp import canonical
from itmp.audit import Event, Leaf
from itmp.change import ChangeRecord, RunRecord
from itmp.errors import BusyError, Error
from itmp.execution.progress import (
    ActionFinished,
    ActionStarted,
    AskStarted,
    RunEvent,
    RunFinished,
    RunStands,
    RunStarted,
    RunStopped,
    SliceFinished,
    SlicePassed,
    SliceStarted,
    WaitStarted,
)
from itmp.execution.units import Unit, order
from itmp.plan import AskStep, Plan, WaitStep, meant
from itmp.workspace import changes, planning
from itmp.workspace.glancing import ENDED
from itmp.workspace.narrowing import kept_limit
from itmp.workspace.noticing import Notice, is_held
from itmp.workspace.place import Workspace
from itmp.workspace.result import CODES, Result
from itmp.workspace.retelling import Retelling
from itmp.workspace.starting import Now, on_hosts, refuse_other_hosts

if TYPE_CHECKING:
    from itmp.execution import Progress
    from itmp.execution.doors import Phase

Terms: TypeAlias = Callable[[Plan, ChangeRecord, RunRecord], None]
Wanted: TypeAlias = Callable[[Plan], tuple[str, ...] | None]
_LONG: Final = 3600.0
_BEGUN: Final = frozenset({"run.started", "run.resumed"})


def _whichever(_: Plan) -> None:
    """Ask for no hosts in particular."""


def attach(place: Workspace, change: str, progress: "Progress", *, wanted: Wanted = _whichever) -> Result:
    """Follow the run that another process carries out, telling `progress` its events; return how it ended.

    `wanted` gives the hosts of the run that is asked for (`None`: whichever). Raises `InvalidInputError` when the run
    is on others, and `BusyError` when it is an undo.
    """
    with Notice(place) as notice:
        tail = Tail(
            place, change, terms=lambda plan, record, run: _refuse_other(plan, record, run, wanted(plan))
        )
        watching = True
        while True:
            going = is_held(place, change)
            watching = watching and _tell(tail, progress)
            if not going:
                break
            notice.wait(_LONG)
    record = changes.find(place, change)
    if record.run and record.run.state in ENDED:
        note = "another process carried this run out; here it was followed"
        plan = planning.logged_plan(place, changes.request_of(record).plan)
        if not tail.compared:  # it had ended when we came, and its process still held the change
            _refuse_other(plan, record, record.run, wanted(plan))
        hosts = kept_limit(plan, record.run)
        limited = (f"it ran {on_hosts(hosts)}",) if hosts else ()
        return replace(replayed(record, record.run), notes=(note, *limited))
    raise BusyError(
        f"the run of {change} that this attached to did not finish",
        do=f"Take it up with: itmp resume {change}",
    )


def run_already(record: ChangeRecord, plan: Plan, run: RunRecord, wanted: tuple[str, ...] | None) -> Result:
    """Return how the run of a change that nobody holds ended; `wanted` as in `attach`.

    Raises `InvalidInputError` when it was on other hosts, and `BusyError` when it has not ended.
    """
    over = run.state in ENDED
    refuse_other_hosts(plan, record, run, wanted, now="over" if over else "left")
    if over:
        return replayed(record, run)
    raise BusyError(
        f"{record.id} has a run that has not ended ({run.state})",
        where=run.id,
        do=f"Take it up with: itmp resume {record.id}",
    )


def replayed(record: ChangeRecord, ended: RunRecord) -> Result:
    """Return how a run that had already finished ended; nothing ran now."""
    return Result(
        exit_code=CODES[ended.state],
        change=record.id,
        plan=record.plan or "",
        run=ended.id,
        state=ended.state,
        hosts=dict(ended.targets),
        replayed=True,
        notes=("this run had already finished; nothing ran now",),
    )


class Tail:
    """The events of a change's newest attempt, as far as the log tells them; each is given once.

    `terms` is asked at the beginning of an attempt whether it is to be followed; it raises where not.
    """

    def __init__(self, place: Workspace, change: str, *, terms: Terms | None = None) -> None:
        self._log, self._place, self._change, self._terms = place.log, place, change, terms
        self.compared = False
        self._units: Mapping[str, Unit] = {}
        self._slices: dict[str, str] = {}
        self._passed: dict[str, str] = {}
        self._retelling: Retelling | None = None
        self._begun = False
        self._seen = self._begin()

    def read(self) -> Iterator[RunEvent]:
        """Yield what came since the last time."""
        size = self._log.size()
        first, self._seen = self._seen, size
        for leaf in self._log.leaves(first, size):
            if self._change.encode() in leaf.data:
                event = leaf.event
                if event.change == self._change:
                    yield from self._told(leaf, event)

    def _begin(self) -> int:
        """Return where the attempt under way began; the log's end where none is."""
        newest = self._log.size()
        for leaf in self._log.of_change(self._change):
            if leaf.event.type in _BEGUN:
                newest = leaf.index
            elif leaf.event.type == "run.finished":
                newest = leaf.index + 1
        return newest

    def _told(self, leaf: Leaf, event: Event) -> Iterator[RunEvent]:
        data = event.data or {}
        match event.type:
            case "run.started" | "run.resumed":
                yield self._started(event)
                yield from self._before(leaf, begun=False)
            case "slice.intended":
                yield from self._before(leaf, begun=True)
                self._slices[leaf.hash] = str(data.get("slice", ""))
                self._passed[leaf.hash] = str(data.get("passed", ""))
                yield from self._slice(event, data)
            case "slice.finished" if event.intent in self._slices:
                yield from self._ended(event, data)
            case "run.stopped":
                yield RunStopped(why=str(data.get("why", "")))
            case "run.finished":
                hosts = {**self._of(data, "hosts"), **self._of(data, "resources")}
                state = str(data.get("state", ""))
                yield RunFinished(state=state, exit_code=CODES.get(state, CODES["unknown"]), hosts=hosts)
            case "action.intended" | "action.finished" | "check.finished":
                yield from self._action(leaf, event, data)
            case _:
                pass

    def _started(self, event: Event) -> RunStarted:
        record = changes.find(self._place, self._change)
        plan = planning.logged_plan(self._place, changes.request_of(record).plan)
        self._units = {unit.key: unit for unit in order(plan.manifest)}
        run = next((one for one in record.runs if one.id == event.run), None)
        if run and self._terms:
            self._terms(plan, record, run)
            self.compared = True
        limit = tuple(run.permits[-1].body["limit"]) if run and run.permits else ()
        self._retelling, self._begun = (
            Retelling(plan, self._log.blob, limit=limit, asked=event.data or {}),
            False,
        )
        return RunStarted(
            change=self._change,
            plan=plan.digest,
            run=event.run,
            hosts=limit,
            slices=sum(unit.phase == "do" for unit in self._units.values()),
            event="run.resumed" if event.type == "run.resumed" else "run.started",
        )

    def _before(self, leaf: Leaf, *, begun: bool) -> Iterator[RunStands]:
        """Say what earlier attempts have settled, as this one begins and again before its first slice."""
        if self._retelling and not self._begun:
            self._begun = begun
            leaves = [one for one in self._log.of_change(self._change) if one.index < leaf.index]
            yield from self._retelling.before(leaves, retry=begun)

    def _ended(self, event: Event, data: Mapping[str, Any]) -> Iterator[RunEvent]:
        key, states = self._slices[event.intent], self._of(data, "hosts")
        passed = self._passed.get(event.intent, "")
        if not passed:
            yield SliceFinished(slice=key, states=states)
        if self._retelling and key in self._units:
            stopped = data.get("stopped") is True
            yield self._retelling.after(self._units[key], states, passed=passed, stopped=stopped)

    def _slice(self, event: Event, data: Mapping[str, Any]) -> Iterator[RunEvent]:
        key, hosts = str(data.get("slice", "")), tuple(self._of(data, "hosts"))
        unit = self._units.get(key)
        title = unit.step.title if unit else event.step
        if data.get("passed"):
            yield SlicePassed(slice=key, step=event.step, title=title, hosts=hosts, why=str(data["passed"]))
            return
        phase: Phase = "undo" if event.phase == "undo" else "do"
        yield SliceStarted(slice=key, step=event.step, title=title, hosts=hosts, phase=phase)
        step = unit.step if unit else None
        if isinstance(step, AskStep):
            question, answer = step.question, meant(step)
            yield AskStarted(slice=key, step=step.id, question=question, answer=answer, roles=step.roles)
        elif isinstance(step, WaitStep):
            yield WaitStarted(slice=key, step=step.id, until=str(data.get("until", "")))

    def _action(self, leaf: Leaf, event: Event, data: Mapping[str, Any]) -> Iterator[RunEvent]:
        target = (event.target or {}).get("id", "")
        if event.type == "action.intended":
            self._slices[leaf.hash] = key = self._slices.get(event.intent, "")
            yield ActionStarted(slice=key, host=target, action=event.action, name="")
            return
        yield ActionFinished(
            slice=self._slices.get(event.intent, event.step),
            host=target,
            action=event.action,
            name=str(data.get("name", "")),
            outcome=event.outcome,
            message=str(data.get("message", "")),
        )

    def _of(self, data: Mapping[str, Any], name: str) -> Any:
        """Return what an event says of its hosts, written out or by digest; nothing where it cannot be read."""
        if name in data:
            return data[name]
        found = data.get(f"{name}_blob") or data.get(f"{name}_digest")
        try:
            return canonical.loads(self._log.blob(canonical.parse_digest(found))) if found else {}
        except Error:
            return {}


def _refuse_other(plan: Plan, record: ChangeRecord, run: RunRecord, wanted: tuple[str, ...] | None) -> None:
    """Raise unless whoever asks for a run on the hosts `wanted` asks for this one."""
    if run.permits[-1].mode == "undo":
        raise BusyError(
            f"another process undoes {record.id}", do=f"Follow it: itmp wait {record.id} --for finished"
        )
    now: Now = "over" if run.state in ENDED else "going"
    refuse_other_hosts(plan, record, run, wanted, now=now)


def _tell(tail: Tail, progress: "Progress") -> bool:
    """Tell what came; return False when the watcher wants no more."""
    try:
        for event in tail.read():
            progress.on_event(event)
    except Error:
        raise
    except Exception:  # noqa: BLE001 - a watcher's own trouble ends its watching alone
        return False
    return True
