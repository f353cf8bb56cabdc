"""A torn tail is cut and recorded while the log ends and is moved: its bytes lie where the leaf that names them lies."""

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from log_rotation import rotate, template

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log import PosixStore, frames, periods
from itmp.adapters.posix_log.files import PosixFiles
from itmp.audit import Event, HeadMovedError, Log
from itmp.testing.story import EXECUTOR
from itmp.workspace import handing

TORN = frames.encode(b'{"a":"leaf that was never whole"}')[:-9]


class Meddled(PosixFiles):
    """Lets `meanwhile` happen where a blob is about to be placed."""

    meanwhile: Callable[[], object]

    def put(self, path: str, data: bytes) -> None:
        if path.startswith("blobs/"):
            self.meanwhile()
        super().put(path, data)


def tear(state: Path) -> None:
    with (state / "log/.state/journal.0").open("ab") as file:
        file.write(TORN)


def opened(state: Path, meanwhile: Callable[[], object]) -> Log:
    """Open the log so that `meanwhile` happens in it."""
    store = PosixStore(state, boot="another")
    store.files = files = Meddled(state / "log", state=state / "log/.state", top=state / "log")
    files.meanwhile = meanwhile
    return Log(store, posix_log.key_of(state), SystemClock(), new_id)


def blobs(state: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in state.glob("log/blobs/sha256/*/*"))


def test_a_log_is_not_moved_while_a_cut_is_recorded_in_it(tmp_path: Path) -> None:
    state = template(tmp_path / "w")
    before, old = blobs(state), state / periods.PERIODS / "2026"

    def end_and_move() -> None:
        while not old.exists():
            with suppress(HeadMovedError):  # the record of the cut is one leaf more
                rotate(state)

    other = threading.Thread(target=end_and_move)

    def meanwhile() -> None:
        other.start()  # nobody can write the leaf after which the log may be moved
        descriptor = os.open(state / "log/.state/append.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)

    tear(state)
    log = opened(state, meanwhile)
    log.append(Event(id=new_id(), type="log.read", actor=EXECUTOR))
    other.join()
    (recovered,) = [
        leaf.event for leaf in posix_log.open_log(old).leaves() if leaf.event.type == "log.recovered"
    ]
    assert posix_log.open_log(old).blob((recovered.data or {})["blob"]) == TORN
    assert (blobs(old), blobs(state)) == (sorted([*before, TORN]), [])
    assert [list((place / "log/.state/cuts").iterdir()) for place in (old, state)] == [[], []]


def test_a_leaf_torn_after_the_keys_revocation_is_no_content_of_the_log(tmp_path: Path) -> None:
    """What killed a revocation between its two leaves leaves: no leaf may say so any more."""
    state = template(tmp_path / "w", "the disk was copied")
    log = posix_log.open_log(state)
    handing.end(log, handing.read(state), state, size=log.size())
    whole = (state / "log/.state/journal.0").read_bytes()
    found, before = frames.scan(whole), blobs(state)
    last = whole[found.ends[-2] : -9]
    (state / "log/.state/journal.0").write_bytes(whole[:-9])
    (state / "log/.state/marks").unlink()  # the machine went down
    handing.settle(state)
    old = state / periods.PERIODS / "2026"
    assert [leaf.event.type for leaf in posix_log.open_log(old).leaves()][-2:] == [
        "key.revoked",
        "key.rotated",
    ]
    assert (blobs(old), blobs(state)) == (before, [])
    assert [path.read_bytes() for path in (old / "log/.state/cuts").iterdir()] == [last]
