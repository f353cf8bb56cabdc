"""A sample of kills within `itmp init`; `make test-crash` kills at every call that changes a file."""

from pathlib import Path

import pytest
from log_faults import Actors
from log_founding import strike, template


@pytest.mark.parametrize(
    ("scenario", "share"), [("found", (29, 28)), ("together", (13, 6)), ("seal", (41, 40))]
)
def test_said_again_it_completes_what_was_begun(
    actors: Actors, tmp_path: Path, scenario: str, share: tuple[int, int]
) -> None:
    assert strike(actors, scenario, template(tmp_path / scenario, scenario), share=share) == []
