"""Answers of several processes are those of one, in the same order, or an error; none of the processes stays."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress

import pytest

from itmp.adapters.spread import SpreadError, spread
from itmp.errors import EvidenceInvalidError

THINGS = range(1000)


def squares(part: Sequence[int]) -> list[tuple[int, int]]:
    return [(thing, os.getpid()) for thing in part if thing % 7]


@pytest.mark.parametrize("over", [1, 2, 5])
def test_answers_come_in_order_from_several_processes(over: int) -> None:
    found = list(spread(squares, THINGS, over=over))
    assert [thing for thing, _ in found] == [thing for thing in THINGS if thing % 7]
    processes = {process for _, process in found}
    assert len(processes) == over
    assert os.getpid() not in processes


def test_nothing_is_asked_of_nothing() -> None:
    assert list(spread(squares, (), over=3)) == []


def test_an_error_comes_in_its_place() -> None:
    def strict(part: Sequence[int]) -> list[int]:
        if 500 in part:
            raise EvidenceInvalidError("not what it was", where="leaf 500", do="Look.")
        return list(part)

    answers = spread(strict, THINGS, over=2)
    before = []
    with pytest.raises(EvidenceInvalidError, match="not what it was") as caught:
        before.extend(answers)
    assert before == list(range(len(before)))
    assert 400 < len(before) <= 500
    assert (caught.value.where, caught.value.do) == ("leaf 500", "Look.")


def test_a_process_that_dies_is_an_error_and_never_a_shorter_answer() -> None:
    def mortal(part: Sequence[int]) -> list[int]:
        if 900 in part:
            os.kill(os.getpid(), signal.SIGKILL)
        return list(part)

    with pytest.raises(SpreadError):
        list(spread(mortal, THINGS, over=2))


def test_a_bug_in_a_process_is_an_error_too(capfd: pytest.CaptureFixture[str]) -> None:
    def wrong(part: Sequence[int]) -> list[float]:
        return [1 / (thing - 3) for thing in part]

    with pytest.raises(SpreadError):
        list(spread(wrong, THINGS, over=2))
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_whoever_stops_listening_leaves_no_process() -> None:
    def long(part: Sequence[int]) -> list[tuple[int, str]]:
        return [(os.getpid(), "x" * 10_000) for _ in part]

    answers = spread(long, THINGS, over=3)
    found = {next(answers)[0] for _ in range(100)}
    answers.close()  # type: ignore[attr-defined] # it is a generator
    assert len(found) > 1
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process, 0)
            pytest.fail(f"process {process} is still there")
