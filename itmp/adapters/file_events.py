"""Waiting until files may have changed: by the kernel's own events where it gives them, else by a look now and then.

Rules kept here: from opening on nothing is missed, because events queue up while nobody waits; waiting is sleeping, to
the millisecond asked for; where another machine may write (a network filesystem), or the kernel gives no events (its
limits are used up), waiting ends after a second at the latest, and everywhere after half a minute, so that a lost event
costs time and never the answer. What has changed is not said: whoever waits looks again.
"""

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inotify_simple import INotify

LOOK: Final = 1.0
"""Seconds between two looks where there are no events."""
SAFE: Final = 30.0
"""Seconds between two looks where there are."""
_LOCAL: Final = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs")
)  # fmt: skip
"""Filesystems that only this machine writes to."""
_MOUNTS: Final = Path("/proc/self/mountinfo")


class FileEvents:
    """Changes of the files directly in `folders`: written, made, moved in, removed, or closed after writing.

    `subscribed` says whether events are what ends a wait. `kind` gives a folder's filesystem.
    """

    def __init__(self, folders: Iterable[Path], *, kind: Callable[[Path], str] | None = None) -> None:
        self._notify = _subscribe(tuple(folders), kind or filesystem)

    @property
    def subscribed(self) -> bool:
        """Whether the kernel tells us, so that nobody has to look."""
        return self._notify is not None

    def wait(self, seconds: float) -> bool:
        """Return once something may have changed, or after `seconds`; False when only the time asked for has passed."""
        seconds = max(0.0, seconds)
        if self._notify is None:
            time.sleep(min(seconds, LOOK))
            return seconds > LOOK
        poll = select.poll()
        poll.register(self._notify.fileno(), select.POLLIN)
        came = bool(poll.poll(min(seconds, SAFE) * 1000))
        self._drain()
        return came or seconds > SAFE

    def close(self) -> None:
        """Give the subscription back."""
        if self._notify is not None:
            self._notify.close()

    def _drain(self) -> None:
        assert self._notify is not None  # noqa: S101 - asked by the caller
        with suppress(BlockingIOError):
            while os.read(self._notify.fileno(), 64 * 1024):
                pass


def filesystem(folder: Path) -> str:
    """Return the kind of filesystem that a folder lies on; empty where that cannot be found out."""
    try:
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        return next((kind for number, kind in _mounts() if number == wanted), "")
    except OSError:
        return ""


def _mounts() -> Iterator[tuple[str, str]]:
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        yield left.split()[2], right.split()[0]


def _subscribe(folders: tuple[Path, ...], kind: Callable[[Path], str]) -> "INotify | None":
    if not all(folder.is_dir() and kind(folder) in _LOCAL for folder in folders):
        return None
    try:
        from inotify_simple import INotify, flags  # noqa: PLC0415 - only who waits needs it

        notify = INotify(nonblocking=True)
    except (ImportError, OSError, AttributeError):  # no such kernel call here, or no descriptor left
        return None
    mask = flags.MODIFY | flags.CREATE | flags.MOVED_TO | flags.DELETE | flags.CLOSE_WRITE
    try:
        for folder in folders:
            notify.add_watch(folder, mask | flags.ONLYDIR)
    except OSError:
        notify.close()
        return None
    return notify
