"""The log, with somebody who is told when it cannot be written, read or believed.

Rules kept here: what the log raises is raised on, unchanged and at once; telling is `alerting`'s, and costs nothing
where no route is configured; who reads a copy, without its key, tells nobody.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from itmp.adapters import posix_log
from itmp.audit import DiskFullError, Event, Expect, Log, Receipt, SignedCheckpoint
from itmp.errors import Error, EvidenceInvalidError, ForkError, LogUnavailableError
from itmp.workspace import alerting
from itmp.workspace.alerting import Site

_INCIDENTS: Final[tuple[tuple[type[Error], str], ...]] = (
    (DiskFullError, "log-full"),
    (ForkError, "rolled-back"),
    (LogUnavailableError, "log-unavailable"),
    (EvidenceInvalidError, "damaged"),
)
"""Most special first."""
WRITES: Final = frozenset({"log-full", "log-unavailable"})
"""What a leaf that is durable again has put an end to."""


def open_watched(place: Site) -> Log:
    """Open the log of a workspace; see `posix_log.open_log`, and `open_reading` for one that is read alone."""
    with telling(place):
        if place.reads:
            return posix_log.open_reading(place.shard)
        if not place.config.alerts:
            return posix_log.open_log(place.shard)
        alerting.prepare(place)
        return posix_log.open_log(place.shard, make=partial(_WatchedLog, place))


@contextmanager
def telling(place: Site) -> Iterator[None]:
    """Have somebody told of what the log raises in the block."""
    try:
        yield
    except Error as error:
        for kind, incident in _INCIDENTS:
            if isinstance(error, kind) and (place.keyed or not place.reads):
                alerting.tell(place, incident)
                break
        raise


class _WatchedLog(Log):
    """The log; whatever keeps it from being written is told."""

    def __init__(self, place: Site, *args: Any, **kwargs: Any) -> None:
        self._workspace = place
        super().__init__(*args, **kwargs)

    def extend(
        self, events: Sequence[Event], *, expect: Expect | None = None, durable: bool = True
    ) -> tuple[Receipt, ...]:
        """Append events; see `Log.extend`."""
        with telling(self._workspace):
            return super().extend(events, expect=expect, durable=durable)

    def checkpoint(self) -> SignedCheckpoint:
        """Sign and publish the head; see `Log.checkpoint`."""
        with telling(self._workspace):
            signed = super().checkpoint()
        alerting.settle(self._workspace, WRITES)
        return signed
