"""Power cuts after the calls of each scenario, with what was not synced lost and reordered: `make test-crash`."""

from pathlib import Path

import pytest
from log_actor import SCENARIOS
from log_faults import Actors
from power_cuts import cut

LONG = {"publish": 4, "snapshot": 4, "ride": 2, "torn": 4, "heal": 4, "create": 2}
"""Scenarios of hundreds of calls: the power is cut after one of so many."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_every_power_cut_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], scenario: str
) -> None:
    share = (LONG.get(scenario, 1), 0)
    assert cut(actors, scenario, prepared[scenario], share=share) == []
