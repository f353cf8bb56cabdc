"""A sample of the faults at system calls; `make test-crash` strikes at every one."""

from pathlib import Path

import pytest
from log_actor import SCENARIOS
from log_faults import FAULTS, Actors, differing, hold, points, strike
from log_state import state_of

SAMPLE = 29
"""One call of so many in each scenario; a prime, so that it falls on other calls of each."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_a_fault_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], scenario: str, fault: str
) -> None:
    offset = (7 * list(SCENARIOS).index(scenario) + list(FAULTS).index(fault)) % 11
    assert strike(actors, scenario, prepared[scenario], fault, share=(SAMPLE, offset)) == []


def test_a_kill_leaves_what_lay_there_before_the_call(actors: Actors, prepared: dict[str, Path]) -> None:
    found = points(actors.trace("sign", actors.place(prepared["sign"])).trace)
    looked = differing(actors, "sign", prepared["sign"], found)
    assert 10 < len(looked) < len(found)
    for point in list(looked)[::5]:
        root = actors.place(prepared["sign"])
        said = actors.strike("sign", root, point, "kill").said
        if not list(root.glob("*-journal")):  # SQLite's, which holds random numbers
            assert state_of(root, said) == looked[point], point


def test_the_calls_that_matter_are_among_those_hit(actors: Actors, prepared: dict[str, Path]) -> None:
    for scenario, needed in {
        "append": {"flock", "write", "fdatasync", "pread64", "lseek", "newfstatat"},
        "publish": {"fsync", "rename", "unlink", "mkdir", "pwrite64", "fdatasync", "openat", "close"},
        "create": {"mkdir", "rename", "fsync", "fallocate"},
        "torn": {"ftruncate"},
    }.items():
        root = actors.place(prepared[scenario])
        assert needed <= {point.name for point in points(actors.trace(scenario, root).trace) if point.file}


def test_a_folder_that_cannot_be_listed_once_its_head_is_decided_is_no_fork(
    actors: Actors, prepared: dict[str, Path]
) -> None:
    clean = actors.trace("publish", actors.place(prepared["publish"]))
    listed = [one for one in points(clean.trace) if one.name == "openat" and "000.p>" in one.line]
    assert len(listed) > 2
    for point in listed[-2:]:  # what is superfluous is looked for last
        root = actors.place(prepared["publish"])
        outcome = actors.strike("publish", root, point, "EIO")
        assert outcome.struck
        assert [words[0] for words in outcome.said] == ["ack", "ack", "ack", "signed"], point.line
        assert outcome.status == 0, actors.complaint()
        assert list(hold(root, outcome.said, point.line)) == []
