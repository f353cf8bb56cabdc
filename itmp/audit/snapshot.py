"""The authenticated snapshot: what the log needs to know of its first `size` leaves, signed by the log's key.

Rules kept here: a snapshot is derived from raw leaves and saves time, never trust. Its note names log, size, root and
the digest of its state; the state names its parts by digest; hashes come from tiles that hash to the signed root. One
that is missing, damaged, not signed by this log's key or of another log is passed over. One whose note holds is also a
head that is known: leaves that do not continue it are a fork. Files are written before the note that names them, and
those of a snapshot's names that no kept note names are removed.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from itmp import canonical
from itmp.audit._fact import Fact, read_fact
from itmp.audit._parts import LARGEST, Part, change_key, id_key
from itmp.audit._view import View
from itmp.audit.checkpoint import MAX_NOTE
from itmp.audit.doors import Files, Head, LogStore
from itmp.audit.merkle import HASH, root_of_peaks
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.signing import LogKey, NoteVerifier, open_note

EVERY: Final = 4096
"""Leaves between two snapshots: opening reads at most about so many."""

_KEPT: Final = 2
_MAX_STATE: Final = 16 * 1024 * 1024
_MAX_PART: Final = 64 * 1024 * 1024
_NOTE: Final = re.compile(r"(0|[1-9]\d{0,18})\.note\Z", re.ASCII)
_OURS: Final = re.compile(r"\d{1,19}\.(note|state)\Z|parts/\d{1,19}-\d{1,19}\Z", re.ASCII)
_TEXT: Final = re.compile(
    r"itmp-snapshot/v1\nlog (.+)\nsize (0|[1-9]\d{0,18})\nroot (\S+)\nstate (sha256:[0-9a-f]{64})\n\Z",
    re.ASCII,
)

Read: TypeAlias = Callable[[int, int], Iterator[bytes]]
"""Yields the raw leaves [start, end), each checked against its hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One part: its leaves, its digest, and the bounds of its ids' keys."""

    start: int
    end: int
    digest: Digest
    low: bytes
    high: bytes

    @property
    def path(self) -> str:
        """Its file."""
        return f"parts/{self.start}-{self.end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is remembered of the first `size` leaves; `position` is the journal's own."""

    size: int
    peaks: Sequence[bytes]
    spans: Sequence[Span]
    policies: Sequence[int]
    recovered: Sequence[tuple[str, str]]
    newest: str
    last_type: str
    position: Sequence[int]

    def to_bytes(self) -> bytes:
        """Return the one encoding: canonical JSON."""
        spans = [
            {"start": s.start, "end": s.end, "digest": s.digest, "low": s.low.hex(), "high": s.high.hex()}
            for s in self.spans
        ]
        value = {"size": self.size, "peaks": [peak.hex() for peak in self.peaks], "parts": spans}
        value |= {"policies": list(self.policies), "recovered": [list(pair) for pair in self.recovered]}
        value |= {"newest": self.newest, "last_type": self.last_type, "position": list(self.position)}
        return canonical.dumps(value)

    @classmethod
    def from_bytes(cls, data: bytes) -> "State":
        """Read a state whose digest was checked; raise `EvidenceInvalidError` when it is not one of ours."""
        try:
            value: dict[str, Any] = canonical.loads(data)
            return cls(
                size=value["size"],
                peaks=[bytes.fromhex(peak) for peak in value["peaks"]],
                spans=[_span(item) for item in value["parts"]],
                policies=value["policies"],
                recovered=[(size, blob) for size, blob in value["recovered"]],
                newest=value["newest"],
                last_type=value["last_type"],
                position=value["position"],
            )
        except (KeyError, TypeError, ValueError, InvalidInputError) as error:
            raise EvidenceInvalidError("not the state of a snapshot") from error


