"""A sample of kills within a rotation; `make test-crash` kills at every call that changes a file."""

from pathlib import Path

import pytest
from log_faults import Actors
from log_rotation import strike, template


@pytest.mark.parametrize("reason", ["", "the disk was copied"])
def test_a_rotation_is_whole_or_the_old_log_goes_on(actors: Actors, tmp_path: Path, reason: str) -> None:
    state = template(tmp_path / "w", reason)
    assert list(strike(actors, state, share=(29, 11 if reason else 3))) == []
