"""What the journal has beyond the rows of an index that is far behind, found as if it had rows.

Rules kept here: a leaf fits here exactly when its row would (`_rows` says when); what could not fit is passed over by
its bytes, unparsed, because canonical JSON writes a text in one way alone and lets nothing but its type end a leaf so;
nothing is kept, so that the first leaf that fits is there at once.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from itmp.adapters.index._facts import Facts, facts
from itmp.adapters.index._frames import Frames, Spot
from itmp.adapters.index._rows import BULK, Query
from itmp.audit import Leaf
from itmp.errors import ForkError

_BULK_ENDS: Final = tuple(f'"type":"{kind}","v":1}}'.encode() for kind in sorted(BULK))
LOST: Final = "An older copy was put back, or leaves were lost. Restore the newest log; never sign on."


class Beyond:
    """The leaves from `spot` on; `ForkError` when the journal ends before leaf `signed`, which a head has signed."""

    def __init__(self, frames: Frames, spot: Spot, signed: int) -> None:
        self._frames, self._spot, self._signed = frames, spot, signed
        self.start: Final = spot.index

    def find(self, query: Query) -> Iterator[Leaf]:
        """Yield the leaves that fit, in the log's order or turned round."""
        if not query.newest:
            for first, leaves in self._portions():
                for leaf, _ in _fitting(query, first.index, leaves):
                    yield leaf
            return
        for first, count in reversed([(first, len(leaves)) for first, leaves in self._portions()]):
            found = [leaf for leaf, _ in _fitting(query, first.index, self._frames.some(first, count))]
            yield from reversed(found)

    def distinct(self, name: str, query: Query) -> Iterator[str]:
        """Yield the words of one column among the leaves that fit."""
        for first, leaves in self._portions():
            for _, fact in _fitting(query, first.index, leaves):
                if word := getattr(fact, name):
                    yield word

    def _portions(self) -> Iterator[tuple[Spot, list[bytes]]]:
        end = self.start
        for first, leaves in self._frames.leaves(self._spot):
            end = first.index + len(leaves)
            yield first, leaves
        if end < self._signed:
            raise ForkError(f"the log has {end} leaves, its checkpoint knows {self._signed}", do=LOST)


def _fitting(query: Query, first: int, leaves: Sequence[bytes]) -> Iterator[tuple[Leaf, Facts]]:
    """Yield those of some leaves that fit, with their words; `first` is the index of the first."""
    wanted = _needles(query)
    for index, data in enumerate(leaves, first):
        if index <= query.after or (query.few and data.endswith(_BULK_ENDS)) or not _holds(data, wanted):
            continue
        fact = facts(data)
        if fits(query, fact):
            yield Leaf(index=index, data=data), fact


def fits(query: Query, fact: Facts) -> bool:
    """Whether a leaf of these words fits every field but `after`."""
    bulk = fact.type in BULK
    return (
        (query.change is None or fact.change == query.change)
        and (not query.run or fact.run == query.run)
        and (not query.step or fact.step == query.step)
        and (not query.types or fact.type in query.types)
        and (not query.hosts or fact.host in query.hosts)
        and (not query.outcomes or fact.outcome in query.outcomes)
        and not (query.few and bulk)
        and (not query.notified or (bulk and fact.notified))
        and fact.t >= query.since
        and _lower(query.text) in _lower(fact.what)
    )


def _needles(query: Query) -> tuple[tuple[bytes, ...], ...]:
    """Return groups of byte strings: a leaf that fits holds one of each group. The rarest come first."""
    texts = (query.hosts, query.outcomes, (query.step,), (query.run,), (query.change or "",), query.types)
    return tuple(tuple(map(_written, group)) for group in texts if any(group))


def _holds(data: bytes, wanted: tuple[tuple[bytes, ...], ...]) -> bool:
    """Whether a leaf holds one of each group; a million are asked."""
    for needles in wanted:
        for needle in needles:
            if needle in data:
                break
        else:
            return False
    return True


def _written(text: str) -> bytes:
    """Return a text as canonical JSON has it; one that no leaf can have becomes another that fits none either."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")


def _lower(text: str) -> bytes:
    """Upper and lower case are alike for ASCII, as they are to SQLite."""
    return text.encode("utf-8", "replace").lower()
