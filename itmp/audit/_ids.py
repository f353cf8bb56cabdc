"""Which ids occur twice among all leaves, found with 12 bytes a leaf and said by the ids themselves.

Rules kept here: of each id eight bytes of a hash are kept, whose key nobody outside the process knows; equal ones are
only suspects, and what tells is the ids, read again. Leaves that cannot be read again are taken for what they are
suspected of.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

_BUCKETS: Final = 256


class Ids:
    """The ids of leaves, in buckets that are looked through one at a time; at most 2^32 leaves."""

    __slots__ = ("_buckets", "_hash")

    def __init__(self, hashed: Callable[[str], int] = hash) -> None:
        self._hash = hashed
        self._buckets = [(array("q"), array("I")) for _ in range(_BUCKETS)]

    def add(self, name: str, index: int) -> None:
        """Remember the id of leaf `index`; leaves come in order."""
        key = self._hash(name)
        keys, indexes = self._buckets[key % _BUCKETS]
        keys.append(key)
        indexes.append(index)

    def suspects(self) -> Iterator[list[int]]:
        """Yield the leaves, in order, of each hash that several have."""
        for keys, indexes in self._buckets:
            if len({*keys}) == len(keys):
                continue  # as in every honest log
            found: dict[int, list[int]] = {}
            for key, index in zip(keys, indexes, strict=True):
                found.setdefault(key, []).append(index)
            yield from (group for group in found.values() if len(group) > 1)


def twice(suspects: Iterable[Sequence[int]], ids: Mapping[int, str]) -> Iterator[tuple[int, int]]:
    """Yield each leaf whose id an earlier one of its group has, with the first such leaf; `ids` were read again."""
    for group in suspects:
        first: dict[str, int] = {}
        known = ids.keys() >= {*group}
        for index in group:
            before = first.setdefault(ids[index] if known else "", index)
            if before != index:
                yield index, before
