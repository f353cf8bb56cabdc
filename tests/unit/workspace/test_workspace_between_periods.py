"""Whoever only reads finds the log also between two moves of a rotation that was cut short, and leaves it there."""

from pathlib import Path

import pytest
from keep import again, found, keep, key_of

from itmp import workspace
from itmp.adapters.posix_log import durable, periods
from itmp.change.handover import period_of

MOVES = (
    ("head.sqlite", "periods/2026/head.sqlite"),
    ("log", "periods/2026/log"),
    ("rotation/next/keys/log.key", "keys/log.key"),
    ("rotation/next/head.sqlite", "head.sqlite"),
    ("rotation/next/log", "log"),
)
"""What `periods.switch` does, in its order, once it is marked and the old log's public key is in its place."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A rotation that is marked, complete, and has not moved anything."""
    place = found(tmp_path / "w")
    keep(place, "harmless", change="")
    vkey = place.log.vkey
    assert period_of(place.log.origin) == "2026"
    workspace.rotate(place, period="2027", key=key_of(place))
    state = place.state
    durable.make_folder(state / "rotation/next/keys")
    for source, target in reversed(MOVES):
        (state / target).rename(state / source)
    (state / "spare/head.sqlite").unlink(missing_ok=True)
    periods.mark(state, period="2026", vkey=vkey)
    return state


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_log_verifies_after_each_move_and_nothing_is_moved_by_it(state: Path) -> None:
    place, seen = workspace.Workspace.here(state.parent), []
    for source, target in (*MOVES, ("", "")):
        before = contents(state)
        report = workspace.audit_verify(again(place))
        assert (report.exit_code, [one for one in report.findings if one.grave]) == (0, [])
        population = workspace.audit_population(again(place))
        seen.append(population.span.bases[-1].period)
        reading = again(place).for_reading().reading()
        assert reading.signed == report.size, "what people look at is the same log"
        reading.close()
        for path in state.rglob("index.sqlite*"):
            path.unlink()
        assert contents(state) == before
        if source:
            (state / source).rename(state / target)
    assert seen == ["2026", "2026", "2027", "2027", "2027", "2027"]
