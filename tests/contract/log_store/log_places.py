"""A log's store behind one handle: `open()` it as another process would."""

from collections.abc import Callable
from datetime import UTC, datetime

from itmp.audit import Event, Log, LogReader
from itmp.signing import NoteKey
from itmp.testing.memory_log import StepClock, counting_ids

ORIGIN = "example.com/ops/2026"
START = datetime(2026, 11, 22, 5, tzinfo=UTC)


class Place:
    """Where a log lives: `open()` gives a fresh `Log` on it, as another process would have."""

    def __init__(self, store: Callable[[], object], reader: Callable[[], LogReader]) -> None:
        self.key = NoteKey.generate(ORIGIN, bytes(range(32)))
        self.clock = StepClock(START)
        self.ids = counting_ids(1)
        self.store, self.reader = store, reader

    def open(self) -> Log:
        return Log(self.store(), self.key, self.clock, self.ids)

    def event(
        self, kind: str = "action.finished", *, change: str = "CHG-0000000001", **fields: object
    ) -> Event:
        actor = {"kind": "executor", "id": "itmp"}
        return Event(id=self.ids(), type=kind, actor=actor, change=change, **fields)
