"""What others than the log's owner say about the time of the checkpoint: cosignatures and RFC 3161 time stamps.

Rules kept here: a bound is told only for what has been verified under TRUST; a stamp by an authority that TRUST does
not hold, or over other text, counts for nothing and is told; stamps are over the checkpoint's three lines. A bound
says that everything under the checkpoint existed by then; it says nothing about how much earlier.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from itmp.audit import SignedCheckpoint
from itmp.errors import Error
from itmp.evidence.trust import Trust
from itmp.signing import open_note

Stamps: TypeAlias = Callable[[bytes, bytes, bytes], datetime]
"""Verifies a time stamp reply over a text under roots (PEM) and returns its time (stock openssl): raises `Error`."""

MEMBER: Final = re.compile(r"anchors/[a-z0-9][a-z0-9-]{0,30}\.tsr\Z")
"""How a time stamp of the checkpoint is called in evidence: the anchor's name."""

_MOST: Final = 8  # each costs a child process
_LATEST: Final = 253402300799  # 9999-12-31, the last second that a datetime can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`lines` are the bounds and what does not count, `timed` says whether any bound holds, `stamped` by a stamp."""

    lines: tuple[str, ...] = ()
    timed: bool = False
    stamped: bool = False

    def plus(self, lines: tuple[str, ...]) -> "Bounds":
        """Return the same with more to tell."""
        return replace(self, lines=(*self.lines, *lines))


def bounds(
    trust: Trust, head: SignedCheckpoint, members: Mapping[str, bytes], stamps: Stamps | None
) -> Bounds:
    """Return the latest moment by which the checkpoint existed, as each of TRUST's witnesses and stamps says."""
    cosigned, stamped, void = list(_cosigned(trust, head)), list[str](), list[str]()
    text = head.checkpoint.to_text().encode()
    for number, name in enumerate(sorted(filter(MEMBER.match, members))):
        if number >= _MOST:
            void.append(f"{name} is not judged: more than {_MOST} time stamps")
            continue
        if trust.tsa is None or stamps is None:
            void.append(f"{name} is not judged: TRUST holds no tsa.pem, or there is no openssl here")
            continue
        try:
            at = stamps(members[name], text, trust.tsa)
        except Error as error:
            void.append(f"{name} counts for nothing: {error.what}")
            continue
        stamped.append(_line(at, f"time stamp {name}"))
    return Bounds(lines=(*cosigned, *stamped, *void), timed=bool(cosigned or stamped), stamped=bool(stamped))


def _cosigned(trust: Trust, head: SignedCheckpoint) -> Iterator[str]:
    witnesses = {key.vkey: name for name, key in trust.policy.witnesses.items()}
    for signer in open_note(head.note, [trust.policy.log, *trust.policy.witnesses.values()]).signers:
        if signer.vkey in witnesses and signer.time is not None and 0 < signer.time <= _LATEST:
            yield _line(datetime.fromtimestamp(signer.time, UTC), f"cosignature of {witnesses[signer.vkey]}")


def _line(at: datetime, by: str) -> str:
    return f"time bounded by {by}: all of it was in the log by {at:%Y-%m-%dT%H:%M:%SZ}"
