"""The auditor's verdict on one change's evidence.

The numbered rules, in the order in which they are judged; the code repeats the numbers: 1 the file is an
evidence archive in its one form; MANIFEST covers every member; nothing is missing or extra; 2 the
checkpoint is signed by TRUST's log and by its witnesses' quorum; 3 every leaf is included in that
checkpoint, at its own index; 4 leaf 0 is TRUST's genesis, for TRUST's log key; 5 every policy version came
in by the quorum of the one before it; 6 the checkpoint continues the one that the auditor kept and every
one that a signer had seen; 7 the change's events are 0..n without a gap, each chained to the one before; 8
the change was validly opened; statements that count are signed, in force and for this change; 9 the plan's
bytes and artifacts are those that the request names; 10 every permit is what the gate grants at that
moment: quorum, separation, validity, window, plan, clock; 11 every run begins under its own permit, once, without and
again with whom a person signed; 12 every intent lies inside plan and permit, in the plan's order, for work that its
run has not done yet, while the approvals stood (`always` and undo steps: whatever they did), by a clock that was not
set back; 13 every result has one earlier intent that covers its target and action, and a reconciliation a person or
a probe; 14 every slice ends by naming each of its targets; 15 every targeted host ends in exactly one state, which its
slices bear; 16 the close commits all events before it and is the last; 17 clocks are monotone within each boot, and
no leaf's time is contradicted by a witness or an authority; 18 what the auditor demanded by
`require` was brought and used; 19 with the whole log, or earlier ones, each is
sound and holds no other event of the change and no other policy version; 20
questions are answered by statements that count, waits last as long as they said, and guards and jumps were followed; 21
the change's log is TRUST's, or handovers lead to it from there, each signed by both logs' keys and by the policy's
quorum (judged before 2, because it says by which key).

Judgement stops at the first broken rule: whatever follows could rest on it. A fork or rollback is told
apart (42), and so is what is merely absent (41). Nothing in the file is believed: TRUST comes from
elsewhere, and every member that follows from the leaves is recomputed. Each rule notes which members it has
bound to the checkpoint byte for byte; a member that none has bound breaks rule 1.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from itmp import canonical
from itmp.audit import Leaf, LogReader, SignedCheckpoint
from itmp.canonical import Digest
from itmp.change import ChangeRecord, PolicyHistory, Request, fold
from itmp.errors import Error, EvidenceInvalidError, ForkError
from itmp.evidence import archive
from itmp.evidence.bundle import blobs_in, derived, manifest_of
from itmp.evidence.conduct import Conduct
from itmp.evidence.frame import MANIFEST, check_clocks, check_close, healths, read_plan
from itmp.evidence.handovers import PREFIX, Walked, walk
from itmp.evidence.moments import ANCHORED, check_moments, heads
from itmp.evidence.period import Period
from itmp.evidence.report import Report, Rule, Verdict
from itmp.evidence.rules import HANDOVERS, RULES, Lack, RuleBrokenError, finding_of
from itmp.evidence.seen import signed_in
from itmp.evidence.stamps import MEMBER, Bounds, Stamps, bounds
from itmp.evidence.told import assurance, known_of, tell, told_of
from itmp.evidence.trust import Trust
from itmp.evidence.whole import Shown, check_logs
from itmp.signing import PublicKey, Signed, verify_signed

if TYPE_CHECKING:
    from itmp.plan import Plan

REQUIRABLE: Final = ("checkpoint", "tsa", "witness")
_BROUGHT: Final = {"checkpoint": "checkpoint", "tsa": "tsa.pem", "witness": "log.policy"}
THE_FILE: Final = "the file"
"""The place of what is wrong with evidence as a whole."""
Strict = Callable[[Signed, str, PublicKey], None]
"""A second opinion on each signature that counts (stock ssh-keygen): raises `Error` when it disagrees."""

_SIGNED: Final = frozenset(
    {
        "statement.recorded",
        "action.reconciled",
        *(f"change.{word}" for word in ["approved", "rejected", "revoked", "canceled", "reviewed"]),
    }
)
_RULE_OF: Final = {"permit": 10, "run": 11, "slice": 14, "action": 13, "check": 13, "change": 16}


def verify(
    bundle: bytes,
    trust: Trust,
    *,
    require: Iterable[str] = (),
    strict: Strict | None = None,
    logs: tuple[LogReader, ...] = (),
    stamps: Stamps | None = None,
) -> Report:
    """Judge an evidence file; see the module's rules. Never raises for what the file or the log holds.

    `require` names what must be there (`REQUIRABLE`), `strict` is a second opinion on signatures, `logs` the
    whole log, and earlier ones, where the auditor has them, `stamps` judges time stamps.
    """
    verifier = _Verifier(bundle, trust, require=tuple(require), strict=strict, logs=logs)
    verifier.stamps = stamps
    for n in RULES:
        try:
            verifier.judge(n)
        except RuleBrokenError as error:
            return verifier.report(error.n, error)
        except (Error, UnicodeDecodeError) as error:
            return verifier.report(n, error)
    return verifier.report()


class _Verifier:
    """The state of one verification; each rule may use only what rules before it have established."""

    def __init__(
        self,
        bundle: bytes,
        trust: Trust,
        *,
        require: tuple[str, ...],
        strict: Strict | None,
        logs: tuple[LogReader, ...],
    ) -> None:
        self._bundle, self._trust, self._require, self._strict = bundle, trust, require, strict
        self._logs, self._bounds = logs, Bounds()
        self._read = frozenset[str]()
        self.stamps: Stamps | None = None
        self._members: dict[str, bytes] = {}
        self._leaves: dict[int, Leaf] = {}
        self._events: tuple[Leaf, ...] = ()
        self._period: Period
        self._walked: Walked
        self._head: SignedCheckpoint
        self._history: PolicyHistory | None = None
        self._record: ChangeRecord | None = None
        self._plan: Plan | None = None
        self._conduct: Conduct | None = None
        self._anchored: dict[int, list[SignedCheckpoint]] = {}
        self._held: list[int] = []
        self._absent: dict[int, Lack] = {}
        self._bound = {"MANIFEST", "checkpoint"}
        self._rules: dict[int, Callable[[], None]] = {
            1: self._archive,
            2: self._checkpoint,
            3: self._inclusion,
            4: self._genesis,
            5: self._policies,
            6: self._one_history,
            7: self._complete,
            8: self._statements,
            9: self._plan_bytes,
            10: self._deeds,
            16: self._close,
            17: self._clocks,
            18: self._required,
            19: self._whole,
        }

    def judge(self, n: int) -> None:
        if n in self._rules:  # 11 to 15 and 20 are judged together with 10, event by event
            self._rules[n]()
        if n != 19 or self._logs:  # noqa: PLR2004 - a rule's number
            self._held.append(n)

    def report(self, broken: int = 0, error: Exception | None = None) -> Report:
        why = (
            f"{error.where}: {error.what}".removeprefix(": ")
            if isinstance(error, Error)
            else str(error or "")
        )
        rules = tuple(self._rule(n, broken, why, error) for n in RULES)
        if broken:
            return Report(exit_code=42 if isinstance(error, ForkError) else 40, rules=rules)
        told = (
            tell(self._history, self._record, self._plan, self._conduct, self._bounds.moments)
            if self._history and self._record
            else None
        )
        lines = self._assurance(self._history) if self._history else ()
        return Report(exit_code=41 if self._absent else 0, rules=rules, assurance=lines, told=told)

    def _assurance(self, history: PolicyHistory) -> tuple[str, ...]:
        whole = history.origin in self._read
        lines = assurance(self._trust, history, self._conduct, whole=whole, bounds=self._bounds)
        passed = [line for one in self._walked.passed for line in told_of(one, read=self._read)]
        return (*lines, *passed, *known_of((*self._walked.passed, self._period)))

    def _rule(self, n: int, broken: int, why: str, error: Exception | None) -> Rule:
        verdict = self._verdict(n, broken)
        found, place = "", ""
        if verdict == "broken":
            found, place = finding_of(n, error=error), getattr(error, "where", "") or THE_FILE
        elif verdict == "incomplete":
            lack, found = self._absent[n], finding_of(n)
            why, place = lack.why, lack.place
        return Rule(n=n, name=RULES[n], verdict=verdict, why=why if found else "", finding=found, place=place)

    def _verdict(self, n: int, broken: int) -> Verdict:
        if n == broken:
            return "broken"
        if n in self._absent:
            return "incomplete"
        return "holds" if n in self._held and (not broken or n < broken) else "not judged"

    # Rule 1

    def _archive(self) -> None:
        self._members = archive.unpack(self._bundle)
        for name in ("MANIFEST", "checkpoint"):
            if name not in self._members:
                raise EvidenceInvalidError("missing", where=name)
        if self._members["MANIFEST"] != manifest_of(self._members):
            raise EvidenceInvalidError(
                "it does not list exactly the members and their sha256", where="MANIFEST"
            )
        self._log_of(self._trust)

    def _log_of(self, trust: Trust) -> None:
        """Read the change's own log, which `trust` knows or leads to."""
        own = {name: data for name, data in self._members.items() if not name.startswith(PREFIX)}
        self._period = Period(own, trust)
        self._leaves = self._period.leaves

    # Rules 2 to 6, and 21 before them: which key to judge by

    def _checkpoint(self) -> None:
        self._walked = walk(self._members, self._trust)
        self._handed()
        if self._walked.trust is not self._trust:  # handovers led to the key of the change's own log
            self._trust = self._walked.trust
            self._log_of(self._trust)
        self._period.check_head()
        self._head = self._period.head
        self._bound |= self._walked.bound
        stamps = {name for name in self._members if MEMBER.match(name) or ANCHORED.match(name)}
        self._bound |= stamps  # what does not hold is told, and counts for nothing

    def _handed(self) -> None:
        """Ask for the second opinion on what people signed in logs before: on that rests whose key signs here."""
        for number, period in enumerate((*self._walked.behind, *self._walked.passed), 1):
            try:
                self._second_opinion(period.leaves.values(), period.history.origin)
            except Error as error:
                raise RuleBrokenError(HANDOVERS, error.what, where=f"{PREFIX}{number}") from error

    def _inclusion(self) -> None:
        self._period.check_inclusion()
        self._bound |= self._period.bound

    def _genesis(self) -> None:
        self._period.check_genesis()

    def _policies(self) -> None:
        self._period.check_policies()
        self._history = self._period.history
        if self._period.unreached:
            self._absent[5] = self._period.unreached

    def _one_history(self) -> None:
        self._anchored = heads(self._trust, self._members)
        self._period.check_one_history(note.checkpoint for notes in self._anchored.values() for note in notes)
        self._bound |= self._period.bound
        if absent := self._walked.absent or self._period.absent:
            self._absent[6] = absent

    # Rules 7 to 9

    def _complete(self) -> None:
        versions = self._history.indexes if self._history else frozenset[int]()
        self._events = tuple(self._leaves[index] for index in sorted(self._leaves.keys() - versions))
        if not self._events or not self._history:
            raise EvidenceInvalidError("no event of any change", where="leaves")
        self._record = fold(self._events, self._history, blob=self._blob)
        request = self._record.request
        for leaf in self._events if request else ():
            if request and leaf.event.plan != request.plan and leaf.event.type != "change.refused":
                raise EvidenceInvalidError(
                    "an event of another plan than the request's", where=f"leaf {leaf.index}"
                )

    def _blob(self, digest: Digest) -> bytes:
        name = f"blobs/{digest.removeprefix('sha256:')}"
        if name not in self._members or canonical.digest(self._members[name]) != digest:
            raise EvidenceInvalidError("missing, or other bytes than its name says", where=name)
        return self._members[name]

    def _statements(self) -> None:
        record, history = self._record, self._history
        if record is None or history is None or record.request is None:
            raise EvidenceInvalidError("the change was never validly opened", where="change.opened")
        follow = derived(self._leaves, history)
        for name, data in follow.items():
            if self._members.get(name) != data:
                raise EvidenceInvalidError("it is not what the leaves say", where=name)
        for digest in blobs_in(self._events):
            self._blob(digest)
            self._bound.add(f"blobs/{digest.removeprefix('sha256:')}")
        self._bound |= follow.keys()
        ignored = {finding.index for finding in record.findings}
        counting = (leaf for index, leaf in self._leaves.items() if index not in ignored)
        self._second_opinion(counting, history.origin)

    def _second_opinion(self, leaves: Iterable[Leaf], origin: str) -> None:
        if self._strict is None:
            return
        for signed in (signed for leaf in leaves for signed in signed_in(leaf)):
            statement, by = verify_signed(signed, domain=origin.partition("/")[0])
            self._strict(signed, statement.fields["signer"], by.key)

    def _plan_bytes(self) -> None:
        self._plan = read_plan(self._members, self._request().plan)
        if self._plan is None:
            self._absent[9] = Lack(why="the plan's bytes are not in the file", place=MANIFEST)
        self._bound |= {name for name in self._members if name.startswith("plan/")}  # read_plan took them
        if free := self._members.keys() - self._bound:
            raise RuleBrokenError(1, "a member that does not belong here", where=min(free))

    def _request(self) -> Request:
        if self._record is None or self._record.request is None:
            raise EvidenceInvalidError("the change was never validly opened", where="change.opened")
        return self._record.request

    # Rules 10 to 15

    def _deeds(self) -> None:
        if self._plan is None or self._history is None:
            for n in (*range(10, 16), 20):
                self._absent[n] = Lack(why="cannot be judged without the plan's bytes", place=MANIFEST)
            return
        blobs = {digest: self._blob(digest) for digest in blobs_in(self._events)}
        self._conduct = Conduct(self._plan, self._history, blobs, healths(self._leaves))
        for leaf in self._events:
            self._conduct.take(leaf)
        self._record = self._conduct.end()
        if running := self._conduct.running:
            self._absent[15] = Lack(
                why=f"a run has not ended: {', '.join(running)}", place=f"run {running[0]}"
            )
        for finding in self._record.findings:
            kind = self._leaves[finding.index].event.type
            if kind not in _SIGNED:  # a statement that does not count is told; anything else must not be here
                raise RuleBrokenError(
                    _RULE_OF.get(kind.partition(".")[0], 7), finding.why, where=f"leaf {finding.index}"
                )

    # Rules 16 to 18

    def _close(self) -> None:
        if not check_close(self._events, counts=bool(self._record and self._record.closed)):
            last = f"leaf {self._events[-1].index}"
            self._absent[16] = Lack(
                why="the change is not closed: its last events may be missing", place=last
            )

    def _clocks(self) -> None:
        check_clocks(self._leaves)
        self._bounds = bounds(
            self._trust, self._head, self._members, self.stamps, self._anchored, last=max(self._leaves)
        )
        check_moments(self._leaves, self._bounds.moments)

    def _required(self) -> None:
        used = set(self._trust.brought) - (set() if self._bounds.stamped else {"tsa"})
        missing = [name for name in self._require if name not in used]
        if missing:
            place = ", ".join(f"TRUST/{_BROUGHT.get(name, name)}" for name in missing)
            self._absent[18] = Lack(why=f"required and not there: {', '.join(missing)}", place=place)

    def _whole(self) -> None:
        if self._logs and self._record:
            shown = [
                Shown(trust=one.trust, head=one.head.checkpoint, leaves=one.leaves)
                for one in self._walked.passed
            ]
            head = self._head.checkpoint
            own = Shown(trust=self._trust, head=head, leaves=self._leaves, change=self._record.id)
            told, self._read = check_logs(self._logs, [*shown, own])
            self._bounds = self._bounds.plus(told)
