"""The observer of one slice: it lets an action happen, or not, and writes down what happened.

Rules kept here, for each action:
1. nothing more happens after the first refusal, or once the log has failed where it must be written before;
2. a stop request takes effect between two actions;
3. it conforms to the plan, else the refusal is in the log before the runner hears of it: as a `denied` result of its
   target, whether or not that is one of the slice's, and as the end of the run; another target gets no state by it;
4. a resource operation's intent is durable before the operation;
5. every result is written; when that fails the slice in flight is finished, and counts as unknown.
"""

from collections.abc import Callable
from typing import Final

from itmp.canonical import Digest
from itmp.errors import Error, RunFailedError
from itmp.execution.accounting import Ending, HostState, Tally
from itmp.execution.conformance import Conformance, ConformanceError, targets
from itmp.execution.doors import Action, ActionResult, Slice
from itmp.execution.progress import ActionFinished, ActionStarted, HostChanged, Progress, RunEvent
from itmp.execution.record import Recorder
from itmp.plan import Plan, PulumiStep

# What an adapter may report without having asked: nothing was done.
_HARMLESS: Final = frozenset({"skipped", "unreachable", "denied", "not_reached"})
_GO_ON: Final = (
    "Go on with `itmp resume`; a host that was stopped half-way through a step needs `--retry failed`."
)


class StopRequestedError(RunFailedError):
    """A person asked the run to stop."""

    def __init__(self) -> None:
        super().__init__("stopped on request", do=_GO_ON)


class Watch:
    """Implements `Observer` for one slice whose intent is durable.

    `broken` is the error with which the log failed; `refusal` the one with which an action was refused.
    """

    def __init__(
        self,
        plan: Plan,
        part: Slice,
        intent: Digest,
        *,
        recorder: Recorder,
        tell: Callable[[RunEvent], None],
        stopping: Callable[[], bool],
    ) -> None:
        self.broken: Error | None = None
        self.refusal: Error | None = None
        self._part, self._intent = part, intent
        self._recorder, self._tell, self._stopping = recorder, tell, stopping
        self._conformance = Conformance(plan, part)
        self._tally = Tally(part.step)
        self._intents: dict[str, Digest] = {}
        self._asked: dict[tuple[str, str], str] = {}

    def before(self, action: Action) -> None:
        """Return once `action` may happen; raise `Error` when it may not."""
        if self.refusal is not None:
            raise self.refusal
        try:
            self._admit(action)
        except Error as error:
            self.refusal = error
            raise
        self._tally.before(action)
        self._asked[action.host, action.id] = action.delegate
        self._tell(
            ActionStarted(
                slice=self._part.key,
                host=action.host,
                action=action.action,
                name=action.name,
                delegate=action.delegate,
            )
        )

    def after(self, result: ActionResult) -> None:
        """Record what happened; never raises, because what has happened must be followed to its end."""
        was = self._tally.state(result.host)
        self._tally.after(result)
        self._record(result)
        self._suspect(result)
        state = self._tally.state(result.host)
        if state != was:
            self._tell(HostChanged(slice=self._part.key, host=result.host, state=state))

    def _record(self, result: ActionResult) -> None:
        self._write(lambda: self._recorder.action_finished(self._part, self._intent_of(result), result))
        self._tell(
            ActionFinished(
                slice=self._part.key,
                host=result.host,
                action=result.action,
                name=result.name,
                outcome=result.outcome,
                message=result.message,
            )
        )

    def states(self, failure: Error | None) -> dict[str, HostState]:
        """Return what became of each target, `failure` being what the runner raised."""
        return self._tally.states(targets(self._part), self._ending(failure))

    def _ending(self, failure: Error | None) -> Ending:
        if self.broken is not None:
            return "unlogged"
        if self.refusal is not None:
            return "cut"
        return "returned" if failure is None else "lost"

    def _admit(self, action: Action) -> None:
        if self._stopping():
            raise StopRequestedError
        self._conform(action, begun=False)
        if isinstance(self._part.step, PulumiStep):
            try:
                self._intents[action.id] = self._recorder.action_intended(self._part, self._intent, action)
            except Error as error:
                self.broken = error
                raise

    def _conform(self, action: Action, *, begun: bool) -> None:
        try:
            self._conformance.check(action)
        except ConformanceError as error:
            if not begun:
                self._deny(_denied(action, error))
            why = f"{error.where}: {error.what}"
            code = error.exit_code
            self._write(lambda: self._recorder.run_stopped(why, code=code))
            raise

    def _deny(self, result: ActionResult) -> None:
        """Record what is not let happen; a target that is none of the slice's did nothing and has no state here."""
        if result.host in targets(self._part):
            self.after(result)
        else:
            self._record(result)

    def _suspect(self, result: ActionResult) -> None:
        """Hold a result against the plan that nobody asked for, or not on that delegate (a template)."""
        asked = self._asked.get((result.host, result.id))
        known = asked is not None and result.delegate in {"", asked}
        if known or result.outcome in _HARMLESS or self.refusal is not None:
            return
        try:
            self._conform(
                Action(
                    id=result.id,
                    host=result.host,
                    action=result.action,
                    path=result.path,
                    line=result.line,
                    delegate=result.delegate,
                ),
                begun=True,
            )
        except ConformanceError as error:
            self.refusal = error

    def _intent_of(self, result: ActionResult) -> Digest:
        return self._intents.get(result.id, self._intent)

    def _write(self, write: Callable[[], None]) -> None:
        if self.broken is not None:
            return
        try:
            write()
        except Error as error:
            self.broken = error


def _denied(action: Action, error: ConformanceError) -> ActionResult:
    """Return the result of an action that is not let happen."""
    return ActionResult(
        id=action.id,
        host=action.host,
        action=action.action,
        outcome="denied",
        path=action.path,
        line=action.line,
        name=action.name,
        delegate=action.delegate,
        message=error.what,
    )


class Teller:
    """Passes events to `progress` until it raises: a view that fails must not leave a fleet half-changed."""

    def __init__(self, progress: Progress) -> None:
        self._progress: Progress | None = progress

    def __call__(self, event: RunEvent) -> None:
        """Tell, if anybody still listens."""
        if self._progress is None:
            return
        try:
            self._progress.on_event(event)
        except Exception:  # noqa: BLE001 -- whatever the view's defect is, the run is more important
            self._progress = None
