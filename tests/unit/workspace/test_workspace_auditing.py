"""Verifying judges what it finds, names it, and leaves it as it is."""

from pathlib import Path

import pytest
from keep import again, found, keep

from itmp import workspace


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    made = found(tmp_path / "w")
    keep(made, "harmless")
    return made


@pytest.mark.parametrize(
    ("lost", "name"), [("tile/0/000.p/2", "tile-missing"), ("tile/entries/000.p/2", "entries-damaged")]
)
def test_a_tile_that_is_missing_is_named_until_a_publisher_puts_it_back(
    place: workspace.Workspace, lost: str, name: str
) -> None:
    tile = place.state / "log" / lost
    whole = tile.read_bytes()
    tile.unlink()
    for _ in range(2):
        report = workspace.audit_verify(again(place))
        assert {one.name for one in report.findings if one.grave} >= {name}
        assert report.exit_code == 40
        assert not tile.exists(), "verifying is reading"
    workspace.audit_checkpoint(again(place))
    assert tile.read_bytes() == whole, "the journal holds it"
    second = workspace.audit_verify(again(place))
    assert (second.exit_code, second.findings) == (0, ())
