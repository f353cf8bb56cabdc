"""A log that has ended, packed into one file: written once, read in place, and unpacked again.

Rules kept here: the same log gives the same bytes (`itmp.evidence.archive`'s one form: its files under `log/`, sorted,
and the public key); the journal is left out, for the published bundles hold every leaf of a log that has ended; a file
is whole and durable before it has its name; unpacking gives a log that opens like any other, its journal made from the
bundles.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from itmp.adapters.posix_log import durable, frames
from itmp.adapters.posix_log.files import STATE, JournalPart, PosixReader
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.journal import PosixJournal
from itmp.adapters.posix_log.reading import HEAD, LOG, RETIRED
from itmp.audit import Head, SignedCheckpoint
from itmp.audit.blobs import MAX_BLOB
from itmp.audit.checkpoint import MAX_NOTE
from itmp.audit.published import bundled
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.evidence import archive
from itmp.signing import NoteVerifier

_LOG: Final = f"{LOG}/"
_MAX_KEY: Final = 4096


class PackedReader:
    """A packed log, opened for reading. Keeps the contract of `LogReader`; all that it returns may be hostile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._opened() as file:
            self._places = archive.places(file)

    @property
    def verifier(self) -> NoteVerifier:
        """The public key that the file names; it is believed only where somebody else names it too."""
        return NoteVerifier.parse(
            (self._take(RETIRED, _MAX_KEY) or b"").decode(errors="replace").rstrip("\n")
        )

    def get(self, path: str, limit: int) -> bytes | None:
        """Return a file's content, None when absent; `EvidenceInvalidError` for too much."""
        return self._take(_LOG + path, limit)

    def names(self, folder: str) -> Sequence[str]:
        """Return the paths of all files below `folder`, sorted."""
        start = f"{_LOG}{folder}/" if folder else _LOG
        return sorted(name.removeprefix(_LOG) for name in self._places if name.startswith(start))

    def journal(self) -> Iterator[JournalPart]:
        """Yield nothing: a packed log has no journal."""
        yield from ()

    def wait(self) -> None:
        """Return at once: nobody writes to a packed log."""

    def _take(self, name: str, limit: int) -> bytes | None:
        if name not in self._places:
            return None
        at, size = self._places[name]
        if size > limit:
            raise EvidenceInvalidError(f"a file of {size} bytes; the limit is {limit}", where=name)
        with self._opened() as file:
            file.seek(at)
            return file.read(size)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self._path.open("rb") as file:
                yield file
        except OSError as error:
            raise InvalidInputError(f"cannot be read: {error.strerror}", where=str(self._path)) from error


def pack(root: Path, target: Path) -> None:
    """Pack the ended log below `root` into `target`, durably."""
    reader = PosixReader(root / LOG)
    temporary = target.with_name(f".{target.name}.new")
    with durable.unavailable("written", target):
        with temporary.open("wb") as file:
            archive.write(file, _members(root, reader))
            file.flush()
            durable.sync_file(file.fileno())
        temporary.rename(target)
        durable.sync_folder(target.parent)


def _members(root: Path, reader: PosixReader) -> Iterator[tuple[str, bytes]]:
    yield RETIRED, (root / RETIRED).read_bytes()
    for name in reader.names("."):
        if not name.startswith(f"{STATE}/"):
            yield _LOG + name, reader.get(name, MAX_BLOB) or b""


def unpack(packed: PackedReader, root: Path) -> None:
    """Make the log below `root`, which does not exist, from a packed one; the folder's name appears last."""
    staging = root.with_name(f".{root.name}.new")
    log = staging / LOG
    with durable.unavailable("written", root):
        PosixJournal.create(log / STATE)
        for name in packed.names(""):
            _place(log / name, packed.get(name, MAX_BLOB) or b"")
        note = packed.get("checkpoint", MAX_NOTE) or b""
        head = SignedCheckpoint.open(note, [packed.verifier], where="checkpoint").checkpoint
        own = packed.get(f"history/{head.size}.note", MAX_NOTE) or note
        SqliteHeads(staging / HEAD).create(Head(origin=head.origin, size=head.size, root=head.root, note=own))
        with (log / STATE / "journal.0").open("wb") as file:
            for leaf in bundled(packed, head.size):
                file.write(frames.encode(leaf))
            file.flush()
            durable.sync_file(file.fileno())
        _place(staging / RETIRED, packed.verifier.vkey.encode() + b"\n")
        os.sync()
        staging.rename(root)
        durable.sync_folder(root.parent)


def _place(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
