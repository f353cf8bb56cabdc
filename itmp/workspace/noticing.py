"""Noticing that the log has grown or that a change was let go of, without looking again and again.

Rules kept here: whoever follows a log waits for its files' events (`adapters.file_events`) and then looks; between two
looks at least a few times as long passes as a look takes, so that following a busy run costs a part of one processor
and never all of it. Whether a process holds a change is asked without leaving a trace that would wake others.
"""

import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from itmp.adapters.file_events import FileEvents
from itmp.adapters.hold import is_taken
from itmp.adapters.posix_log import LOG, STATE
from itmp.workspace.place import Workspace

_SHARE: Final = 4.0
"""Of the time, a follower looks for at most one part in five."""
_LONGEST: Final = 2.0
"""Seconds that a slow look holds up the next one at most."""


class Notice:
    """Wakes when the log may have grown, or when a holder of a change has let go of it or died."""

    def __init__(self, place: Workspace) -> None:
        log = place.state / LOG
        with suppress(OSError):  # whoever may only read looks now and then
            place.leases.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._events = FileEvents((log / STATE, log, place.leases))
        self._looked = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.close()

    @property
    def subscribed(self) -> bool:
        """Whether events end a wait, and not the clock."""
        return self._events.subscribed

    def wait(self, seconds: float) -> None:
        """Return when it is worth looking again, after `seconds` at the latest."""
        end = time.monotonic() + seconds
        cost = time.monotonic() - self._looked
        if self._events.wait(seconds) and self.subscribed:
            pause = min(cost * _SHARE, _LONGEST, end - time.monotonic())
            time.sleep(max(0.0, pause))
        self._looked = time.monotonic()


def is_held(place: Workspace, change: str) -> bool:
    """Whether a process holds the change now; True where that may not be asked.

    Asking takes nothing, so that it keeps nobody from taking it.
    """
    try:
        return is_taken(place.leases / f"{change}.lock")
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


def is_any_held(place: Workspace) -> bool:
    """Whether a process holds any change now, as whoever keeps contents does; asked like `is_held`."""
    return any(is_held(place, path.stem) for path in place.leases.glob("*.lock"))
