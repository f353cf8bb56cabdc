"""Every fault at every system call of append, recovery, integration, signing and publication: `make test-crash`."""

from pathlib import Path

import pytest
from log_actor import SCENARIOS
from log_faults import FAULTS, Actors, strike


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_every_fault_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], scenario: str, fault: str
) -> None:
    assert strike(actors, scenario, prepared[scenario], fault) == []
