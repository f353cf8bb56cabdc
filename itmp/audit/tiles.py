"""C2SP tlog-tiles: names and contents of Merkle tiles and entry bundles, as static files.

Rules kept here: tiles have height 8; one name per tile (`tile/<L>/<N>[.p/<W>]`, N in groups of three digits,
all but the last prefixed with x; W in 1..255); an entry bundle is repeated uint16be length ‖ leaf, nothing
before or after, and no leaf is empty or above 60 KiB.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from itmp.audit.event import MAX_LEAF
from itmp.audit.merkle import HASH, Tree
from itmp.errors import EvidenceInvalidError

WIDTH: Final = 256
HEIGHT: Final = 8
ENTRIES: Final = -1
"""The level of entry bundles, as in Go's `tlog.Tile`."""

MAX_BUNDLE: Final = WIDTH * (2 + MAX_LEAF)
_SIZE: Final = Struct(">H")  # before each leaf in a bundle
_MAX_LEVEL: Final = 7  # 2^63 leaves need eight levels of tiles
_NAME: Final = re.compile(r"tile/(entries|[0-7])/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?\Z", re.ASCII)


class TileError(EvidenceInvalidError):
    """A tile or bundle is not what its name says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Tile `n` of `level` (`ENTRIES` for bundles) holding `width` hashes (leaves), 1..256."""

    level: int
    n: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return the file's name below the log's folder."""
        groups, rest = [f"{self.n % 1000:03d}"], self.n // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"

    @property
    def start(self) -> int:
        """Index of its first hash within its level."""
        return self.n * WIDTH

    def content(self, tree: Tree) -> bytes:
        """Return a Merkle tile's bytes out of `tree`."""
        return tree.hashes(self.level * HEIGHT, self.start, self.width)

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Read a name; raise `TileError` unless it is the one name of a tile."""
        match = _NAME.match(path)
        if not match:
            raise TileError("not the name of a tile", where=f"{path!r:.120}")
        level = ENTRIES if match[1] == "entries" else int(match[1])
        tile = cls(
            level=level, n=int(re.sub(r"[x/]", "", match[2])), width=int(match[3]) if match[3] else WIDTH
        )
        if tile.path != path or tile.width > WIDTH:
            raise TileError("not the one name of a tile", where=f"{path!r:.120}")
        return tile


def tiles_of(size: int, *, since: int = 0) -> Iterator[Tile]:
    """Yield each tile and bundle that the tree of `size` has and that of `since` has not, lowest first."""
    for level in (ENTRIES, *range(_MAX_LEVEL + 1)):
        shift = HEIGHT * max(level, 0)
        width, done = size >> shift, since >> shift
        if width == 0:
            return
        for n in range(done // WIDTH, width // WIDTH):
            yield Tile(level=level, n=n)
        if width % WIDTH and width > done:
            yield Tile(level=level, n=width // WIDTH, width=width % WIDTH)


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """Return the entry bundle of up to 256 leaves."""
    return b"".join([len(leaf).to_bytes(2, "big") + leaf for leaf in leaves])


def decode_bundle(data: bytes, width: int, *, where: str = "") -> list[bytes]:
    """Return exactly `width` leaves; raise `TileError` on any other content."""
    leaves, at, end, unpack = list[bytes](), 0, len(data), _SIZE.unpack_from
    for _ in range(width):
        start = at + _SIZE.size
        size = unpack(data, at)[0] if start <= end else 0
        at = start + size
        if not 0 < size <= MAX_LEAF or at > end:
            raise TileError(f"a bundle whose entry {len(leaves)} is cut, empty or too large", where=where)
        leaves.append(data[start:at])
    if at != end:
        raise TileError(f"{end - at} bytes after the last entry", where=where)
    return leaves


def decode_tile(data: bytes, width: int, *, where: str = "") -> list[bytes]:
    """Return the `width` hashes of a Merkle tile; raise `TileError` on any other length."""
    if len(data) != width * HASH:
        raise TileError(f"a tile of {len(data)} bytes where {width * HASH} belong", where=where)
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]
