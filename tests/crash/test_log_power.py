"""A sample of power cuts; `make test-crash` cuts after every call."""

from pathlib import Path

import pytest
from log_faults import Actors
from power_cuts import Choice, cut


@pytest.mark.parametrize(
    ("scenario", "share"), [("append", (1, 0)), ("ride", (11, 0)), ("sign", (29, 5)), ("create", (53, 0))]
)
def test_after_a_power_cut_the_log_keeps_its_promises(
    actors: Actors, prepared: dict[str, Path], scenario: str, share: tuple[int, int]
) -> None:
    assert cut(actors, scenario, prepared[scenario], Choice(share=share)) == []
