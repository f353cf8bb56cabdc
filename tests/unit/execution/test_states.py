import itertools

import pytest

from itmp.execution import next_state
from itmp.execution.states import RunMove, RunState, StepMove, StepState, TransitionError

STEP = """
pending start started
started succeed succeeded
started fail failed
started lose unknown
unknown succeed succeeded
unknown fail failed
succeeded retry pending
failed retry pending
unknown retry pending
succeeded undo undo_started
failed undo undo_started
unknown undo undo_started
undo_failed undo undo_started
undo_started succeed undone
undo_started fail undo_failed
undo_started lose undo_failed
"""
RUN = """
admitted start running
running succeed succeeded
running fail failed
running undo undone
running stop stopped
running lose unknown
running resume running
failed resume running
stopped resume running
unknown resume running
"""


def table(text: str) -> dict[tuple[str, str], str]:
    return {(a, b): c for a, b, c in (line.split() for line in text.split("\n") if line)}


@pytest.mark.parametrize(("states", "moves", "text"), [(StepState, StepMove, STEP), (RunState, RunMove, RUN)])
def test_every_pair_is_in_the_table_or_raises(states, moves, text) -> None:
    allowed = table(text)
    for state, move in itertools.product(states, moves):
        if (state.value, move.value) in allowed:
            assert next_state(state, move).value == allowed.pop((state.value, move.value))
        else:
            with pytest.raises(TransitionError):
                next_state(state, move)
    assert not allowed


def test_a_slice_never_moves_as_a_run_though_their_words_are_the_same() -> None:
    with pytest.raises(TransitionError):
        next_state(StepState.FAILED, RunMove.RESUME)  # type: ignore[call-overload]
    with pytest.raises(TransitionError):
        next_state(RunState.FAILED, StepMove.RETRY)  # type: ignore[call-overload]
