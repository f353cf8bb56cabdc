"""The doors of anchors: `Anchor`, what remembers heads for us, and `Seen`, what a witness remembers of others.

Who is trusted: an `Anchor` may lie by forgetting; what it shows counts only with the log's signature. `Seen` is the
witness's own disk: who rolls it back makes the witness sign two histories, so it belongs to another party than the log.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from itmp.audit import SignedCheckpoint
from itmp.errors import Error

Prove: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""The proof that the log's first `new` leaves continue its first `old` ones."""


class AnchorError(Error):
    """An anchor could not be reached or did not do what was asked; what it holds is not known."""

    exit_code = 16
    retryable = True


class AnchorFloodedError(AnchorError):
    """What an anchor shows is so full of what is no head of the log that its heads were not reached."""


class Anchor(Protocol):
    """One place that remembers heads of one log. `ForkError` from either method: it knows another history."""

    @property
    def name(self) -> str:
        """How the configuration calls it."""

    @property
    def kind(self) -> str:
        """`directory`, `witness`, `rfc3161`, `git` or `s3`."""

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Have it remember `head`; return what to keep beside the log, by file name. Repeating is harmless.

        `AnchorError`: perhaps remembered. Takes a few seconds at most.
        """

    def held(self, kept: Mapping[str, bytes]) -> Iterable[bytes]:
        """Yield the notes that it shows now, or that `kept` proves it to have known; cheapest from the newest down.

        `kept` is what it and other anchors gave earlier, by `<size>/<file name>`. A note that somebody altered is
        yielded as no bytes. Below one that the anchor vouches for, others may be yielded that it does not: they count
        against the log alone. `AnchorFloodedError`, after what was found: it shows too much that is no head of ours.
        """

    @property
    def remark(self) -> str:
        """What a reader must know of its worth; empty for nothing special."""


@runtime_checkable
class LocalAnchor(Anchor, Protocol):
    """An anchor on this machine: it can be asked before anything is begun, without a network."""

    def newest(self) -> Iterable[bytes]:
        """Yield the newest note or notes that it shows now; within milliseconds. `AnchorError`: unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest size and root that a witness has cosigned for one origin; size 0 before the first."""

    size: int
    root: bytes


class Seen(Protocol):
    """A witness's durable memory: one head for each origin."""

    def newest(self, origin: str) -> Head:
        """Return the newest head cosigned for `origin`."""

    def swap(self, origin: str, old: Head, new: Head) -> bool:
        """Durably replace `old` by `new`; False, and nothing done, when the memory is not `old`."""
