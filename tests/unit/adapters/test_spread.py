"""Answers of several processes are those of one, in the same order, or an error; none of the processes stays."""

import os
import resource
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


class OfItsOwnError(EvidenceInvalidError):
    """An error that other words make."""

    def __init__(self, rule: int, seen: object) -> None:
        super().__init__(f"rule {rule} is broken", where="leaf 5", do="Look.")
        self.rule, self.seen = rule, seen


def test_an_error_that_other_words_make_comes_as_it_is() -> None:
    def strict(_: Sequence[int]) -> list[int]:
        raise OfItsOwnError(20, "x")

    with pytest.raises(OfItsOwnError, match="rule 20") as caught:
        list(spread(strict, THINGS, over=2))
    assert (caught.value.rule, caught.value.where, caught.value.do) == (20, "leaf 5", "Look.")


def test_an_error_that_cannot_be_handed_over_comes_with_its_words() -> None:
    def strict(_: Sequence[int]) -> list[int]:
        raise OfItsOwnError(20, lambda: None)

    with pytest.raises(SpreadError, match="rule 20") as caught:
        list(spread(strict, THINGS, over=2))
    assert caught.value.where == "leaf 5"


def test_where_children_are_not_waited_for_all_answers_come() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert list(spread(list, THINGS, over=3)) == list(THINGS)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_machine_that_starts_no_further_process_is_named() -> None:
    """Pipes run out here as processes would: a limit of processes does not bind root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 2, hard))
        with pytest.raises(SpreadError, match="starts no further process"):
            list(spread(squares, THINGS, over=16))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
