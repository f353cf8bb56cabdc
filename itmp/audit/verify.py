"""Whether a log's folder, as found, is one honest log. Needs the log's verifier key and nothing of ours.

The numbered rules; every finding names its rule:
 1 the checkpoint is signed by the log's key and is of the log that was asked for;
 2 every entry bundle is there and exact;
 3 the root recomputed from the raw entries is the signed one;
 4 every tile holds the hashes recomputed from the entries, older partial tiles included;
 5 every history entry is signed, named by its size, and its root is that of the same tree;
 6 the checkpoint that the auditor kept is a prefix of this log;
 7 the first leaf names this log and its key, and is the one that the auditor trusts;
 8 every leaf is one canonical event, ids occur once, nothing follows the leaf that ends the log;
 9 each change's events are numbered without gaps and chained, and its close commits them;
10 clocks are monotone per boot, and no permit or intent of a slice says a time before the newest;
11 the journal holds the same leaves; those beyond the checkpoint are counted and judged by 8 to 10;
12 every blob is what its name says;
13 nothing else lies among the tiles and the history.

All problems are reported; only a checkpoint that cannot be opened or entries that cannot be read end the work
early.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, groupby
from typing import Final, TypeVar

from itmp import canonical
from itmp.audit._beside import Beside
from itmp.audit._lean import LeanTree
from itmp.audit._stories import Stories
from itmp.audit.blobs import MAX_BLOB
from itmp.audit.checkpoint import MAX_NOTE, Checkpoint, CheckpointError, SignedCheckpoint
from itmp.audit.doors import JournalPart, LogReader
from itmp.audit.event import Event
from itmp.audit.merkle import HASH, leaf_hash, leaf_hashes
from itmp.audit.model import Finding
from itmp.audit.tiles import ENTRIES, HEIGHT, MAX_BUNDLE, WIDTH, Tile, TileError, decode_bundle, tiles_of
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.signing import NoteVerifier

T = TypeVar("T")
_LOOKS: Final = 5
"""How often a checkpoint that is one step behind is looked at again, `LogReader.wait` before each."""


def verify(
    reader: LogReader,
    verifiers: Sequence[NoteVerifier],
    *,
    genesis: Digest | None = None,
    kept: Checkpoint | Sequence[Checkpoint] | None = None,
    decided: Checkpoint | None = None,
    events: bool = True,
) -> tuple[Finding, ...]:
    """Return everything that is wrong with the log; nothing grave means that it holds.

    `verifiers` holds the log's key (and any witnesses'). `genesis` is the trusted leaf hash of leaf 0, `kept`
    what the auditor kept: one checkpoint or several; `decided` the head that the log's own record tells of, read before
    this is called. Without `events` rules 8 to 10 are not judged: only hashes and signatures.
    """
    audit = _Audit(reader, verifiers, stories=Stories() if events else None, decided=decided)
    head = audit.newest_head()
    if head is not None and audit.read_entries(head):
        audit.check_root(head)
        audit.check_genesis(head, genesis)
        for one in (kept,) if isinstance(kept, Checkpoint) else kept or ():
            audit.check_kept(head, one)
        audit.check_history(head)
        audit.check_journal(head)
        audit.check_tiles(head)
    audit.check_blobs()
    if audit.stories:
        audit.stories.finish(audit.read_again)
    return tuple(audit.findings + (audit.stories.findings if audit.stories else []))


class _Audit:
    """One verification: what was read so far and what was found."""

    def __init__(
        self,
        reader: LogReader,
        verifiers: Sequence[NoteVerifier],
        *,
        stories: Stories | None,
        decided: Checkpoint | None = None,
    ) -> None:
        self.findings: list[Finding] = []
        self.stories = stories
        self._decided = decided
        self._reader, self._verifiers = reader, verifiers
        self._tree = LeanTree()
        self._history: dict[int, Checkpoint] = {}
        self._has_journal = False
        self._tiles: Sequence[str] = ()
        self._beside: Beside | None = None
        self._signed = 0

    def newest_head(self) -> Checkpoint | None:
        """Rules 1 and 5: the newest signed head, from the checkpoint, the history and the log's own record.

        A publisher may be at work: it lands tiles, moves the record, then lands a history entry, then the checkpoint.
        So what exists is listed in that order here, and each list can only be behind the next; and where the checkpoint
        is one step behind, it is looked at again until that publisher has had its time. What one leaves that was killed
        is no harm where the record is, which is the log's own place; of a copy it is what a replay looks like.
        """
        self._tiles = self._reader.names("tile")
        listed = self._reader.names("history")
        self._read_history(listed)
        current, looks = self._current(alone=not listed), 0
        while current and len(newer := self._newer_than(current)) == 1 and looks < _LOOKS:
            self._reader.wait()
            current, looks = self._current(alone=False), looks + 1
        if current is None:
            return None
        if not newer:
            return current
        newest = max(newer.values(), key=lambda head: head.size)
        behind = (
            f"the checkpoint is of {current.size} leaves, {newest.size} are signed: an older one was put back"
        )
        if len(newer) == 1:
            behind += ", or a publisher was killed and none came after it (itmp audit checkpoint)"
        # Whoever verifies beside the log's own record is about to publish what that has decided.
        due = len(newer) == 1 and self._decided == newest
        self._find(1, "checkpoint-behind", "checkpoint", behind, grave=not due)
        return current if due and newest.size not in self._history else newest

    def _current(self, *, alone: bool) -> Checkpoint | None:
        """Return what the checkpoint says now; its entry in the history may be newer than our list of them."""
        current = self._open("checkpoint", rule=1)
        if current and current.size not in self._history:
            self._read_newest(f"history/{current.size}.note", alone=alone)
        return current

    def _newer_than(self, current: Checkpoint) -> dict[int, Checkpoint]:
        """Return what is known to be signed beyond the checkpoint, by size."""
        known = {self._decided.size: self._decided} if self._decided else {}
        known |= self._history
        return {
            size: head
            for size, head in known.items()
            if size > current.size and head.origin == current.origin
        }

    def read_entries(self, head: Checkpoint) -> bool:
        """Rule 2, and rules 8 to 10 on the way, and of rule 11 what is the same; whether all could be read."""
        with suppress(EvidenceInvalidError):  # rule 11 lists the journal again, and says so
            self._beside = next(map(Beside, self._reader.journal()), None)
        self._signed = head.size
        for tile in tiles_of(head.size):
            if tile.level != ENTRIES:
                break
            leaves = self._attempt(2, "entries-damaged", tile.path, partial(self._bundle, tile))
            if leaves is None:
                self._find(3, "root-unknown", "checkpoint", f"entries from {tile.start} on cannot be read")
                return False
            if self._beside:
                self._beside.meet(tile.start, leaves)
            self._take(leaves)
        return True

    def read_again(self, wanted: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Yield those of the leaves, with their indexes, that can be read again; each is the one that was taken."""
        ordered = sorted(wanted)
        published = bisect_left(ordered, self._signed)
        found = chain(self._published(ordered[:published]), self._journaled(ordered[published:]))
        yield from ((index, leaf) for index, leaf in found if leaf_hash(leaf) == self._tree.leaf(index))

    def _published(self, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        for n, inside in groupby(wanted, lambda index: index // WIDTH):
            tile = Tile(level=ENTRIES, n=n, width=min(WIDTH, self._signed - n * WIDTH))
            with suppress(EvidenceInvalidError):
                leaves = self._bundle(tile)
                yield from ((index, leaves[index % WIDTH]) for index in inside)

    def _journaled(self, wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        with suppress(EvidenceInvalidError):
            for part in self._reader.journal() if wanted else ():
                at = part.start
                for leaves in part.chunks():
                    end = at + len(leaves)
                    inside = wanted[bisect_left(wanted, at) : bisect_left(wanted, end)]
                    yield from ((index, leaves[index - at]) for index in inside)
                    at = end

    def check_root(self, head: Checkpoint) -> None:
        """Rule 3."""
        if self._tree.root(head.size) != head.root:
            self._find(
                3, "root-mismatch", "checkpoint", f"the entries do not give the root signed for {head.size}"
            )

    def check_genesis(self, head: Checkpoint, trusted: Digest | None) -> None:
        """Rule 7."""
        first = self._attempt(7, "genesis-missing", "leaf 0", self._first_leaf) if head.size else None
        if first is None:
            return
        event = self._attempt(7, "genesis-invalid", "leaf 0", partial(Event.from_bytes, first))
        if event is not None and not self._names_key(event, head.origin):
            self._find(7, "genesis-foreign", "leaf 0", "the first leaf names another log or another key")
        if trusted is not None and canonical.of_raw(leaf_hash(first)) != trusted:
            self._find(7, "genesis-untrusted", "leaf 0", "the first leaf is not the one that is trusted")

    def check_kept(self, head: Checkpoint, kept: Checkpoint) -> None:
        """Rule 6."""
        if kept.origin != head.origin:
            self._find(
                6, "kept-foreign", "kept checkpoint", f"it is of {kept.origin}, the log is {head.origin}"
            )
        elif kept.size > head.size:
            self._find(
                6, "rolled-back", "kept checkpoint", f"{kept.size} leaves were known, {head.size} are here"
            )
        elif self._tree.root(kept.size) != kept.root:
            self._find(6, "forked", "kept checkpoint", f"another history of the first {kept.size} leaves")

    def check_history(self, head: Checkpoint) -> None:
        """Rule 5: every signed head is a prefix of the newest."""
        for size, old in sorted(self._history.items()):
            place = f"history/{size}.note"
            if old.origin != head.origin:
                self._find(5, "history-foreign", place, f"it is of {old.origin}")
            elif size <= head.size and self._tree.root(size) != old.root:
                self._find(5, "forked", place, f"two roots for size {size}")
        if self._history and head.size not in self._history:
            self._find(
                5, "history-missing", f"history/{head.size}.note", "the newest head is not in the history"
            )

    def check_journal(self, head: Checkpoint) -> None:
        """Rule 11."""
        parts = self._attempt(11, "journal-unreadable", ".state", self._journal_parts) or []
        self._has_journal = bool(parts)
        ends = [
            self._attempt(11, "journal-unreadable", part.path, partial(self._read_part, self._begun(part)))
            or 0
            for part in parts
        ]
        if not parts:
            return
        end, last = min(
            ((end, part) for end, part in zip(ends, parts, strict=True) if part.start == parts[-1].start),
            key=lambda found: found[0],
        )  # two of one segment, in a copy that knows no links: each must be whole
        if end < head.size:
            self._find(11, "journal-short", last.path, f"it ends at leaf {end}, {head.size} are signed")
        if max(ends) > head.size:
            beyond = f"{max(ends) - head.size} leaves are not signed yet"
            self._find(11, "unsigned", parts[-1].path, beyond, grave=False)

    def _journal_parts(self) -> list[JournalPart]:
        return list(self._reader.journal())

    def _begun(self, part: JournalPart) -> Beside:
        """The segment as far as it was read already."""
        return self._beside if self._beside and self._beside.part.path == part.path else Beside(part)

    def _read_part(self, beside: Beside) -> int:
        """Compare the rest of one segment with the entries and take what is new; return where it ends."""
        part, at = beside.part, beside.at
        if at > self._tree.size:
            self._find(11, "journal-gap", part.path, f"it starts at {at}, {self._tree.size} leaves are known")
            return at
        for leaves in beside.rest():
            self._compare(part.path, at, leaves)
            at += len(leaves)
        if part.tail != "clean":
            after = "bytes after the last whole frame"
            self._find(11, f"journal-{part.tail}", part.path, after, grave=part.tail == "damaged")
        return at

    def check_tiles(self, head: Checkpoint) -> None:
        """Rules 4 and 13: what must be there, then what else is there."""
        expected = {tile.path: tile for tile in tiles_of(head.size)}
        for path, tile in expected.items():
            if tile.level != ENTRIES:
                self._attempt(4, "tile-missing", path, partial(self._check_tile, tile))
        for path in self._tiles:
            if path not in expected:
                self._attempt(13, "stray-file", path, partial(self._check_other, path))

    def check_blobs(self) -> None:
        """Rule 12. Absence is no finding: content may be redacted."""
        for path in self._reader.names("blobs"):
            data = self._attempt(12, "blob-unreadable", path, partial(self._reader.get, path, MAX_BLOB))
            name = canonical.digest(data or b"").removeprefix("sha256:")
            if data is not None and path != f"blobs/sha256/{name[:2]}/{name}":
                self._find(12, "blob-altered", path, "the content is not that of its name")

    # Inside.

    def _read_history(self, paths: Sequence[str]) -> None:
        for path in paths:
            checkpoint = self._open(path, rule=5)
            if checkpoint is None:
                continue
            if path != f"history/{checkpoint.size}.note":
                self._find(5, "history-misnamed", path, f"it is the head of {checkpoint.size} leaves")
                continue
            self._history[checkpoint.size] = checkpoint

    def _read_newest(self, path: str, *, alone: bool) -> None:
        """A log of other makers keeps no history at all; of ours that is told, for it may have been taken away."""
        if alone and self._reader.get(path, MAX_NOTE) is None:
            self._find(5, "history-absent", "history", "no earlier head is kept here", grave=False)
        else:
            self._read_history([path])

    def _open(self, path: str, *, rule: int) -> Checkpoint | None:
        def read() -> Checkpoint:
            note = self._reader.get(path, MAX_NOTE)
            if note is None:
                raise CheckpointError("missing", where=path)
            return SignedCheckpoint.open(note, self._verifiers, where=path).checkpoint

        return self._attempt(rule, "note-invalid", path, read)

    def _bundle(self, tile: Tile) -> list[bytes]:
        data, width = self._fetch(tile, MAX_BUNDLE)
        return decode_bundle(data, width, where=tile.path)[: tile.width]

    def _fetch(self, tile: Tile, limit: int) -> tuple[bytes, int]:
        """Return the file of `tile`, or the full one that took its place, and that file's width."""
        for width in {tile.width: None, WIDTH: None}:
            data = self._reader.get(Tile(level=tile.level, n=tile.n, width=width).path, limit)
            if data is not None:
                return data, width
        raise TileError("missing", where=tile.path)

    def _take(self, leaves: Sequence[bytes]) -> None:
        start, hashes = self._tree.size, leaf_hashes(leaves)
        self._tree.extend(hashes)
        if self.stories:
            for index, (leaf, hashed) in enumerate(zip(leaves, hashes, strict=True), start):
                self.stories.take(index, leaf, hashed)

    def _compare(self, path: str, start: int, leaves: Sequence[bytes]) -> None:
        known = self._tree.size - start
        hashes = leaf_hashes(leaves[:known])
        # Most often they are equal: one look for all of them.
        if b"".join(hashes) != self._tree.hashes(0, start, len(hashes)):
            for index, hashed in enumerate(hashes, start):
                if hashed != self._tree.leaf(index):
                    where = f"{path}: leaf {index}"
                    self._find(11, "journal-differs", where, "the journal holds another leaf")
        self._take(leaves[known:])

    def _check_tile(self, tile: Tile) -> None:
        data, width = self._fetch(tile, WIDTH * HASH)
        if len(data) != width * HASH or data[: tile.width * HASH] != tile.content(self._tree):
            self._find(4, "tile-differs", tile.path, "it does not hold the hashes of the entries")

    def _check_other(self, path: str) -> None:
        """A tile that the newest head does not need: an older partial one, or one of unsigned leaves."""
        tile = Tile.parse(path)
        if tile.start + tile.width > self._tree.size >> (HEIGHT * max(tile.level, 0)):
            beyond = "a tile beyond every leaf that is here"
            self._find(13, "tile-beyond", tile.path, beyond, grave=self._has_journal)
        elif tile.level != ENTRIES:
            self._check_tile(tile)
        elif b"".join(leaf_hashes(self._bundle(tile))) != self._tree.hashes(0, tile.start, tile.width):
            self._find(2, "entries-differ", tile.path, "an older bundle holds other leaves")

    def _first_leaf(self) -> bytes:
        tile = Tile(level=ENTRIES, n=0, width=min(self._tree.size, WIDTH))
        return self._bundle(tile)[0]

    def _names_key(self, event: Event, origin: str) -> bool:
        data = event.data or {}
        keys = {verifier.vkey for verifier in self._verifiers if verifier.name == origin}
        return event.type == "log.created" and data.get("origin") == origin and data.get("log_key") in keys

    def _attempt(self, rule: int, name: str, place: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (EvidenceInvalidError, InvalidInputError) as error:
            self._find(rule, name, place, error.what)
            return None

    def _find(self, rule: int, name: str, place: str, message: str, *, grave: bool = True) -> None:
        self.findings.append(Finding(rule=rule, name=name, place=place, message=message, grave=grave))
