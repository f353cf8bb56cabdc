"""A restore drill: whether a copy of the log could take the log's place, judged without writing to either.

Rules kept here:
1. The copy is verified whole, by the numbered rules of `itmp.audit.verify`, against a key and genesis of one's own.
2. An older copy is a prefix of what is known: the live log's leaves and every checkpoint that was kept. It lacks
   events, and that is said; it is no fault.
3. A copy that contradicts the live log or a kept checkpoint is a fork. A live log that is shorter than its copy or
   than a kept checkpoint was rolled back, and it is the live log that must not be written on.
4. No list of its leaves is held: whoever needs them has them read from the copy again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Protocol

from itmp.audit import STANDING_ENDS, Checkpoint, Finding, Leaf, LogReader, SignedCheckpoint, verify
from itmp.audit.checkpoint import MAX_NOTE
from itmp.audit.published import bundled
from itmp.canonical import Digest, of_raw
from itmp.change import policy_history
from itmp.errors import EvidenceInvalidError
from itmp.signing import NoteVerifier

FORKS: Final = frozenset({"forked", "rolled-back", "live-rolled-back"})
_RULE: Final = 6  # of itmp.audit.verify: what is known continues what was kept
_ROOT_RULE: Final = 3
_HISTORY_RULE: Final = 5
_POLICY_RULE: Final = 14
_DAMAGED: Final = 40
_FORKED: Final = 42


class Live(Protocol):
    """The log that the copy is of, as far as a drill asks it; `audit.Log` is one."""

    def size(self) -> int:
        """Return how many leaves it has."""

    def root(self, size: int) -> bytes:
        """Return the root of its first `size` leaves."""

    def leaf(self, index: int) -> Leaf:
        """Return a leaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What a copy is: signed `size` and `root`, leaves `beyond` them, how many the live log has that it `lacks`.

    `lacks` is None without a live log; `leaves` are the copy's own where it is sound, read anew by each who goes
    through them, who gets an `EvidenceInvalidError` where that fails.
    """

    size: int
    root: Digest | None
    beyond: int
    lacks: int | None
    findings: tuple[Finding, ...]
    leaves: Iterable[Leaf] = ()

    @property
    def exit_code(self) -> int:
        """0 when it could take the log's place, 42 for a fork, 40 for damage.

        Entries that do not even give their own signed root contradict older heads too: that is damage.
        """
        broken = any(finding.rule == _ROOT_RULE for finding in self.findings)
        if any(f.name in FORKS and not (broken and f.rule == _HISTORY_RULE) for f in self.findings):
            return _FORKED
        return _DAMAGED if any(finding.grave for finding in self.findings) else 0


def drill(
    reader: LogReader,
    verifier: NoteVerifier,
    *,
    genesis: Digest,
    kept: Sequence[Checkpoint] = (),
    live: Live | None = None,
) -> Drill:
    """Judge a copy by the module's rules."""
    found = verify(reader, [verifier], genesis=genesis)
    findings = [one if live is None else _vouched(one) for one in found]
    try:
        head = _head(reader, verifier)
        leaves = _Leaves(reader, head.size)
        size = sum(1 for _ in leaves)
    except EvidenceInvalidError as error:
        findings.append(_finding("copy-unreadable", error.where, error.what))
        return Drill(size=0, root=None, beyond=0, lacks=None, findings=tuple(findings))
    for note in kept:
        findings += (
            _against_kept(reader, verifier, head, note) if live is None else _live_and_kept(live, note)
        )
    if live is not None:
        findings += _against_live(head, islice(leaves, head.size, None), live)
    if not any(finding.grave for finding in findings):
        findings += _history(leaves)
    sound = not any(finding.grave for finding in findings)
    return Drill(
        size=head.size,
        root=of_raw(head.root),
        beyond=size - head.size,
        lacks=None if live is None else max(0, live.size() - size),
        findings=tuple(findings),
        leaves=leaves if sound else (),
    )


def _vouched(finding: Finding) -> Finding:
    """Return a finding as it stands beside the live log: whoever copies while it publishes copies two heads of it."""
    return replace(finding, grave=False) if finding.name == "checkpoint-behind" else finding


def _head(reader: LogReader, verifier: NoteVerifier) -> Checkpoint:
    note = reader.get("checkpoint", MAX_NOTE)
    if note is None:
        raise EvidenceInvalidError("missing", where="checkpoint")
    return SignedCheckpoint.open(note, [verifier], where="checkpoint").checkpoint


@dataclass(frozen=True, slots=True)
class _Leaves:
    """The signed leaves of a copy, `size` of them, then those of the journal beyond; read anew by each iteration."""

    reader: LogReader
    size: int

    def __iter__(self) -> Iterator[Leaf]:
        yield from (
            Leaf(index=index, data=data) for index, data in enumerate(bundled(self.reader, self.size))
        )
        at = self.size
        for part in self.reader.journal():
            index = part.start
            for chunk in part.chunks():
                for data in chunk:
                    if index == at:
                        yield Leaf(index=index, data=data)
                        at += 1
                    index += 1


def _against_live(head: Checkpoint, beyond: Iterable[Leaf], live: Live) -> Iterable[Finding]:
    """Rules 2 and 3, by the live log; `beyond` are the copy's leaves after its head."""
    size = live.size()
    if head.size > size:
        yield _finding(
            "live-rolled-back", "live log", f"it has {size} leaves, its copy has {head.size} signed"
        )
    elif live.root(head.size) != head.root:
        yield _finding("forked", "live log", f"another history of the first {head.size} leaves")
    else:
        for leaf in beyond:
            if leaf.index >= size:
                return
            if live.leaf(leaf.index).hash != leaf.hash:
                yield _finding("forked", f"leaf {leaf.index}", "the live log holds another leaf here")
                return


def _live_and_kept(live: Live, kept: Checkpoint) -> Iterable[Finding]:
    """Rule 3: the live log continues what was kept; whether the copy does follows from its being a prefix of it."""
    size = live.size()
    if kept.size > size:
        yield _finding(
            "live-rolled-back",
            "live log",
            f"it has {size} leaves, {kept.size} were known to the kept checkpoint",
        )
    elif live.root(kept.size) != kept.root:
        yield _finding("forked", "kept checkpoint", f"another history of the first {kept.size} leaves")


def _against_kept(
    reader: LogReader, verifier: NoteVerifier, head: Checkpoint, kept: Checkpoint
) -> Iterable[Finding]:
    """Rules 2 and 3, by a kept checkpoint alone."""
    if kept.size > head.size:
        message = f"it ends at leaf {head.size}, the kept checkpoint knew {kept.size}"
        yield _finding("older-than-kept", "copy", message, grave=False)
        return
    found = verify(reader, [verifier], kept=kept, events=False)
    yield from (finding for finding in found if finding.rule == _RULE)


def _history(leaves: Iterable[Leaf]) -> Iterable[Finding]:
    """Yield what keeps the policy's versions from being walked: such a copy could not be run from."""
    try:
        policy_history(leaf for leaf in leaves if leaf.data.endswith(STANDING_ENDS))
    except EvidenceInvalidError as error:
        yield Finding(rule=_POLICY_RULE, name="policy-history", place=error.where, message=error.what)


def _finding(name: str, place: str, message: str, *, grave: bool = True) -> Finding:
    return Finding(rule=_RULE, name=name, place=place, message=message, grave=grave)
