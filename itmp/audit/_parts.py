"""Which ids, and which changes' events, a range of leaves holds: sorted tables, searched without reading them whole.

Rules kept here: a part is derived from raw leaves alone, has one encoding, and counts only when its digest is the one
that a signed snapshot names; a match on a key is confirmed by the caller on the leaf itself.

A part is `itmp-part/v1` LF, two counts (uint32be), that many 24-byte entries key ‖ uint64be leaf for ids and for
events of changes, each sorted, and a canonical JSON list of the changes that begin in the range. A key is the 16 bytes
of an id in 32 hex digits, else the first 16 bytes of the text's sha256.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final

from itmp import canonical
from itmp.audit._fact import Fact
from itmp.errors import EvidenceInvalidError

LARGEST: Final = 1 << 18
"""Leaves in a part: its tables are at most twelve megabytes."""

KEY: Final = 16
_ENTRY: Final = KEY + 8
_MAGIC: Final = b"itmp-part/v1\n"
_COUNTS: Final = Struct(">II")
_HEAD: Final = len(_MAGIC) + _COUNTS.size
_ID: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)


def id_key(name: str) -> bytes:
    """Return the key of an event's id."""
    return bytes.fromhex(name) if _ID.match(name) else change_key(name)


def change_key(name: str) -> bytes:
    """Return the key of a change."""
    return sha256(name.encode("utf-8", "surrogatepass")).digest()[:KEY]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Sorted entries."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data) // _ENTRY

    def __getitem__(self, at: int) -> bytes:
        return self.data[at * _ENTRY : (at + 1) * _ENTRY]

    def __iter__(self) -> Iterator[bytes]:
        return (self[at] for at in range(len(self)))

    def find(self, key: bytes) -> list[int]:
        """Return the leaves under `key`, in order."""
        found, at = [], bisect_left(self, key)
        while at < len(self) and self[at].startswith(key):
            found.append(int.from_bytes(self[at][KEY:], "big"))
            at += 1
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The tables of a range of leaves."""

    ids: Table
    links: Table
    begun: Sequence[str]

    @classmethod
    def of(cls, facts: Iterable[tuple[int, Fact]]) -> "Part":
        """Build from what was read of each leaf."""
        ids, links, begun = [], [], []
        for index, fact in facts:
            at = index.to_bytes(8, "big")
            ids.append(id_key(fact.id) + at)
            if fact.change:
                links.append(change_key(fact.change) + at)
                begun += [] if fact.cseq else [fact.change]
        return cls(ids=_table(ids), links=_table(links), begun=begun)

    def joined(self, later: "Part") -> "Part":
        """Return one part over both ranges."""
        return Part(
            ids=_table([*self.ids, *later.ids]),
            links=_table([*self.links, *later.links]),
            begun=[*self.begun, *later.begun],
        )

    def to_bytes(self) -> bytes:
        """Return the one encoding."""
        counts = _COUNTS.pack(len(self.ids), len(self.links))
        return b"".join([_MAGIC, counts, self.ids.data, self.links.data, canonical.dumps(list(self.begun))])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Part":
        """Read a part whose digest was checked."""
        if not data.startswith(_MAGIC) or len(data) < _HEAD:
            raise EvidenceInvalidError("not a part of a snapshot")
        ids, links = _COUNTS.unpack_from(data, len(_MAGIC))
        middle, end = _HEAD + ids * _ENTRY, _HEAD + (ids + links) * _ENTRY
        begun = canonical.loads(data[end:])
        return cls(ids=Table(data=data[_HEAD:middle]), links=Table(data=data[middle:end]), begun=begun)

    @property
    def bounds(self) -> tuple[bytes, bytes]:
        """The smallest and the greatest key of an id."""
        return self.ids[0][:KEY], self.ids[len(self.ids) - 1][:KEY]


def _table(entries: list[bytes]) -> Table:
    return Table(data=b"".join(sorted(entries)))
