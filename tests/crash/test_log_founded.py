"""A sample of faults in a run on a log that people founded, and on one whose key an ssh-agent holds.

`make test-crash` strikes at every call.
"""

from pathlib import Path

import log_story
import pytest
from log_agent import agent, in_agent
from log_faults import FAULTS, Actors, points, strike

__all__ = ["agent"]

pytestmark = pytest.mark.usefixtures("agent")  # before the process that acts: it is told where the agent is


@pytest.fixture(scope="module")
def begun(scratch: Path) -> Path:
    return log_story.template(scratch / "story")


@pytest.mark.parametrize(("fault", "share"), [("kill", (29, 5)), ("EIO", (59, 31)), ("ENOSPC", (59, 50))])
def test_after_a_fault_in_a_run_the_auditor_finds_nothing(
    actors: Actors, begun: Path, fault: str, share: tuple[int, int]
) -> None:
    assert strike(actors, "story", begun, fault, share=share, held=log_story.hold) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_with_the_key_in_an_agent_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], fault: str
) -> None:
    template = in_agent(prepared["append"], actors.scratch)
    assert strike(actors, "agent", template, fault, share=(29, 3 * list(FAULTS).index(fault))) == []


def test_calls_to_the_agent_are_among_those_hit(actors: Actors, prepared: dict[str, Path]) -> None:
    root = actors.place(in_agent(prepared["append"], actors.scratch))
    found = points(actors.trace("agent", root).trace)
    assert {"connect", "sendto", "recvfrom"} <= {point.name for point in found if point.file}
