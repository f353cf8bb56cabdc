"""Questions and waits: slices in which nothing acts and the run itself is what is watched.

Rules kept here: the question is durable before anybody is asked, and so is a wait's end before it begins; only an
answer that counts (door `Patience`) ends a question, and it is in the log before the run believes it; a stop, the
end of the permit or a failing log ends the waiting at once and settles nothing, so that a resume asks, or waits
for the same end, again; between two looks time passes through the door, never in a busy loop.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from itmp.calendars import format_time, parse_time
from itmp.canonical import Digest
from itmp.errors import Error, LogUnavailableError
from itmp.execution.accounting import HostState
from itmp.execution.doors import Patience, Slice
from itmp.execution.progress import AskStarted, RunEvent, WaitStarted
from itmp.execution.record import Recorder
from itmp.plan import AskStep, LeafStep, WaitStep, answer_value, meant, word_target

LOOK: Final = 0.5
"""Seconds between two looks whether an answer has come or somebody wants to stop."""


def end_of(step: LeafStep, now: datetime, earlier: str = "") -> str:
    """Return when a wait that begins `now` ends; `earlier` is what an earlier attempt wrote. Empty for other steps."""
    if not isinstance(step, WaitStep):
        return ""
    whole = now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    return earlier or step.until or format_time(whole + timedelta(seconds=step.seconds))


class Vigil:
    """Carries out one question or wait whose intent is durable; `broken` and `refusal` as in `Watch`.

    `check` raises the error that ends the waiting: somebody asked to stop, or the permit has run out.
    """

    def __init__(
        self,
        part: Slice,
        intent: Digest,
        *,
        recorder: Recorder,
        patience: Patience,
        now: Callable[[], datetime],
        check: Callable[[], None],
    ) -> None:
        self.broken: Error | None = None
        self.refusal: Error | None = None
        self.answer = ""
        self._part, self._intent, self._recorder = part, intent, recorder
        self._patience, self._now, self._check = patience, now, check
        self._state: HostState = "not_reached"

    def keep(self, until: str, tell: Callable[[RunEvent], None]) -> None:
        """Return once the question is answered or the wait is over, or with `broken` or `refusal` set."""
        self._announce(until, tell)
        try:
            while not self._over(until):
                self._check()
                self._patience.sleep(LOOK)
        except LogUnavailableError as error:
            self.broken = error
        except Error as error:
            self.refusal = error

    def states(self, failure: Error | None) -> dict[str, HostState]:
        """Return the state of the one target."""
        del failure  # no runner acts here
        step = self._part.step
        return {word_target(step): self._state} if isinstance(step, AskStep | WaitStep) else {}

    def _announce(self, until: str, tell: Callable[[RunEvent], None]) -> None:
        step = self._part.step
        if isinstance(step, AskStep):
            tell(
                AskStarted(
                    slice=self._part.key,
                    step=step.id,
                    question=step.question,
                    answer=meant(step),
                    roles=step.roles,
                )
            )
        else:
            tell(WaitStarted(slice=self._part.key, step=step.id, until=until))

    def _over(self, until: str) -> bool:
        if isinstance(self._part.step, AskStep):
            return self._answered(self._part.step)
        if self._now() < parse_time(until):
            return False
        self._write(lambda: self._recorder.waited(self._part, self._intent, until))
        self._state = "ok"
        return True

    def _answered(self, step: AskStep) -> bool:
        answer = self._patience.answer(self._part)
        if answer is None:
            return False
        state: HostState = "failed" if answer_value(step, answer.value) is False else "ok"
        self._write(lambda: self._recorder.answered(self._part, self._intent, answer, state))
        self._state, self.answer = state, answer.value
        return True

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Error as error:
            raise LogUnavailableError(error.what, where=error.where, do=error.do) from error
