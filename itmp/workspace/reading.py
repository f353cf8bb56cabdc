"""Reading for people who watch: the log by its search index, without reading every leaf.

Rules kept here: the checkpoint's signature and the head record are checked, every leaf that is shown is held against
the signed tree (beyond it: its own frame), and blobs against their digest; what is missing from an index is missing
from the screen only, because nothing here is ever given to the gate, to evidence or to a signer.
"""

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itmp import canonical
from itmp.adapters import posix_log
from itmp.adapters.index import NAME, ChangeQuery, Query, SearchIndex
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.reading import HEAD, LOG
from itmp.audit import Checkpoint, Head, Leaf, LogReader, SignedCheckpoint
from itmp.audit.blobs import MAX_BLOB, blob_path
from itmp.audit.checkpoint import MAX_NOTE
from itmp.audit.tiled import ProvenHashes
from itmp.audit.tiles import TileError
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError, ForkError, LogUnavailableError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from itmp.signing import NoteVerifier

_LONG: Final = 20_000_000
"""Bytes of the journal for which an index is made in a second or so."""
_EVERY: Final = 3.0
"""Seconds between two words about how far it is."""
_TRIES: Final = 5
"""A publisher may replace the tiles between two of our reads: how often to look again."""


class Reading:
    """The log below `state`, opened for reading by its index, which is kept there unless `keep` is False.

    `alone` is for who may be without the private key, or reads a copy that has no head record. `behind` opens it at
    once, its index brought up to date or not; `say` is told why it takes long, now and then.
    """

    def __init__(
        self,
        state: Path,
        *,
        alone: bool = False,
        keep: bool = True,
        behind: bool = False,
        say: "Callable[[str], None] | None" = None,
    ) -> None:
        self._state, self._files, self._alone = state, posix_log.open_reader(state / LOG), alone
        self._index = state / NAME if keep else None
        self._behind, self._progress = behind, _Progress(say) if say else None
        self.index = self._open()

    def blob(self, digest: Digest) -> bytes:
        """Return content by its digest, verified; `NotFoundError` when absent."""
        return read_blob(self._files, digest)

    def close(self) -> None:
        """Close all files."""
        self.index.close()

    def changes(self) -> tuple[str, ...]:
        """Return every change, in the order of their first events."""
        return self.index.changes(ChangeQuery(), limit=-1)[::-1]

    def carrying(self, external: str) -> tuple[str, ...]:
        """Return the changes that claim this external reference, in the order of their first events."""
        return self.index.changes(ChangeQuery(external=external), limit=-1)[::-1]

    def waiting(self) -> tuple[str, ...]:
        """Return the changes that neither claim an end nor a permit, in the order of their first events."""
        return self.index.changes(ChangeQuery(waiting=True), limit=-1)[::-1]

    def begun(self, most: int) -> tuple[str, ...]:
        """Return the newest `most` changes that claim a permit and no end, the newest first."""
        return self.index.changes(ChangeQuery(begun=True), limit=most)

    @property
    def signed(self) -> int:
        """How many leaves the checkpoint's tree has."""
        return self._proven.size

    def signed_leaf(self, index: int) -> Leaf | None:
        """Return leaf `index` as the checkpoint's tree has it; None beyond that tree, or where the index has no way."""
        return self.index.leaf(index) if index < self._proven.size else None

    def find_hash(self, name: Digest) -> int | None:
        """Return the first leaf of the signed tree with this hash: by the proven tiles, not by the index."""
        return self._proven.find(canonical.raw(canonical.parse_digest(name)))

    def has(self, change: str) -> bool:
        """Whether the log has any event of this change."""
        return next(self.index.leaves(Query(change=change, few=True, limit=1)), None) is not None

    def _open(self) -> SearchIndex:
        for left in reversed(range(_TRIES)):
            head = self._head()
            try:
                self._proven = ProvenHashes(self._files.get, head)
            except TileError:
                if left and self._head() != head:
                    continue
                raise
            tell: dict[str, Any] = {"tell": self._progress.tell} if self._progress else {}
            return SearchIndex(self._index, self._state / LOG, self._proven, behind=self._behind, **tell)
        raise LogUnavailableError("the published tiles kept moving", do="Try again in a moment.")

    def _head(self) -> Checkpoint:
        """Return the newest published head, held against the head record."""
        note = self._files.get("checkpoint", MAX_NOTE)
        if note is None:
            raise LogUnavailableError("the checkpoint is missing", do="itmp audit verify")
        signed = SignedCheckpoint.open(note, (self._verifier,), where="checkpoint").checkpoint
        if self._alone:
            known: Head | Checkpoint = posix_log.known_head(self._state)
        else:
            known = SqliteHeads(self._state / HEAD).read()
        if known.size < signed.size or (known.size == signed.size and known.root != signed.root):
            raise ForkError(
                f"the checkpoint has {signed.size} leaves, the head record knows {known.size}",
                do="An older copy was put back, or leaves were lost. Restore the newest log; never sign on.",
            )
        return signed

    @cached_property
    def _verifier(self) -> "NoteVerifier":
        if self._alone:
            return posix_log.verifier_of(self._state)
        return posix_log.key_of(self._state).verifier


class _Progress:
    """Says how far the index is, once that takes seconds."""

    def __init__(self, say: "Callable[[str], None]") -> None:
        self._say, self._since = say, time.monotonic()

    def tell(self, done: int, whole: int) -> None:
        """Take note of how many bytes are done."""
        if whole >= _LONG and time.monotonic() >= self._since:
            self._say(f"making the search index: {100 * done // whole} % of {whole // 1_000_000} MB")
            self._since = time.monotonic() + _EVERY


def read_blob(files: LogReader, digest: Digest) -> bytes:
    """Return content by its digest, verified; `NotFoundError` when absent."""
    data = files.get(blob_path(canonical.parse_digest(digest)), MAX_BLOB)
    if data is None:
        raise NotFoundError("no such blob", where=digest, do="It may have been redacted.")
    if canonical.digest(data) != digest:
        raise EvidenceInvalidError("a blob's content is not that of its name", where=digest)
    return data
