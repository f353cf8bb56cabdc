"""Power cuts after every call of each scenario, with what was not synced lost and reordered: `make test-crash`."""

from pathlib import Path

import pytest
from log_actor import SCENARIOS
from log_faults import Actors
from power_cuts import cut

LONG = {"publish": 4, "snapshot": 4, "ride": 2, "torn": 4, "heal": 4, "drop": 4, "create": 5}
"""Scenarios of hundreds of calls: all of what was not synced is kept, or none, or one in so many of the states between."""


VOUCHED = {"journal", "record"}
"""Scenarios that begin with what the marks of one boot vouch for: a cut takes that away, and `test_log_unlinked` says what then."""


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name not in VOUCHED])
def test_after_a_power_cut_at_every_call_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], scenario: str
) -> None:
    assert cut(actors, scenario, prepared[scenario], thin=LONG.get(scenario, 1)) == []
