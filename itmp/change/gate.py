"""The gate: nine numbered checks over plan, change, policy, log and time; the only way to an `Admission`.

1. The plan's bytes are those that were put up for approval, and the approvals name this request, this
   window, this scope and the policy version in force.
2. Enough distinct people approve, in the roles that the policy asks for.
3. Somebody entitled starts it, once, by a statement of their own; enough approvals come from people who
   neither requested the change nor start it, unless the policy says otherwise in writing.
4. No approval that is needed has expired; nobody has rejected, revoked, stopped or canceled.
5. Now lies inside the window and no freeze.
6. The starting state is unmoved: hosts, variables, present values, operations.
7. The document is not past its review date.
8. The log is healthy, not rolled back, and the clock is not behind it.
9. The external record, where one is named, says implement, with a window that holds now.

Rules kept here: every check is reported; 6 and 9 touch the outside and are judged only when all others
pass, so `judge` answers `NeedsWorld` first and takes the gathered `World` in a second call; one vote less,
a rejection more or a role less never turns a refusal into an admission; the environment and risk are the
policy's reading of the targets. Which checks are asked for depends on the mode: run and resume all nine,
undo 1 3 8, a slice 2 4 5 8, an `always` or undo slice of an admitted run 8 alone. The exit code is that of
the first refusal in the order of `_exit_code`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from itmp.audit import Health
from itmp.canonical import Digest
from itmp.change import _checks
from itmp.change._checks import Check, Question
from itmp.change._world import World, judge_external, judge_world, unskipped
from itmp.change.history import PolicyHistory
from itmp.change.policy import Reading
from itmp.change.record import ChangeRecord
from itmp.errors import (
    Error,
    ForkError,
    LogUnavailableError,
    NotApprovedError,
    OutsideWindowError,
    RefusedError,
    RejectedError,
    StaleError,
    UnsynchronisedClockError,
)
from itmp.plan import Plan

GateMode: TypeAlias = Literal["run", "resume", "undo", "slice", "always"]

NAMES: Final[Mapping[int, str]] = {
    1: "plan is the approved one",
    2: "quorum",
    3: "separation of duties",
    4: "approvals stand",
    5: "window",
    6: "starting state unmoved",
    7: "document reviewed",
    8: "log healthy",
    9: "external record",
}
ASKED: Final[Mapping[GateMode, frozenset[int]]] = {
    "run": frozenset(range(1, 10)),
    "resume": frozenset(range(1, 10)),
    "undo": frozenset({1, 3, 8}),
    "slice": frozenset({2, 4, 5, 8}),
    "always": frozenset({8}),
}
_OUTSIDE: Final = frozenset({6, 9})
_ERRORS: Final[Mapping[int, type[Error]]] = {
    10: NotApprovedError,
    11: OutsideWindowError,
    12: StaleError,
    15: RefusedError,
    16: LogUnavailableError,
    18: RejectedError,
    42: ForkError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInput:
    """All that the gate judges.

    `start` is the leaf of the run, resume or undo statement (for a slice: of the one that the permit rests
    on). `world` is `None` until it has been gathered.
    """

    mode: GateMode
    plan: Plan
    record: ChangeRecord
    history: PolicyHistory
    health: Health
    now: datetime
    start: Digest | None = None
    world: World | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """All checks passed.

    `hosts` are those that may be touched, `skipped` those that the plan allows to be gone.

    `alone` says that no other person's approval was needed (quorum 0): evidence repeats it. `statements`
    are the leaf hashes of what the admission rests on: request, counted approvals, start.
    """

    mode: GateMode
    change: str
    plan: Digest
    policy: Digest
    reading: Reading
    quorum: int
    hosts: tuple[str, ...]
    skipped: tuple[str, ...]
    statements: tuple[Digest, ...]
    not_after: datetime
    runner: str
    checks: tuple[Check, ...]

    @property
    def alone(self) -> bool:
        """Whether one person acts alone."""
        return self.quorum == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """At least one check refused. `retry_at` is when check 5 alone would pass, if it ever does."""

    checks: tuple[Check, ...]
    exit_code: int
    retry_at: datetime | None = None

    @property
    def first(self) -> Check:
        """The check that the exit code speaks of."""
        return next(check for check in _by_precedence(self.checks) if check.outcome == "refused")

    def to_error(self, change: str) -> Error:
        """Return the error that the command line shows."""
        check = self.first
        kind = UnsynchronisedClockError if check.clock else _ERRORS[self.exit_code]
        return kind(f"check {check.n}, {check.name}: {check.why}", where=change, do=check.do)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsWorld:
    """Everything else passed: gather the world and judge again.

    `external` is the reference to read, if any. `hosts` are those that may be touched if the world allows it.
    """

    checks: tuple[Check, ...]
    external: str = ""
    hosts: tuple[str, ...] = ()


Judgement: TypeAlias = Admission | Refusal | NeedsWorld


def judge(given: GateInput) -> Judgement:
    """Judge; see the module's rules. Without `world`, a run or resume that passes so far is `NeedsWorld`."""
    question = Question(
        mode=given.mode,
        plan=given.plan,
        record=given.record,
        history=given.history,
        now=given.now,
        start=given.record.start_of(given.start) if given.start else None,
    )
    asked = ASKED[given.mode]
    inner = {n: _checks.INNER[n](question) for n in sorted(asked - _OUTSIDE - {8})}
    inner |= {8: _checks.healthy(given.health)}
    if any(check.outcome == "refused" for check in inner.values()):
        return _refusal(inner, question)
    if not asked & _OUTSIDE:
        return _admission(question, _all_nine(inner))
    if given.world is None:
        request = given.record.request
        return NeedsWorld(
            checks=_all_nine(inner),
            external=request.external if request else "",
            hosts=question.limited_hosts(),
        )
    outer = {6: judge_world(question, given.world), 9: judge_external(question, given.world)}
    if any(check.outcome == "refused" for check in outer.values()):
        return _refusal(inner | outer, question)
    return _admission(question, _all_nine(inner | outer), given.world)


