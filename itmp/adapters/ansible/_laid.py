"""Holds the files whose tasks are carried out to what the slice laid out: its plays can write there.

Rules kept here: each file of the project is remembered as soon as it is laid out, before anything runs, by what the
kernel says of it: which file it is, its length, and when its content and its entry were last changed. The last of these
no program sets, so a file that was changed, or exchanged, and put back is still another one. Looking costs one call of
the kernel for an action, and reads nothing.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

CHANGED: Final = "its file is no longer as the slice laid it out"
DO: Final = "Find out what changed the slice's own copy of the project, and have it write elsewhere."
_PROJECT: Final = "project/"
_GONE: Final = (0, 0, 0, 0)


class Laid:
    """The project of one slice in `folder`; to be made once the `paths` are laid out, and before anything runs."""

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        self._folder = f"{folder}{os.sep}"
        self._known = {path: _look(self._folder + path) for path in paths if path.startswith(_PROJECT)}

    def changed(self, path: str) -> bool:
        """Tell whether a file of the plan is another one by now; of what the plan does not hold nothing is known."""
        known = self._known.get(path)
        return known is not None and _look(self._folder + path) != known


def _look(path: str) -> tuple[int, int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 -- once for each action
    except OSError:
        return _GONE
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


__all__ = ["CHANGED", "DO", "Laid"]
