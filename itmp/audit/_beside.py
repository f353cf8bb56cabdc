"""A segment of the journal, read beside the published entries: what both hold is compared as bytes, not hashed again.

Rules kept here: a segment is read once and in order; the first difference ends the comparison; what was not met is
handed out, and so is the error that ended the reading, for the caller to judge in its turn.
"""

from collections.abc import Iterator, Sequence
from operator import eq

from itmp.audit.doors import JournalPart
from itmp.errors import EvidenceInvalidError, InvalidInputError


class Beside:
    """One segment, and the leaf `at` which it is read on: entries before that, from its start on, are the same."""

    __slots__ = ("_chunks", "_error", "_used", "_waiting", "at", "part")

    def __init__(self, part: JournalPart) -> None:
        self.part, self.at = part, part.start
        self._chunks = iter(part.chunks())
        self._waiting: Sequence[bytes] = ()
        self._used = 0
        self._error: EvidenceInvalidError | InvalidInputError | None = None

    def meet(self, start: int, leaves: Sequence[bytes]) -> None:
        """Go past those of the entries `start`, `start` + 1, … that the segment holds too."""
        end = start + len(leaves)
        while start <= self.at < end and self._has_more():
            low, used = self.at - start, self._used
            count = min(len(self._waiting) - used, end - self.at)
            if not all(map(eq, self._waiting[used : used + count], leaves[low : low + count])):
                return
            self.at, self._used = self.at + count, used + count

    def rest(self) -> Iterator[Sequence[bytes]]:
        """Yield the leaves from `at` on, in portions; raise what ended the reading."""
        if self._used < len(self._waiting):
            yield self._waiting[self._used :]
        if self._error:
            raise self._error
        yield from self._chunks

    def _has_more(self) -> bool:
        try:
            while self._used == len(self._waiting):
                self._waiting, self._used = next(self._chunks), 0
        except StopIteration:
            return False
        except (EvidenceInvalidError, InvalidInputError) as error:
            self._error = error
            return False
        return True
