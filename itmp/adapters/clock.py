"""This machine's clock and its source of sortable ids.

Rules kept here: times are aware UTC; monotonic time is the kernel's since boot; an id is 48 bits of UTC
milliseconds and 80 random bits, as 32 hex digits; whether the clock is synchronised is the kernel's own word, and no
word is a no.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from itmp.errors import ToolMissingError

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x0040
"""adjtimex(2): the state of a clock that nobody disciplines, and the flag that says so."""


class SystemClock:
    """The kernel's clocks. The boot id is read once: a process does not outlive its boot."""

    __slots__ = ("_boot",)

    def __init__(self) -> None:
        try:
            self._boot = _BOOT.read_text().strip()
        except OSError as error:
            raise ToolMissingError(
                "this machine's boot id cannot be read",
                where=str(_BOOT),
                do="itmp's log needs Linux with /proc.",
            ) from error

    def now(self) -> datetime:
        """Return the aware UTC time."""
        return datetime.now(UTC)

    def mono(self) -> int:
        """Return monotonic nanoseconds since boot."""
        return time.monotonic_ns()

    def boot(self) -> str:
        """Return this boot's id."""
        return self._boot


def synchronised() -> bool:
    """Whether the kernel says that chrony, ntpd or their like keep its clock; it says no where it cannot be asked.

    No file of one of those programs is read: containers see none of them, and the same kernel.
    """
    import ctypes  # noqa: PLC0415 - asked where the policy says so

    timex = (ctypes.c_long * 64)()  # longer than struct timex is anywhere; zeros ask and set nothing
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (AttributeError, OSError):
        return False
    status = ctypes.c_int.from_buffer(timex, 5 * ctypes.sizeof(ctypes.c_long)).value
    return 0 <= state < _TIME_ERROR and not status & _STA_UNSYNC


def new_id() -> str:
    """Return a fresh event id."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"
