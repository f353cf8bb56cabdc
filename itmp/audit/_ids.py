"""Which ids occur twice among all leaves, found with 12 bytes a leaf and said by the ids themselves.

Rules kept here: of each id eight bytes of a hash are kept, whose key nobody outside the process knows; equal ones are
only suspects, and what tells is the ids, read again. Leaves that cannot be read again are taken for what they are
suspected of.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

_KEY: Final = 7  # the eighth byte of the hash says which bucket
_ENTRY: Final = _KEY + 5


class Ids:
    """The ids of leaves, in buckets that are looked through one at a time."""

    __slots__ = ("_buckets", "_hash")

    def __init__(self, hashed: Callable[[str], int] = hash) -> None:
        self._hash = hashed
        self._buckets = [bytearray() for _ in range(256)]

    def add(self, name: str, index: int) -> None:
        """Remember the id of leaf `index`; leaves come in order."""
        key = self._hash(name).to_bytes(_KEY + 1, "big", signed=True)
        self._buckets[key[0]] += key[1:] + index.to_bytes(_ENTRY - _KEY)

    def suspects(self) -> Iterator[list[int]]:
        """Yield the leaves, in order, of each hash that several have."""
        for bucket in self._buckets:
            found: dict[bytes, list[int] | int] = {}
            for at in range(0, len(bucket), _ENTRY):
                key, index = bytes(bucket[at : at + _KEY]), int.from_bytes(bucket[at + _KEY : at + _ENTRY])
                before = found.setdefault(key, index)
                if isinstance(before, list):
                    before.append(index)
                elif before != index:
                    found[key] = [before, index]
            yield from (group for group in found.values() if isinstance(group, list))


def twice(suspects: Iterable[Sequence[int]], ids: Mapping[int, str]) -> Iterator[tuple[int, int]]:
    """Yield each leaf whose id an earlier one of its group has, with the first such leaf; `ids` were read again."""
    for group in suspects:
        first: dict[str, int] = {}
        known = ids.keys() >= {*group}
        for index in group:
            before = first.setdefault(ids[index] if known else "", index)
            if before != index:
                yield index, before
