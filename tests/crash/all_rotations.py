"""A kill at every call of a rotation that changes a file."""

from pathlib import Path

import pytest
from log_faults import Actors
from log_rotation import strike, template


@pytest.mark.parametrize("reason", ["", "the disk was copied"])
def test_at_every_call(actors: Actors, tmp_path: Path, reason: str) -> None:
    state = template(tmp_path / "w", reason)
    assert list(strike(actors, state)) == []