def _span(item: dict[str, Any]) -> Span:
    low, high = bytes.fromhex(item["low"]), bytes.fromhex(item["high"])
    return Span(start=item["start"], end=item["end"], digest=item["digest"], low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A snapshot's note, opened: a head that was signed, and the digest of the state."""

    head: Head
    state: Digest

    @classmethod
    def open(cls, note: bytes, verifier: NoteVerifier) -> "Signed":
        """Read a note; raise `EvidenceInvalidError` unless this log's key signed it in its one form."""
        try:
            opened = open_note(note, (verifier,))
            match = _TEXT.match(opened.text)
            root = base64.b64decode(match[3], validate=True) if match else b""
        except (InvalidInputError, binascii.Error, ValueError) as error:
            raise EvidenceInvalidError("not a signed snapshot") from error
        if not match or match[1] != verifier.name or len(root) != HASH:
            raise EvidenceInvalidError("not a snapshot of this log")
        head = Head(origin=match[1], size=int(match[2]), root=root)
        return cls(head=head, state=canonical.parse_digest(match[4]))


def newest(files: Files, verifier: NoteVerifier) -> Signed | None:
    """Return the greatest snapshot that this log's key signed."""
    names = sorted((name for name in files.names("") if _NOTE.match(name)), key=_size_of, reverse=True)
    for name in names:
        try:
            signed = Signed.open(files.get(name, MAX_NOTE) or b"", verifier)
        except (EvidenceInvalidError, InvalidInputError):
            continue
        if name == f"{signed.head.size}.note":
            return signed
    return None


def load(files: Files, signed: Signed) -> State:
    """Return the state that a note names; `EvidenceInvalidError` when it is missing or another."""
    data = files.get(f"{signed.head.size}.state", _MAX_STATE)
    if data is None or canonical.digest(data) != signed.state:
        raise EvidenceInvalidError("the snapshot's state is missing or another", where=str(signed.head.size))
    state = State.from_bytes(data)
    ends = [0, *(span.end for span in state.spans)]
    whole = [span.start for span in state.spans] == ends[:-1] and ends[-1] == state.size
    if not whole or state.size != signed.head.size or root_of_peaks(state.peaks) != signed.head.root:
        raise EvidenceInvalidError("the snapshot's state is of another tree", where=str(signed.head.size))
    return state


@dataclass(slots=True, kw_only=True)
class Parts:
    """The base of a view: tables on disk, each read and checked when it is first needed."""

    files: Files
    spans: Sequence[Span]
    read: Read
    _loaded: dict[Span, Part] = field(default_factory=dict)

    def find(self, name: str) -> int | None:
        """Return the leaf that has this id."""
        key = id_key(name)
        for span in self.spans:
            if span.low <= key <= span.high:
                for index in self.part(span).ids.find(key):
                    if self._fact(index).id == name:
                        return index
        return None

    def events_of(self, change: str) -> list[int]:
        """Return the leaves of a change, in order."""
        key = change_key(change)
        return [index for span in self.spans for index in self.part(span).links.find(key)]

    def is_closed(self, leaf: int) -> bool:
        """Whether this leaf closes its change."""
        return self._fact(leaf).type == "change.closed"

    def begun(self) -> list[str]:
        """Return every change, in the order of their first events."""
        return [change for span in self.spans for change in self.part(span).begun]

    def part(self, span: Span) -> Part:
        """Return a part as signed; when it is missing or another, as its leaves give it."""
        if span not in self._loaded:
            self._loaded[span] = self._stored(span) or part_of(self.read, span.start, span.end)
        return self._loaded[span]

    def _stored(self, span: Span) -> Part | None:
        try:
            data = self.files.get(span.path, _MAX_PART)
            return Part.from_bytes(data) if data and canonical.digest(data) == span.digest else None
        except (EvidenceInvalidError, InvalidInputError):
            return None

    def _fact(self, index: int) -> Fact:
        return read_fact(next(self.read(index, index + 1)), index)


def part_of(read: Read, start: int, end: int) -> Part:
    """Build the part of the leaves [start, end)."""
    return Part.of((index, read_fact(leaf, index)) for index, leaf in enumerate(read(start, end), start))


def renew(store: LogStore, key: LogKey, view: View, read: Read, *, every: int) -> None:
    """Write the snapshot of `view`, whose head was published, when the newest is `every` leaves behind."""
    latest = newest(store.snapshots, key.verifier)
    if latest is None or view.size - latest.head.size >= every:
        write(store.snapshots, key, view, store.journal.position(view.size), read)


def write(files: Files, key: LogKey, view: View, position: Sequence[int], read: Read) -> None:
    """Write the snapshot of `view`, whose head was published; build on the newest one there is."""
    spans = _grown(files, key.verifier, view.size, read)
    state = State(
        size=view.size,
        peaks=view.tree.peaks,
        spans=spans,
        policies=view.policies,
        recovered=sorted(view.recovered),
        newest=view.newest,
        last_type=view.last_type,
        position=position,
    ).to_bytes()
    files.put(f"{view.size}.state", state)
    root = base64.b64encode(view.tree.root()).decode()
    text = (
        f"itmp-snapshot/v1\nlog {key.name}\nsize {view.size}\nroot {root}\nstate {canonical.digest(state)}\n"
    )
    files.put(f"{view.size}.note", key.sign(text))
    _prune(files, key.verifier)


def _grown(files: Files, verifier: NoteVerifier, size: int, read: Read) -> list[Span]:
    """Return the parts up to `size`: the newest snapshot's and one more, small neighbours joined."""
    spans: list[Span] = []
    last = newest(files, verifier)
    if last is not None and last.head.size <= size:
        try:
            spans = list(load(files, last).spans)
        except EvidenceInvalidError:
            spans = []
    parts = Parts(files=files, spans=(), read=read)
    start = spans[-1].end if spans else 0
    for low in range(start, size, LARGEST):
        high = min(low + LARGEST, size)
        spans.append(_put(files, low, high, part_of(read, low, high)))
    while len(spans) > 1 and _joins(*spans[-2:]):
        later, earlier = spans.pop(), spans.pop()
        joined = parts.part(earlier).joined(parts.part(later))
        spans.append(_put(files, earlier.start, later.end, joined))
    return spans


def _joins(earlier: Span, later: Span) -> bool:
    """Whether two parts become one: each leaf is copied once per doubling, and none into a part above the limit."""
    small = earlier.end - earlier.start <= 2 * (later.end - later.start)
    return small and later.end - earlier.start <= LARGEST


def _put(files: Files, start: int, end: int, part: Part) -> Span:
    data, (low, high) = part.to_bytes(), part.bounds
    span = Span(start=start, end=end, digest=canonical.digest(data), low=low, high=high)
    files.put(span.path, data)
    return span


def _prune(files: Files, verifier: NoteVerifier) -> None:
    """Remove all but the newest snapshots, and what none of those names."""
    names, kept, found = files.names(""), set[str](), 0
    for size in sorted((_size_of(name) for name in names if _NOTE.match(name)), reverse=True):
        if found == _KEPT:
            break
        with suppress(EvidenceInvalidError, InvalidInputError):
            signed = Signed.open(files.get(f"{size}.note", MAX_NOTE) or b"", verifier)
            kept |= {span.path for span in load(files, signed).spans} | {f"{size}.note", f"{size}.state"}
            found += 1
    for name in names:
        if name not in kept and _OURS.match(name):
            files.remove(name)


def _size_of(name: str) -> int:
    return int(name.partition(".")[0])
