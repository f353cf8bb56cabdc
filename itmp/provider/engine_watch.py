"""Ties this process to the engine that started it: when the engine is gone, the provider is gone.

Rules kept here: an orphaned provider must not change a cloud. The kernel kills us with our parent
(PR_SET_PDEATHSIG), and a thread watches the parent by its pidfd, because the death signal belongs to the
thread that forked us. If the parent died before we could watch it, we end at once.
"""

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_POLL_SECONDS: Final = 0.2
ORPHANED: Final = 3
"""Exit status of a provider whose engine has gone."""


def die_with(parent: int) -> None:
    """End this process when process `parent`, which started it, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)
    threading.Thread(target=_watch, args=(parent,), name="engine-watch", daemon=True).start()


def _watch(parent: int) -> None:
    opened = getattr(os, "pidfd_open", None)
    if opened is None:
        while os.getppid() == parent:
            select.select([], [], [], _POLL_SECONDS)
    else:
        _wait_for_end(opened, parent)
    os._exit(ORPHANED)


def _wait_for_end(opened: Callable[[int], int], parent: int) -> None:
    try:
        watched = opened(parent)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.poll()


__all__ = ["ORPHANED", "die_with"]
