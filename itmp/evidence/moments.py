"""When something was in the log, by the word of others: heads that witnesses cosigned or authorities stamped.

Rules kept here: a head counts when TRUST's log signed it and it is proven to be of the same history (rule 6); a moment
counts when one of TRUST's witnesses or authorities gave it; what does not count is told. From this follow, for a leaf:
it was in the log by the first moment of a head that covers it, and not before the last moment of a head that does not.
The second rests on heads being published as leaves come, which is the executor's own promise; where the leaf's own time
contradicts either by more than `SLACK`, the log's clock lied, or a leaf was made later than it says.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from itmp.audit import Checkpoint, Leaf, SignedCheckpoint
from itmp.change import time_of
from itmp.errors import EvidenceInvalidError
from itmp.evidence.rules import ContradictedError
from itmp.evidence.trust import Trust
from itmp.signing import open_note

ANCHORED: Final = re.compile(r"anchors/([1-9][0-9]{0,17})/([a-z0-9][a-z0-9-]{0,30})\.(note|tsr)\Z")
"""How what an anchor gave for an earlier or later head is called in evidence."""
SLACK: Final = timedelta(minutes=10)
"""How far the executor's clock may be from the clocks of witnesses and authorities."""
_LATEST: Final = 253402300799  # 9999-12-31, the last second that a datetime can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """By `at` a head of `size` leaves existed, as `by` says."""

    size: int
    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A statement was made after `after` and in the log by `before`; either may be unknown."""

    after: Moment | None = None
    before: Moment | None = None


def heads(trust: Trust, members: Mapping[str, bytes]) -> dict[int, list[SignedCheckpoint]]:
    """Return the anchored heads in evidence by size; raise for one that is not TRUST's log's, or misnamed."""
    keys = [trust.policy.log, *trust.policy.witnesses.values()]
    found: dict[int, list[SignedCheckpoint]] = {}
    for name in sorted(members):
        match = ANCHORED.match(name)
        if match is None or match[3] != "note":
            continue
        signed = SignedCheckpoint.open(members[name], keys, where=name)
        signers = {signer.vkey for signer in open_note(members[name], keys).signers}
        if trust.policy.log.vkey not in signers or signed.checkpoint.size != int(match[1]):
            raise EvidenceInvalidError("not a head of TRUST's log, or of another size", where=name)
        found.setdefault(signed.checkpoint.size, []).append(signed)
    return found


def cosigned(trust: Trust, signed: SignedCheckpoint) -> Iterator[Moment]:
    """Yield the moment of each cosignature by one of TRUST's witnesses."""
    witnesses = {key.vkey: name for name, key in trust.policy.witnesses.items()}
    for signer in open_note(signed.note, [trust.policy.log, *trust.policy.witnesses.values()]).signers:
        if signer.vkey in witnesses and signer.time is not None and 0 < signer.time <= _LATEST:
            at, by = datetime.fromtimestamp(signer.time, UTC), f"cosignature of {witnesses[signer.vkey]}"
            yield Moment(size=signed.checkpoint.size, at=at, by=by)


def stamped_texts(
    members: Mapping[str, bytes], found: Mapping[int, list[SignedCheckpoint]]
) -> Iterator[tuple[str, Checkpoint | None]]:
    """Yield each time stamp of an anchored head with that head, None where evidence holds no note of it."""
    for name in sorted(members):
        match = ANCHORED.match(name)
        if match is not None and match[3] == "tsr":
            signed = found.get(int(match[1]))
            yield name, signed[0].checkpoint if signed else None


def interval(index: int, seen: int, moments: Iterable[Moment]) -> Interval:
    """Return when the statement of leaf `index`, whose signer had seen `seen` leaves, was made."""
    told = tuple(moments)
    return Interval(
        after=max((one for one in told if one.size <= seen), key=_at, default=None),
        before=min((one for one in told if one.size > index), key=_at, default=None),
    )


def check_moments(leaves: Mapping[int, Leaf], moments: Iterable[Moment]) -> None:
    """Rule 17: no leaf's own time lies outside what others say of heads with and without it."""
    told = tuple(moments)
    for index, leaf in sorted(leaves.items()) if told else ():
        at, where = time_of(leaf), f"leaf {index}"
        known = interval(index, index, told)
        if known.before and at > known.before.at + SLACK:
            raise ContradictedError(
                f"it says {at:%Y-%m-%dT%H:%M:%SZ}, and was in the log by {_said(known.before)}", where=where
            )
        if known.after and at < known.after.at - SLACK:
            raise ContradictedError(
                f"it says {at:%Y-%m-%dT%H:%M:%SZ}, and was not in the log at {_said(known.after)}",
                where=where,
            )


def _at(moment: Moment) -> datetime:
    return moment.at


def _said(moment: Moment) -> str:
    return f"{moment.at:%Y-%m-%dT%H:%M:%SZ} ({moment.by} over {moment.size} leaves)"
