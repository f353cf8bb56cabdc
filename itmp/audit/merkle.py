"""The RFC 6962 tree hash, its proofs and their verification.

Rules kept here: a leaf is hashed as sha256(00 ‖ leaf), a node as sha256(01 ‖ left ‖ right), the empty tree as
sha256(""). A proof is accepted only in its one shape: no hash missing, none left over, each 32 bytes. A
consistency proof from size 0 is an error; between equal sizes the roots must be equal and the proof empty.
Verification follows the bit-walking algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2, making follows the
recursive definition of RFC 6962: the two share no code, so that one checks the other.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final

from itmp.errors import EvidenceInvalidError

HASH: Final = 32
"""Bytes in a hash."""
_RANGES: Final = 4096
"""Hashes of ranges that stay in memory: half a megabyte."""

_PAIRS: Final = Struct(f"{2 * HASH}s")

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_sha = hashlib.sha256


class ProofError(EvidenceInvalidError):
    """A Merkle proof does not prove what it claims."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the 32-byte hash of a leaf's bytes."""
    return _sha(b"\x00" + leaf).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """Return the hashes of many leaves; one pass without a call per leaf."""
    return [_sha(b"\x00" + leaf).digest() for leaf in leaves]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of an inner node."""
    return _sha(b"\x01" + left + right).digest()


def parents(row: bytes | bytearray) -> bytes:
    """Return the joined hashes of the nodes above a row of joined hashes, an even number of them."""
    return b"".join([_sha(b"\x01" + pair).digest() for (pair,) in _PAIRS.iter_unpack(row)])


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the tree hash over leaf hashes (taken as they are, not hashed again)."""
    row = b"".join(hashes)
    while (
        len(row) > HASH
    ):  # level by level; what has no neighbour is the right part of a higher split, and rises
        paired = len(row) // _PAIRS.size * _PAIRS.size
        row = parents(row[:paired]) + row[paired:]
    return row or EMPTY_ROOT


class Frontier:
    """The compact range [0, size): one hash per set bit of `size`. O(log n) memory."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        rest, peaks = self.size, self._peaks
        while rest & 1:
            leaf = _sha(
                b"\x01" + peaks.pop() + leaf
            ).digest()  # `node_hash` without a call: every event comes here
            rest >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root at the current size."""
        return root_of_peaks(self._peaks)


class Tree:
    """Every complete subtree's hash, level by level: 64 bytes a leaf, proofs and older roots in O(log² n).

    A tree may begin at `size` leaves: `peaks` are the hashes of its largest complete subtrees, from left to right,
    and `older(level, start, count)` returns the hashes below them, for which the caller vouches.
    """

    __slots__ = ("_first", "_levels", "_older", "_ranges", "_size")

    def __init__(
        self,
        size: int = 0,
        peaks: Sequence[bytes] = (),
        older: Callable[[int, int, int], bytes] | None = None,
    ) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        rest, levels, self._size = list(peaks), range(max(1, size.bit_length())), size
        self._older = older or _nothing
        self._ranges: dict[tuple[int, int], bytes] = {}
        self._first = [(size >> level) & ~1 for level in levels]
        self._levels = [bytearray(rest.pop() if size >> level & 1 else b"") for level in levels]

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._size

    @property
    def peaks(self) -> list[bytes]:
        """The hashes of the largest complete subtrees, from left to right."""
        size, levels = self.size, range(self.size.bit_length() - 1, -1, -1)
        return [self.hashes(level, (size >> level) - 1, 1) for level in levels if size >> level & 1]

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Add leaf hashes (32 bytes each)."""
        joined = b"".join(hashes)
        if len(joined) != HASH * len(hashes):
            raise ValueError("a leaf hash that is not 32 bytes")
        self._levels[0] += joined
        self._size += len(hashes)
        depth = 0
        while (pairs := self._width(depth) // 2) > self._width(depth + 1):
            self._lift(depth, pairs)
            depth += 1

    def _width(self, level: int) -> int:
        if level >= len(self._levels):
            return 0
        return self._first[level] + len(self._levels[level]) // HASH

    def _lift(self, depth: int, pairs: int) -> None:
        if depth + 1 == len(self._levels):
            self._levels.append(bytearray())
            self._first.append(0)
        above, first = self._levels[depth + 1], self._first[depth]
        begin, end = 2 * self._width(depth + 1) - first, 2 * pairs - first
        above += parents(self._levels[depth][begin * HASH : end * HASH])

    def _forget(self, level: int) -> None:
        """Drop what the level above was made of: from then on `older` returns it."""
        paired = 2 * self._width(level + 1) - self._first[level]
        del self._levels[level][: paired * HASH]
        self._first[level] += paired

    def leaf(self, index: int) -> bytes:
        """Return the hash of leaf `index`."""
        return bytes(self.hashes(0, index, 1))

    def hashes(self, level: int, start: int, count: int) -> bytes:
        """Return `count` joined hashes of complete subtrees of 2^`level` leaves; IndexError when absent."""
        if start < 0 or count < 0 or start + count > self._width(level):
            raise IndexError(f"level {level} has no hashes {start}..{start + count}")
        if not count:
            return b""
        first = self._first[level]
        before = self._older(level, start, min(count, first - start)) if start < first else b""
        begin, end = max(start - first, 0), start + count - first
        return before + bytes(self._levels[level][begin * HASH : max(end, 0) * HASH])

    def root(self, size: int | None = None) -> bytes:
        """Return the root at `size` (now, when None)."""
        size = self.size if size is None else size
        self._check(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the proof that leaf `index` is in the tree of `size` leaves, from the leaf upwards."""
        self._check(size)
        if not 0 <= index < size:
            raise IndexError(f"a tree of {size} has no leaf {index}")
        proof, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        return tuple(reversed(proof))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `old` leaves is a prefix of that of `new`; 0 < old ≤ new."""
        self._check(new)
        if not 0 < old <= new:
            raise IndexError(f"no consistency proof from {old} to {new}")
        proof, low, high, whole = [], 0, new, True
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self._range(low, high))
        return tuple(reversed(proof))

    def _check(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise IndexError(f"the tree has {self.size} leaves, not {size}")

    def _range(self, low: int, high: int) -> bytes:
        """Hash of leaves [low, high) where low is aligned as the tree's own splits align it.

        Proofs of leaves that stand together have most of these in common.
        """
        if high - low == 1:
            return self.leaf(low)
        found = self._ranges.get((low, high))
        if found is None:
            if len(self._ranges) >= _RANGES:
                self._ranges = {}
            found = self._ranges[low, high] = self._joined(low, high)
        return found

    def _joined(self, low: int, high: int) -> bytes:
        parts = []
        while low < high:
            level = (high - low).bit_length() - 1
            parts.append(self.hashes(level, low >> level, 1))
            low += 1 << level
        acc = parts.pop()
        while parts:
            acc = node_hash(parts.pop(), acc)
        return acc


def _nothing(level: int, start: int, count: int) -> bytes:
    raise IndexError(f"level {level} has no hashes {start}..{start + count}")


def perfect_parts(hashes: Sequence[bytes]) -> list[bytes]:
    """Return the hashes of the largest complete subtrees over `hashes`, from left to right."""
    parts, at = [], 0
    while at < len(hashes):
        width = 1 << ((len(hashes) - at).bit_length() - 1)
        parts.append(root_of(hashes[at : at + width]))
        at += width
    return parts


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """Return the root over a tree's largest complete subtrees."""
    if not peaks:
        return EMPTY_ROOT
    acc = peaks[-1]
    for peak in reversed(peaks[:-1]):
        acc = node_hash(peak, acc)
    return acc


