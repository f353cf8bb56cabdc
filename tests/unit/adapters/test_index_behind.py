"""An index that is far behind its log hides nothing and holds nobody up."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from places import wait_for

from itmp.adapters import index, posix_log
from itmp.adapters.index import NAME, Query, _frames
from itmp.audit import Event
from itmp.errors import EvidenceInvalidError, ForkError, LogUnavailableError
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace import Workspace, handing, logs, reading, reindex, watched
from itmp.workspace.indexing import indexing
from itmp.workspace.reading import Reading

if TYPE_CHECKING:
    from itmp.audit import Log
    from itmp.canonical import Digest
    from itmp.change import Permit

HOSTS = tuple(f"web{n}" for n in range(1, 6))
RESULTS = 150


class Long:
    """A workspace whose log has a run with many results, and no index."""

    def __init__(self, root: Path) -> None:
        self.place = Workspace.here(root) if (root / "itmp.yml").exists() else self._made(root)
        self.state = root / ".itmp"
        self.story = Story(plan=small_plan(hosts=HOSTS))
        genesis = self.story.log.leaf(0).event
        self.log: Log = posix_log.create(
            self.state, origin=ORIGIN, genesis=genesis, key=self.story.key, clock=self.story.clock
        )
        self.story.log = self.log
        self.story.open()
        self.story.act("approve", "bob")
        self.permit: Permit = self.story.permit()
        self.story.say(self.permit, "run.started", data={"permit": self.permit.leaf})
        step = self.story.steps()[0]
        self.intent: Digest = self.story.intend(self.permit, step, step.hosts).hash
        self.tell(RESULTS)
        self.log.checkpoint()
        (self.state / NAME).unlink(missing_ok=True)

    def _made(self, root: Path) -> Workspace:
        (root / ".itmp").mkdir(mode=0o700)
        (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
        return Workspace.here(root)

    def tell(self, count: int) -> None:
        step = self.story.steps()[0]
        for n in range(count):
            outcome = "failed" if n % 40 == 39 else "changed"
            self.story.result(self.permit, step, self.intent, HOSTS[n % len(HOSTS)], outcome=outcome)

    def opened(self, *, behind: bool = True) -> Reading:
        return Reading(self.state, behind=behind)

    def rows(self) -> int:
        """How many leaves have rows in the file, whoever made them."""
        db = sqlite3.connect(self.state / NAME)
        found = int(db.execute("SELECT count(*) FROM leaf").fetchone()[0])
        db.close()
        return found


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Long:
    monkeypatch.setattr(index, "BEARABLE", 0)
    return Long(tmp_path)


def queries(change: str) -> Iterator[Query]:
    """Yield a query of each kind, and turned round, and bounded."""
    for wanted in (change, None, "CHG-0000000000", ""):
        base = Query(change=wanted)
        yield from (base, replace(base, few=True), replace(base, after=9), replace(base, run="run-1"))
        yield from (
            replace(base, step="drain"),
            replace(base, hosts=("web2", "web9")),
            replace(base, hosts=("we",)),
        )
        yield from (
            replace(base, outcomes=("failed", "ok")),
            replace(base, types=("run.started", "action.finished")),
        )
        yield from (replace(base, text="NGINX"), replace(base, text="%"), replace(base, since=1 << 60))
        yield replace(base, types=("run.started",), few=True)


@pytest.mark.parametrize("rowed", [0, 4, 80, 10_000])
def test_what_is_found_is_what_an_index_finds_that_is_whole(long: Long, rowed: int) -> None:
    half = long.opened()
    while half.index.size < rowed and half.index.follow():
        pass
    half.close()
    behind, whole = long.opened(), Reading(long.state)
    seen = 0
    for query, newest, limit in product(queries(long.story.change), (False, True), (0, 1, 7)):
        asked = replace(query, newest=newest, limit=limit)
        expected = [leaf.index for leaf in whole.index.leaves(asked)]
        assert [leaf.index for leaf in behind.index.leaves(asked)] == expected, asked
        seen += bool(expected)
    assert seen > 50
    for name in ("type", "change", "run", "step", "host", "outcome"):
        query = Query(change=long.story.change)
        assert behind.index.distinct(name, query) == whole.index.distinct(name, query)
    assert behind.changes() == whole.changes() == (long.story.change,)


def test_a_first_look_waits_for_no_rows(long: Long, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, real = list[int](), index._beyond.facts
    monkeypatch.setattr(index._beyond, "facts", lambda leaf: parsed.append(1) or real(leaf))
    monkeypatch.setattr(_frames, "_FIRST", 64 * 1024)
    for words in ({}, {"host": "web3"}, {"step": "drain"}, {"failed": True}):
        entries = list(islice(logs(long.place, long.story.change, **words), 3))  # type: ignore[arg-type]
        assert len(entries) == 3
        assert long.rows() == 0, "nothing was indexed for it"
        assert len(parsed) < 40, f"{words}: most leaves are passed over by their bytes, or not reached"
        parsed.clear()
    (newest,) = logs(long.place, long.story.change, limit=1)
    assert newest.leaf == long.log.size() - 1
    assert len(list(logs(long.place, long.story.change))) == RESULTS
    assert long.rows() == 0


def test_a_search_makes_the_index_and_says_so(long: Long, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LONG", 0)
    said = list[str]()
    place = Workspace.here(long.place.root, say=said.append)
    assert len(list(logs(place, long.story.change, search="NGINX"))) == RESULTS
    assert long.rows() == long.log.size()
    assert said[0].startswith("making the search index: 0 % of ")
    said.clear()
    assert len(list(logs(place, long.story.change, search="nginx"))) == RESULTS
    assert said == [], "once is enough"


def test_what_is_beyond_the_rows_is_held_against_the_signed_tree(long: Long) -> None:
    journal = long.state / "log/.state/journal.0"
    whole = journal.read_bytes()
    found = posix_log.frames.scan(whole)
    changed = found.leaves[-3].replace(b'"changed"', b'"skipped"')
    journal.write_bytes(
        b"".join(map(posix_log.frames.encode, [*found.leaves[:-3], changed, *found.leaves[-2:]]))
    )
    with pytest.raises(EvidenceInvalidError):
        list(long.opened().index.leaves(Query(change=long.story.change)))
    journal.write_bytes(whole[: found.ends[-10]])
    with pytest.raises(ForkError):
        list(long.opened().index.leaves(Query(change=long.story.change)))


def test_bits_bring_it_up_to_date(long: Long) -> None:
    one = long.opened()
    sizes = [0]
    while one.index.follow():
        sizes.append(one.index.size)
    assert sizes == sorted(set(sizes))
    assert len(sizes) > 2, "in bits"
    assert sizes[-1] == long.log.size() == long.rows()
    assert one.index.kept
    reindex(long.place)
    assert not one.index.kept, "the file of that name is another one now"
    one.close()


def test_no_rows_are_made_under_the_mark_of_a_journal_that_was_healed_since(long: Long) -> None:
    one = long.opened()
    store = posix_log.PosixStore(long.state, boot=long.story.clock.boot())
    store.journal._marks.poisoned = 5
    store.close()
    healed = posix_log.open_log(long.state, clock=long.story.clock)
    healed.append(Event(id="b" * 32, type="log.read", actor={"kind": "human", "id": "x"}))
    asks: tuple[Callable[[], object], ...] = (one.changes, one.index.follow)
    for ask in asks:
        with pytest.raises(LogUnavailableError, match="was healed"):
            ask()
    one.close()
    assert long.rows() == 0
    assert long.opened(behind=False).changes() == (long.story.change,)
    assert long.rows() == healed.size()


@pytest.mark.parametrize("meanwhile", ["nothing", "deleted", "junk"])
def test_while_a_run_goes_rows_are_made_as_it_goes(
    long: Long, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    monkeypatch.setattr("itmp.workspace.indexing.EVERY", 0.05)
    harm: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "deleted": (long.state / NAME).unlink,
        "junk": lambda: ((long.state / NAME).unlink(), (long.state / NAME).write_bytes(b"no database" * 999)),
    }
    with indexing(long.place.shard):
        wait_for(lambda: (long.state / NAME).exists() and long.rows() == long.log.size(), "the first rows")
        harm[meanwhile]()
        long.tell(50)
        wait_for(lambda: _rows(long) == long.log.size(), "the others")


def _rows(long: Long) -> int:
    try:
        return long.rows()
    except sqlite3.Error:
        return -1


def test_rows_are_made_beside_a_proposed_rotation_and_nobody_is_alerted(
    long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    (long.state / "rotation").mkdir()
    asked, told, tried = list[object](), list[object](), threading.Event()
    monkeypatch.setattr("itmp.workspace.indexing.EVERY", 0.02)
    monkeypatch.setattr(handing, "settle", asked.append)
    monkeypatch.setattr(watched.alerting, "tell", lambda *what: told.append(what))
    with indexing(long.place.shard):
        wait_for(lambda: _rows(long) == long.log.size(), "rows")
    assert asked == []
    (long.state / "log/checkpoint").rename(long.state / "log/elsewhere")
    real = reading.Reading._head
    monkeypatch.setattr(reading.Reading, "_head", lambda one: tried.set() or real(one))
    with indexing(long.place.shard):
        assert tried.wait(10)
    assert (asked, told) == ([], [])


def test_no_run_waits_for_its_index_or_ends_for_lack_of_a_thread(
    long: Long, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itmp.workspace.indexing.EVERY", 0.02)
    monkeypatch.setattr("itmp.workspace.indexing.PATIENCE", 0.1, raising=False)
    stalled, over = threading.Event(), threading.Event()
    monkeypatch.setattr(reading.Reading, "_head", lambda _: stalled.set() or over.wait(5))
    with indexing(long.place.shard):
        assert stalled.wait(10)
        since = time.monotonic()
    took = time.monotonic() - since
    over.set()
    assert took < 3, "it waits for a bit, not for a disk that stalls"

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with indexing(long.place.shard):
        pass
