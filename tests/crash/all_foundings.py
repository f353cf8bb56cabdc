"""A kill at every call of `itmp init` that changes a file."""

from pathlib import Path

import pytest
from log_faults import Actors
from log_founding import strike, strike_shared, template

ALIKE = ("found", "seal")
"""They do the same once the people's texts are there."""


def test_at_every_call_of_a_preparation(actors: Actors, tmp_path: Path) -> None:
    assert strike(actors, "together", template(tmp_path / "together", "together")) == []


@pytest.mark.parametrize("scenario", ALIKE)
def test_at_every_call_of_a_founding_here_or_there(actors: Actors, tmp_path: Path, scenario: str) -> None:
    states = {name: template(tmp_path / name, name) for name in ALIKE}
    assert strike_shared(actors, scenario, states) == []
