"""A kill at every call of `itmp init` that changes a file."""

from pathlib import Path

import pytest
from log_faults import Actors
from log_founding import strike, template


@pytest.mark.parametrize("scenario", ["found", "together", "seal"])
def test_at_every_call(actors: Actors, tmp_path: Path, scenario: str) -> None:
    assert strike(actors, scenario, template(tmp_path / scenario, scenario)) == []
