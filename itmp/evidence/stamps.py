"""What others than the log's owner say about the time of the checkpoint: cosignatures and RFC 3161 time stamps.

Rules kept here: a bound is told only for what has been verified under TRUST; a stamp by an authority that TRUST does
not hold, or over other text, counts for nothing and is told; stamps are over the checkpoint's three lines. A bound
says that everything under the checkpoint existed by then; it says nothing about how much earlier.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from itmp.audit import Checkpoint, SignedCheckpoint
from itmp.errors import Error
from itmp.evidence.moments import Moment, cosigned, stamped_texts
from itmp.evidence.trust import Trust

Stamps: TypeAlias = Callable[[bytes, bytes, bytes], datetime]
"""Verifies a time stamp reply over a text under roots (PEM) and returns its time (stock openssl): raises `Error`."""

MEMBER: Final = re.compile(r"anchors/[a-z0-9][a-z0-9-]{0,30}\.tsr\Z")
"""How a time stamp of the checkpoint is called in evidence: the anchor's name."""

_MOST: Final = 32  # each costs a child process


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`lines` are the bounds and what does not count, `timed` says whether any bound holds, `stamped` by a stamp.

    `moments` are those of the checkpoint and of every other head in evidence.
    """

    lines: tuple[str, ...] = ()
    moments: tuple[Moment, ...] = ()
    timed: bool = False
    stamped: bool = False

    def plus(self, lines: tuple[str, ...]) -> "Bounds":
        """Return the same with more to tell."""
        return replace(self, lines=(*self.lines, *lines))


def bounds(
    trust: Trust,
    head: SignedCheckpoint,
    members: Mapping[str, bytes],
    stamps: Stamps | None,
    others: Mapping[int, list[SignedCheckpoint]],
    *,
    last: int,
) -> Bounds:
    """Return the latest moment by which all of it was in the log, as each of TRUST's witnesses and stamps says.

    `others` are the anchored heads in evidence that rule 6 has found to be of the same history; one that covers leaf
    `last`, the newest in evidence, bounds all of it as the checkpoint does.
    """
    named = [(name, head.checkpoint) for name in sorted(filter(MEMBER.match, members))]
    stamped, void = _stamped(trust, members, stamps, [*named, *stamped_texts(members, others)])
    notes = [head, *(note for signed in others.values() for note in signed), *_kept(trust)]
    moments = [*(one for note in notes for one in cosigned(trust, note)), *stamped]
    covering = [moment for moment in moments if moment.size > last]
    return Bounds(
        lines=(*dict.fromkeys(map(_line, covering)), *void),
        moments=tuple(moments),
        timed=bool(covering),
        stamped=any(moment in covering for moment in stamped),
    )


def _kept(trust: Trust) -> list[SignedCheckpoint]:
    """The auditor's own checkpoint: nobody else can leave out what witnesses said of it."""
    return [trust.kept_note] if trust.kept_note else []


def _stamped(
    trust: Trust,
    members: Mapping[str, bytes],
    stamps: Stamps | None,
    wanted: Iterable[tuple[str, Checkpoint | None]],
) -> tuple[list[Moment], list[str]]:
    """Return the moments of the stamps that hold, and what is to be told of the others."""
    found, void = list[Moment](), list[str]()
    for number, (name, checkpoint) in enumerate(wanted):
        if number >= _MOST:
            void.append(f"{name} is not judged: more than {_MOST} time stamps")
        elif trust.tsa is None or stamps is None:
            void.append(f"{name} is not judged: TRUST holds no tsa.pem, or there is no openssl here")
        elif checkpoint is None:
            void.append(f"{name} counts for nothing: the head that it is of is not here")
        else:
            try:
                at = stamps(members[name], checkpoint.to_text().encode(), trust.tsa)
            except Error as error:
                void.append(f"{name} counts for nothing: {error.what}")
                continue
            found.append(Moment(size=checkpoint.size, at=at, by=f"time stamp {name}"))
    return found, void


def _line(moment: Moment) -> str:
    return f"time bounded by {moment.by}: all of it was in the log by {moment.at:%Y-%m-%dT%H:%M:%SZ}"
