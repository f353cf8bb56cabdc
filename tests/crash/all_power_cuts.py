"""Power cuts after every call of each scenario, with what was not synced lost and reordered: `make test-crash`."""

from pathlib import Path

import pytest
from log_actor import SCENARIOS
from log_faults import NAMES, SPARES, Actors
from power_cuts import Choice, cut, rebooted, without

LONG = {"publish": 4, "snapshot": 4, "ride": 2, "torn": 4, "heal": 4, "drop": 4, "create": 5}
"""Scenarios of hundreds of calls: all of what was not synced is kept, or none, or one in so many of the states between."""

EACH_BYTE = {"append", "batch", "sign"}
"""Where what was written is torn at each byte: a frame, several at once, and what is published. Each is read in one way."""

VOUCHED = {"journal": 0, "record": 1}
"""Scenarios that begin without a file, which the marks of one boot vouch for: another boot refuses until it is there."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_after_a_power_cut_at_every_call_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], scenario: str
) -> None:
    lost = VOUCHED.get(scenario)
    held = rebooted if lost is None else without((NAMES[lost], SPARES[lost]), prepared["append"])
    choice = Choice(thin=LONG.get(scenario, 1), each_byte=scenario in EACH_BYTE, held=held)
    assert cut(actors, scenario, prepared[scenario], choice) == []