def _split(count: int) -> int:
    """Largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


class Inclusions:
    """The proofs that leaves are in the tree (`size`, `root`): where they share their way up, it is walked once.

    How a walk goes on follows from where it stands, from the hash there and from the rest of the proof. A proof that
    comes to where a sound one was, with the same hash and the same rest, byte for byte, is sound as well.
    """

    __slots__ = ("_root", "_size", "_walked")

    def __init__(self, *, size: int, root: bytes) -> None:
        self._size, self._root = size, root
        self._walked: dict[tuple[int, int], tuple[bytes, tuple[bytes, ...]]] = {}

    def verify(self, *, index: int, leaf: bytes, proof: Sequence[bytes]) -> None:
        """Raise `ProofError` unless `proof` shows leaf hash `leaf` at `index` of the tree."""
        _check_shape(proof, leaf, self._root)
        if not 0 <= index < self._size:
            raise ProofError(f"leaf {index} is outside a tree of {self._size}")
        if len(proof) > self._size.bit_length():  # before anything is kept of it, once a step
            raise ProofError("an inclusion proof with hashes left over")
        hashes, steps = tuple(proof), dict[tuple[int, int], tuple[bytes, tuple[bytes, ...]]]()
        at, last, acc = index, self._size - 1, leaf
        for number, item in enumerate(hashes):
            step = steps[at, last] = acc, hashes[number:]
            if self._walked.get((at, last)) == step:
                break
            if last == 0:
                raise ProofError("an inclusion proof with hashes left over")
            if at & 1 or at == last:
                acc = node_hash(item, acc)
                at, last = _climb(at, last)
            else:
                acc = node_hash(acc, item)
            at, last = at >> 1, last >> 1
        else:
            self._end(index, last, acc)
        if len(self._walked) >= _RANGES:
            self._walked = {}
        self._walked |= steps

    def _end(self, index: int, last: int, acc: bytes) -> None:
        if last != 0:
            raise ProofError("an inclusion proof with hashes missing")
        if acc != self._root:
            raise ProofError(f"leaf {index} is not in the tree of {self._size} with this root")


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise `ProofError` unless `proof` shows leaf hash `leaf` at `index` of the tree (`size`, `root`)."""
    Inclusions(size=size, root=root).verify(index=index, leaf=leaf, proof=proof)


def verify_consistency(
    *, old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise `ProofError` unless `proof` shows that (`old`, `old_root`) is a prefix of (`new`, `new_root`)."""
    _check_shape(proof, old_root, new_root)
    if not 0 < old <= new:
        raise ProofError(f"no consistency is defined from size {old} to size {new}")
    if old == new:
        if proof:
            raise ProofError("a consistency proof between equal sizes must be empty")
        if old_root != new_root:
            raise ProofError(f"two roots for size {old}")
        return
    _walk(old, new, (old_root, new_root), proof)


def _walk(old: int, new: int, roots: tuple[bytes, bytes], proof: Sequence[bytes]) -> None:
    path = [roots[0], *proof] if old & (old - 1) == 0 else list(proof)
    if not path or not proof:
        raise ProofError("a consistency proof with hashes missing")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for item in path[1:]:
        if last == 0:
            raise ProofError("a consistency proof with hashes left over")
        if at & 1 or at == last:
            first, second = node_hash(item, first), node_hash(item, second)
            at, last = _climb(at, last)
        else:
            second = node_hash(second, item)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ProofError("a consistency proof with hashes missing")
    if (first, second) != roots:
        raise ProofError(f"the tree of {new} does not continue the tree of {old}")


def _climb(at: int, last: int) -> tuple[int, int]:
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _check_shape(proof: Sequence[bytes], *others: bytes) -> None:
    if {*map(len, proof), *map(len, others)} != {HASH}:
        raise ProofError("a hash that is not 32 bytes")
