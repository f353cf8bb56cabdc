"""The automata of a slice and of a run.

Rules kept here: there is one `next_state`; what its table does not name is an error, never a silent change. A
slice whose outcome is unknown runs again only through `RETRY`, which somebody (a probe, a person) must ask
for.

    slice: pending → started → succeeded | failed | unknown → undo_started → undone | undo_failed
    run:   admitted → running → succeeded | failed | undone | stopped | unknown
"""

from enum import Enum
from typing import Final, overload

from itmp.errors import Error


class StepState(Enum):
    """Where one slice is."""

    PENDING = "pending"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDO_STARTED = "undo_started"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


class StepMove(Enum):
    """What can happen to one slice."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    LOSE = "lose"
    RETRY = "retry"
    UNDO = "undo"


class RunState(Enum):
    """Where one run is."""

    ADMITTED = "admitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDONE = "undone"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class RunMove(Enum):
    """What can happen to one run."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    UNDO = "undo"
    STOP = "stop"
    LOSE = "lose"
    RESUME = "resume"


class TransitionError(Error):
    """A state was asked to do what its automaton does not allow: our bug."""


_STEP: Final = {
    (StepState.PENDING, StepMove.START): StepState.STARTED,
    (StepState.STARTED, StepMove.SUCCEED): StepState.SUCCEEDED,
    (StepState.STARTED, StepMove.FAIL): StepState.FAILED,
    (StepState.STARTED, StepMove.LOSE): StepState.UNKNOWN,
    # A probe or a person says what became of it.
    (StepState.UNKNOWN, StepMove.SUCCEED): StepState.SUCCEEDED,
    (StepState.UNKNOWN, StepMove.FAIL): StepState.FAILED,
    # Part of a finished slice is to run again: asked for, or its batch was closed in between.
    (StepState.SUCCEEDED, StepMove.RETRY): StepState.PENDING,
    (StepState.FAILED, StepMove.RETRY): StepState.PENDING,
    (StepState.UNKNOWN, StepMove.RETRY): StepState.PENDING,
    (StepState.SUCCEEDED, StepMove.UNDO): StepState.UNDO_STARTED,
    (StepState.FAILED, StepMove.UNDO): StepState.UNDO_STARTED,
    (StepState.UNKNOWN, StepMove.UNDO): StepState.UNDO_STARTED,
    (StepState.UNDO_FAILED, StepMove.UNDO): StepState.UNDO_STARTED,
    (StepState.UNDO_STARTED, StepMove.SUCCEED): StepState.UNDONE,
    (StepState.UNDO_STARTED, StepMove.FAIL): StepState.UNDO_FAILED,
    (StepState.UNDO_STARTED, StepMove.LOSE): StepState.UNDO_FAILED,
}

_RUN: Final = {
    (RunState.ADMITTED, RunMove.START): RunState.RUNNING,
    (RunState.RUNNING, RunMove.SUCCEED): RunState.SUCCEEDED,
    (RunState.RUNNING, RunMove.FAIL): RunState.FAILED,
    (RunState.RUNNING, RunMove.UNDO): RunState.UNDONE,
    (RunState.RUNNING, RunMove.STOP): RunState.STOPPED,
    (RunState.RUNNING, RunMove.LOSE): RunState.UNKNOWN,
    # A killed run is found running; a finished one may be taken up again. Nothing leaves succeeded or undone.
    (RunState.RUNNING, RunMove.RESUME): RunState.RUNNING,
    (RunState.FAILED, RunMove.RESUME): RunState.RUNNING,
    (RunState.STOPPED, RunMove.RESUME): RunState.RUNNING,
    (RunState.UNKNOWN, RunMove.RESUME): RunState.RUNNING,
}


@overload
def next_state(state: StepState, event: StepMove) -> StepState: ...
@overload
def next_state(state: RunState, event: RunMove) -> RunState: ...
def next_state(state: StepState | RunState, event: StepMove | RunMove) -> StepState | RunState:
    """Return the state after `event`; raise `TransitionError` for any pair that is not in the table."""
    found: StepState | RunState | None = None
    if isinstance(state, StepState) and isinstance(event, StepMove):
        found = _STEP.get((state, event))
    if isinstance(state, RunState) and isinstance(event, RunMove):
        found = _RUN.get((state, event))
    if found is None:
        raise TransitionError(
            f"{state} does not allow {event}", do="Please report this: it is a defect of itmp."
        )
    return found
