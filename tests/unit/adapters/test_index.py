"""The search index finds what is there, heals itself, and changes nothing that counts."""

import os
import sqlite3
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.adapters.index import NAME, Query
from itmp.adapters.posix_log import frames
from itmp.audit import Event, Leaf, Log
from itmp.errors import Error, EvidenceInvalidError, ForkError, LogUnavailableError
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace.reading import Reading

HOSTS = tuple(f"web{n}" for n in range(1, 6))


class Told:
    """A log on disk with one change that ran, and what `itmp` has beside it."""

    def __init__(self, root: Path) -> None:
        self.state = root
        self.story = Story(plan=small_plan(hosts=HOSTS))
        seed = self.story
        genesis = seed.log.leaf(0).event
        self.log: Log = posix_log.create(root, origin=ORIGIN, genesis=genesis, key=seed.key, clock=seed.clock)
        seed.log = self.log
        seed.open()
        seed.act("approve", "bob")
        self.permit = seed.permit()
        seed.execute(self.permit)
        self.log.checkpoint()

    @property
    def file(self) -> Path:
        return self.state / NAME

    def edit(self, *statements: str) -> None:
        db = sqlite3.connect(self.file)
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    def found(self, query: Query) -> list[int]:
        reading = Reading(self.state)
        try:
            return [leaf.index for leaf in reading.index.leaves(query)]
        finally:
            reading.close()


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "state")


def fits(leaf: Leaf, event: Event, query: Query) -> bool:
    target = (event.target or {}).get("id", "")
    name = (event.data or {}).get("name", "")
    return (
        (query.change is None or event.change == query.change)
        and (not query.types or event.type in query.types)
        and (not query.hosts or target in query.hosts)
        and (not query.step or event.step == query.step)
        and (not query.outcomes or event.outcome in query.outcomes)
        and (not query.text or query.text.lower() in f"{name}: ".lower())
        and leaf.index > query.after
    )


def test_what_is_found_is_what_is_there(told: Told) -> None:
    story, leaves = told.story, [(leaf, leaf.event) for leaf in told.log.leaves()]
    queries = product(
        (None, story.change, "CHG-0000000000"), ((), ("action.finished", "run.finished")), ((), ("web2",), ("web1", "none")),
        ("", "drain"), ((), ("changed", "ok")), ("", "nginx", "%"), (-1, 9),
    )  # fmt: skip
    seen = 0
    reading = Reading(told.state)
    for change, types, hosts, step, outcomes, text, after in queries:
        query = Query(
            change=change, types=types, hosts=hosts, step=step, outcomes=outcomes, text=text, after=after
        )
        expected = [leaf.index for leaf, event in leaves if fits(leaf, event, query)]
        assert [leaf.index for leaf in reading.index.leaves(query)] == expected, query
        seen += bool(expected)
    reading.close()
    assert seen > 20
    for types in (("log.full",), ("log.full", "no.such"), ("log.full", "change.opened")):
        found = told.found(Query(few=True, types=types))
        assert [leaves[n][1].type for n in found] == [kind for kind in types if kind == "change.opened"]
    newest = told.found(Query(change=story.change, newest=True, limit=3))
    assert newest == [len(leaves) - 1, len(leaves) - 2, len(leaves) - 3]


def test_it_follows_the_log_from_where_it_was(told: Told) -> None:
    before = told.found(Query())
    inode = told.file.stat().st_ino
    told.story.act("review", "alice", reason="seen")
    assert told.found(Query()) == [*before, before[-1] + 1], "not published yet, and found"
    assert told.file.stat().st_ino == inode, "not made anew"
    assert told.found(Query(few=True, types=("change.reviewed",))) == [before[-1] + 1]


def _gone(told: Told) -> None:
    told.file.unlink()


