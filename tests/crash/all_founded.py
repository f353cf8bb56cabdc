"""Faults at the calls of a run on a log that people founded, and of one whose key an ssh-agent holds: `make test-crash`."""

from pathlib import Path

import log_story
import pytest
from log_agent import agent, in_agent
from log_faults import FAULTS, Actors, strike

__all__ = ["agent"]

pytestmark = pytest.mark.usefixtures("agent")  # before the process that acts: it is told where the agent is

SHARES = {"kill": 2, "EIO": 5, "ENOSPC": 5}
"""One call of so many: what one event of a run meets, the next one meets as well."""


@pytest.fixture(scope="module")
def begun(scratch: Path) -> Path:
    return log_story.template(scratch / "story")


@pytest.mark.parametrize("fault", FAULTS)
def test_after_every_fault_in_a_run_the_auditor_finds_nothing(
    actors: Actors, begun: Path, fault: str
) -> None:
    assert strike(actors, "story", begun, fault, share=(SHARES[fault], 0), held=log_story.hold) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_after_every_fault_with_the_key_in_an_agent_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], fault: str
) -> None:
    assert strike(actors, "agent", in_agent(prepared["append"], actors.scratch), fault) == []
