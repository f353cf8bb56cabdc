"""Published files below the log's folder: the writer's `PosixFiles`, the auditor's read-only `PosixReader`.

Rules kept here: paths are relative and stay inside; reads follow no link; writes go through `.state/tmp`; the
reader writes nothing and needs no key, so that it works on a copy of the log made by anyone.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from itmp.adapters.posix_log import durable, frames, spare
from itmp.errors import EvidenceInvalidError

STATE: Final = ".state"
_SEGMENT: Final = "journal."
_CHUNK: Final = 4 * 1024 * 1024
_STEP_SECONDS: Final = 0.3


class JournalPart:
    """One journal segment as found: `start` is its first leaf's index. `tail` is known after `chunks` ended."""

    def __init__(self, file: Path, path: str, start: int) -> None:
        self.path, self.start = path, start
        self.tail: frames.Tail = "clean"
        self._file = file

    def chunks(self) -> Iterator[Sequence[bytes]]:
        """Yield the leaves of whole frames, a few megabytes at a time."""
        with durable.opened(self._file) as descriptor:
            at, length = 0, os.fstat(descriptor).st_size
            while at < length:
                data = durable.read_at(descriptor, at, min(_CHUNK, length - at))
                found = frames.scan(data, at)
                if not found.leaves:
                    self.tail = found.tail if len(data) == length - at else "damaged"
                    return
                at += found.end
                yield found.leaves


class PosixReader:
    """A log's folder, or a copy of it, opened for reading."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str, limit: int) -> bytes | None:
        """Return a file's content, None when absent; `EvidenceInvalidError` for no file or too much."""
        return durable.read_file(self._inside(path), limit)

    def names(self, folder: str) -> Sequence[str]:
        """Return the relative paths of everything below `folder` that is no folder, sorted."""
        top = self._inside(folder)
        try:
            return sorted(_walk(os.fspath(top), "" if folder in {"", "."} else f"{folder}/"))
        except OSError as error:
            raise EvidenceInvalidError(f"cannot be read: {error.strerror}", where=str(top)) from error

    def journal(self) -> Iterator[JournalPart]:
        """Yield each journal segment, oldest first; where its spare name means another file, as in a copy, that too."""
        for start, path in segments(self._folder / STATE):
            for one in (path, *spare.other(path)):
                yield JournalPart(one, one.relative_to(self._folder).as_posix(), start)

    def wait(self) -> None:
        """Let a publisher that may be at work take its next step, which is one file made durable."""
        time.sleep(_STEP_SECONDS)

    def _inside(self, path: str) -> Path:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise EvidenceInvalidError("a path that leaves the log's folder", where=f"{path!r:.120}")
        return self._folder / pure


def _walk(top: str, name: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(top))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{name}{entry.name}/")
        else:
            yield name + entry.name


class PosixFiles(PosixReader):
    """The same folder with durable writes: temporary files in `state`, folders made below `top`, which exists."""

    def __init__(self, folder: Path, *, state: Path, top: Path) -> None:
        super().__init__(folder)
        self._state, self._folders = state, durable.Folders(top)

    def put(self, path: str, data: bytes) -> None:
        """Durably place or replace a file."""
        target = self._inside(path)
        with durable.unavailable("written", target):
            self._folders.make(target.parent)
            durable.place(target, data, temporary=durable.temporary(self._state))

    def remove(self, path: str) -> None:
        """Remove a file; absent is fine."""
        with durable.unavailable("removed", self._folder / path):
            self._inside(path).unlink(missing_ok=True)


def segments(state: Path) -> list[tuple[int, Path]]:
    """Return (first leaf, path) of each journal segment, oldest first; by its spare name where it has no other."""
    found = {}
    for folder in (state / spare.FOLDER, state):
        with durable.unavailable("read", folder):
            inside = list(folder.iterdir()) if folder.is_dir() else []
        for path in inside:
            if not path.name.startswith(_SEGMENT):
                continue
            number = path.name.removeprefix(_SEGMENT)
            if not number.isdecimal() or str(int(number)) != number:
                raise EvidenceInvalidError("not the name of a journal segment", where=str(path))
            found[int(number)] = path
    return sorted(found.items())