def _torn(told: Told) -> None:
    os.truncate(told.file, told.file.stat().st_size // 2)


def _junk(told: Told) -> None:
    told.file.write_bytes(b"not a database" * 1000)


def _rows(told: Told) -> None:
    told.edit(
        "DELETE FROM leaf WHERE n = (SELECT min(leaf.n) FROM leaf JOIN word ON word.n = outcome WHERE text = 'changed')"
    )


def _layout(told: Told) -> None:
    told.edit("UPDATE mark SET value = '0' WHERE key = 'layout'")


def _another(told: Told) -> None:
    told.edit("UPDATE mark SET value = 'sha256:00' WHERE key = 'last'")


def _ahead(told: Told) -> None:
    told.edit("UPDATE mark SET value = '999999' WHERE key IN ('at', 'last_at')")


def _nowhere(told: Told) -> None:
    told.edit("UPDATE mark SET value = value || '0000000000000000000000000' WHERE key IN ('at', 'last_at')")


def _words(told: Told) -> None:
    told.edit("DROP TABLE word")


def _claims(told: Told) -> None:
    told.edit("DROP TABLE claim")


HARMS: tuple[Callable[[Told], None], ...] = (
    _gone,
    _torn,
    _junk,
    _rows,
    _layout,
    _another,
    _ahead,
    _nowhere,
    _words,
    _claims,
)


def test_an_index_that_is_none_is_made_anew_without_a_word(told: Told) -> None:
    query = Query(change=told.story.change, outcomes=("changed",))
    before = told.found(query)
    assert before
    for harm in HARMS:
        harm(told)
        assert told.found(query) == before, harm
        assert sorted(path.name for path in told.state.iterdir() if NAME in path.name) == [NAME]


def test_where_it_cannot_be_written_one_in_memory_serves(told: Told) -> None:
    told.file.unlink(missing_ok=True)
    told.file.mkdir()
    assert told.found(Query(hosts=("web3",), change=told.story.change))


def test_a_row_that_leads_to_another_leaf_shows_itself(told: Told) -> None:
    told.found(Query())
    told.edit("UPDATE leaf SET at = (SELECT at FROM leaf WHERE n = 2) WHERE n = 5")
    with pytest.raises(EvidenceInvalidError):
        told.found(Query())


@pytest.mark.parametrize(
    "statement", ["UPDATE leaf SET at = -1 WHERE n = 5", "UPDATE leaf SET at = at + (1 << 62)"]
)
def test_a_row_that_leads_nowhere_is_named(told: Told, statement: str) -> None:
    told.found(Query())
    told.edit(statement)
    with pytest.raises(LogUnavailableError, match="audit reindex"):
        told.found(Query())


def heal(told: Told) -> Path:
    """Let a sync fail after a leaf that was indexed; return the segment that the journal had until then."""
    told.log.append(Event(id="a" * 32, type="log.read", actor={"kind": "human", "id": "x"}), durable=False)
    told.found(Query())
    store = posix_log.PosixStore(told.state, boot=told.story.clock.boot())
    store.journal._marks.poisoned = 5
    store.close()
    healed = posix_log.open_log(told.state, clock=told.story.clock)
    healed.append(Event(id="b" * 32, type="log.read", actor={"kind": "human", "id": "x"}))
    assert told.found(Query()) == list(range(healed.size()))
    return told.state / "log/.state/journal.0"


def test_what_a_failed_sync_lost_is_found_in_the_fresh_segment(told: Told) -> None:
    old = heal(told)
    (start,) = (int(name) for path in old.parent.glob("journal.*") if (name := path.name[8:]) != "0")
    os.truncate(old, frames.scan(old.read_bytes()).ends[start - 1] + 3)  # by the next power cut
    assert told.found(Query()) == list(range(posix_log.open_log(told.state).size()))


def test_leaves_that_are_missing_between_segments_are_no_gap(told: Told) -> None:
    old = heal(told)
    os.truncate(old, old.stat().st_size // 2)
    for name in ("index.sqlite", "no index"):
        (told.state / name).unlink(missing_ok=True)
        with pytest.raises(LogUnavailableError, match="lacks leaves"):
            told.found(Query())
    old.unlink()
    os.mkfifo(old)
    with pytest.raises(LogUnavailableError, match="regular"):
        told.found(Query())


def test_a_journal_that_is_shorter_than_the_signed_tree_is_a_rollback(told: Told) -> None:
    journal = told.state / "log/.state/journal.0"
    told.found(Query())
    os.truncate(journal, journal.stat().st_size // 2)
    with pytest.raises(ForkError):
        told.found(Query())


def test_an_older_checkpoint_or_head_record_is_named(told: Told) -> None:
    newest = (told.state / "log/checkpoint").read_bytes()
    for harm in (newest.replace(b"\n", b"\n1", 1), b"", newest[:-9]):
        (told.state / "log/checkpoint").write_bytes(harm)
        with pytest.raises(Error):
            told.found(Query())
    (told.state / "log/checkpoint").write_bytes(newest)
    db = sqlite3.connect(told.state / "head.sqlite")
    db.execute("UPDATE head SET size = size - 1")
    db.commit()
    db.close()
    with pytest.raises(ForkError):
        told.found(Query())


def test_a_changed_leaf_is_not_shown(told: Told) -> None:
    told.found(Query())
    journal = told.state / "log/.state/journal.0"
    data = bytearray(journal.read_bytes())
    at = bytes(data).rindex(b'"changed"')
    data[at + 1] ^= 1
    journal.write_bytes(data)
    with pytest.raises(Error):
        told.found(Query(change=told.story.change))


def test_hostile_leaves_are_rows_too(told: Told) -> None:
    lone = Event(
        id="f" * 32,
        type="log.read",
        actor={"kind": "human", "id": "x\u202e\x1b[31m"},
        data={"message": "a\u2028b%_!\x00"},
    )
    told.log.append(lone)
    assert told.found(Query(text="b%_!")) == [told.log.size() - 1]