def _admission(question: Question, checks: tuple[Check, ...], world: World | None = None) -> Admission:
    request, policy = question.record.request, question.policy
    statements = [
        *([request.leaf] if request else []),
        *(vote.given.leaf for vote in question.counted()),
        *([question.start.leaf] if question.start else []),
    ]
    hosts = question.limited_hosts()
    left = unskipped(hosts, question.plan.manifest.inventory, world)
    kept = frozenset(left)
    return Admission(
        mode=question.mode,
        change=question.record.id,
        plan=question.plan.digest,
        policy=policy.digest,
        reading=question.reading,
        quorum=question.rule.count if question.rule else 0,
        hosts=left,
        skipped=tuple(host for host in hosts if host not in kept),
        statements=tuple(statements),
        not_after=question.not_after(),
        runner=question.start.signer if question.start else "",
        checks=checks,
    )


def _refusal(judged: Mapping[int, Check], question: Question) -> Refusal:
    checks = _all_nine(judged)
    code = next(check.code for check in _by_precedence(checks) if check.outcome == "refused")
    only_time = code == 11 and [check.n for check in checks if check.outcome == "refused"] == [5]  # noqa: PLR2004 - exit code
    return Refusal(checks=checks, exit_code=code, retry_at=question.next_opening() if only_time else None)


def _all_nine(judged: Mapping[int, Check]) -> tuple[Check, ...]:
    return tuple(judged.get(n) or Check(n=n, name=NAMES[n], outcome="not judged") for n in NAMES)


def _by_precedence(checks: tuple[Check, ...]) -> list[Check]:
    """Order checks so that the first refusal has the exit code of the whole (architecture.md §9).

    8 → 16 or 42; rejected or revoked → 18; 1 → 10 or 12; 2 or expired → 10; 3, 7 → 15; 5 → 11; 6 → 12; 9 →
    15.
    """
    order = {8: 0, 1: 2, 2: 3, 3: 5, 7: 6, 5: 7, 6: 8, 9: 9}
    return sorted(checks, key=lambda check: order.get(check.n, 1 if check.code == 18 else 4))  # noqa: PLR2004 - exit code
