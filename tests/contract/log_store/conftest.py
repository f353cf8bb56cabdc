"""Both stores behind one handle, so that every test here runs against each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from log_places import ORIGIN, Place

from itmp.adapters import posix_log
from itmp.testing.memory_log import MemoryReader, MemoryStore, genesis


@pytest.fixture(params=["memory", "posix"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        store = MemoryStore(ORIGIN)
        made = Place(lambda: store, lambda: MemoryReader(store))
        log = made.open()
        log.append(genesis(ORIGIN, made.key.vkey))
        log.checkpoint()
        yield made
        return
    opened: list[posix_log.PosixStore] = []

    def store_again() -> posix_log.PosixStore:
        opened.append(posix_log.PosixStore(tmp_path, boot=made.clock.boot()))
        return opened[-1]

    made = Place(store_again, lambda: posix_log.open_reader(tmp_path / "log"))
    posix_log.create(
        tmp_path,
        origin=ORIGIN,
        genesis=lambda vkey: genesis(ORIGIN, vkey),
        key=made.key,
        clock=made.clock,
        ids=made.ids,
    )
    yield made
    for item in opened:
        item.close()
