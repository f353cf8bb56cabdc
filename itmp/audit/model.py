"""Values that the log hands out and takes: leaves, receipts, expectations, findings and its own errors.

Rules kept here: a leaf is the bytes that were read, never a re-encoding; a receipt is given only for a
durable leaf or one that says so (`durable`).
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Final

from itmp.audit.event import Event, leaf_digest
from itmp.canonical import Digest
from itmp.errors import BusyError, LogUnavailableError

BACKWARD: Final = timedelta(seconds=1)
"""How far wall time may fall behind within a boot, or a permit behind the log, before it is a lie: a leap second or a
small correction.
"""
_RECENT: Final = 4096
"""Events that are remembered as parsed: whoever folds or judges a change asks for each of its events several times.

Of ordinary size they take about 15 megabytes.
"""
_parsed: Final = lru_cache(_RECENT)(Event.from_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Leaf `index` of the log: `data` are its exact bytes."""

    index: int
    data: bytes
    _hash: Digest | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def hash(self) -> Digest:
        """The RFC 6962 leaf hash; computed once."""
        if self._hash is None:
            found = leaf_digest(self.data)
            object.__setattr__(self, "_hash", found)
            return found
        return self._hash

    @property
    def event(self) -> Event:
        """The parsed event; raises `InvalidInputError` when the bytes are no canonical event."""
        return _parsed(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The promise that an event is leaf `index`; `durable` says whether it survives a power cut."""

    index: int
    hash: Digest
    leaf: Leaf
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """Append only if the head has not moved. `head` None: the change must have no event yet.

    With `change` None, `head` is the policy's head (the newest `policy.changed` or `log.created` leaf).
    `policy`, when given, is compared as well, so that one append can depend on both. `size`, when given, is how many
    leaves the log must have: nobody at all may have appended.
    """

    change: str | None
    head: Digest | None
    policy: Digest | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found wrong: the verifier's `rule` number, a `name` to search for, where, and what is wrong.

    `grave` is False for what an honest log may show (leaves not signed yet, a machine that slept).
    """

    rule: int
    name: str
    place: str
    message: str
    grave: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the log thinks of itself before a run; no grave finding means fit to go on."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing grave was found."""
        return not any(finding.grave for finding in self.findings)


class HeadMovedError(BusyError):
    """Somebody appended to the change (or the policy) since it was read; nothing was written."""


class LogEndedError(LogUnavailableError):
    """The log's last leaf is written: its period is over."""


class DiskFullError(LogUnavailableError):
    """There is no room for the frame; of a batch, the first leaves may have been written."""
