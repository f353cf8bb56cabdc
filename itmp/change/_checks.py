"""Checks 1 to 5, 7 and 8 of the gate, one function each, over one `Question`. The rules stand in `gate`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final, Literal, TypeAlias

from itmp.audit import Health
from itmp.calendars import Freeze, Weekly, format_time, next_window
from itmp.change._shape import Quorum
from itmp.change._votes import Count, apart_ever, count_votes
from itmp.change.history import PolicyHistory
from itmp.change.policy import CLOCK, Policy, Reading, still_valid
from itmp.change.record import ChangeRecord, Vote
from itmp.change.statements import Given
from itmp.errors import RefusedError
from itmp.plan import Plan, scope, targets

Outcome: TypeAlias = Literal["ok", "refused", "not judged"]
Mode: TypeAlias = Literal["run", "resume", "undo", "slice", "always"]

_SYNCHRONISE: Final = (
    "Let chrony, ntpd or systemd-timesyncd set this machine's clock (in a container: that of its host), and try again; "
    "`limits.unsynchronised_clock` in the policy asks for it."
)
RETRYABLE: Final = frozenset({"failed", "unreachable"})
_MAX_STEPS: Final = 64  # freezes and windows passed over in search of the next opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of check `n`.

    `why` is one sentence, `do` the next action, `code` its exit code when refused, `clock` whether it is the clock
    alone that is at fault.
    """

    n: int
    name: str
    outcome: Outcome
    why: str = ""
    do: str = ""
    code: int = 0
    clock: bool = False

    def to_data(self) -> dict[str, int | str]:
        """Return what a `change.refused` event and `--json` show."""
        return {"n": self.n, "name": self.name, "outcome": self.outcome, "why": self.why}


class Question:
    """The gate's input with what several checks derive from it, each derived once."""

    def __init__(
        self,
        *,
        mode: Mode,
        plan: Plan,
        record: ChangeRecord,
        history: PolicyHistory,
        now: datetime,
        start: Given | None,
    ) -> None:
        self.mode, self.plan, self.record, self.now, self.start = mode, plan, record, now, start
        self.policy: Policy = history.latest.policy

    @cached_property
    def reading(self) -> Reading:
        """Environment and risk, by the policy in force."""
        return self.policy.read(self.plan.manifest)

    @cached_property
    def rule(self) -> Quorum | None:
        """The quorum rule; `None` where the policy has none, which refuses."""
        kind = self.record.request.type if self.record.request else "normal"
        try:
            return self.policy.quorum_for(self.reading.environment, self.reading.risk, kind)
        except RefusedError:
            return None

    @cached_property
    def count(self) -> Count | None:
        """The votes under that rule."""
        if self.rule is None:
            return None
        text, runner = scope(self.plan.manifest).text, self.start.signer if self.start else None
        return count_votes(self.record, self.policy, self.rule, self.now, scope=text, runner=runner)

    @property
    def freezes(self) -> tuple[Freeze, ...]:
        """The freezes that bind this change."""
        kind = self.record.request.type if self.record.request else "normal"
        return self.policy.freezes_for(self.reading.environment, kind)

    @property
    def weekly(self) -> tuple[Weekly, ...]:
        """The weekly windows that bind this change; an emergency waits for none."""
        if self.record.request and self.record.request.type == "emergency":
            return ()
        return self.policy.windows_for(self.reading.environment)

    def counted(self) -> tuple[Vote, ...]:
        """The approvals that the admission rests on."""
        return self.count.separate if self.count else ()

    def limited_hosts(self) -> tuple[str, ...]:
        """The plan's hosts, narrowed by the start statement's limit."""
        hosts = targets(self.plan.manifest)
        limit = self.start.line("limit") if self.start else ""
        return tuple(select(limit, hosts, self._groups())) if limit else hosts

    def _groups(self) -> Mapping[str, tuple[str, ...]]:
        inventory = self.plan.manifest.inventory
        return {host.name: host.groups for host in inventory.hosts} if inventory else {}

    def not_after(self) -> datetime:
        """When the permit ends: window, approvals, weekly window or the policy's limit, the earliest."""
        ends = [self.now + self.policy.permit_limit]
        if self.mode in {"run", "resume"}:
            window = self.record.request.window if self.record.request else None
            ends += [window.end] if window else []
            ends += [self.count.until] if self.count and self.count.until else []
            weekly = next_window(self.weekly, self.now)
            ends += [weekly.end] if weekly else []
        return min(ends)

    def next_opening(self) -> datetime | None:
        """The next time at which check 5 passes; `None`: never again in this change's window."""
        window, at = (self.record.request.window if self.record.request else None), self.now
        for _ in range(_MAX_STEPS):
            if window and at >= window.end:
                return None
            later = self._closed_until(at)
            if later is None:
                return at
            at = later
        return None

    def _closed_until(self, at: datetime) -> datetime | None:
        window = self.record.request.window if self.record.request else None
        if window and at < window.start:
            return window.start
        closing = next((freeze for freeze in self.freezes if freeze.window.contains(at)), None)
        if closing:
            return closing.window.end
        opening = next_window(self.weekly, at)
        return opening.start if opening and not opening.contains(at) else None


def select(limit: str, hosts: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield the hosts that `limit` names: globs over host and group names, by commas; `!` takes away.

    A word with `+` names no host: see `retries`.
    """
    words = _words(limit)
    taken = [word for word in words if not word.startswith(("!", "+"))]
    away = [word[1:] for word in words if word.startswith("!")]
    for host in hosts:
        names = (host, *groups.get(host, ()))
        wanted = not taken or any(fnmatchcase(name, word) for name in names for word in taken)
        if wanted and not any(fnmatchcase(name, word) for name in names for word in away):
            yield host


def retries(limit: str) -> frozenset[str]:
    """Return the states whose hosts a resume's `limit` says to try again: the words `+failed` and `+unreachable`."""
    return frozenset(word[1:] for word in _words(limit) if word.startswith("+"))


def _words(limit: str) -> list[str]:
    return [word.strip() for word in limit.split(",") if word.strip()]


def _ok(n: int, name: str, why: str = "") -> Check:
    return Check(n=n, name=name, outcome="ok", why=why)


def _refused(n: int, name: str, code: int, why: str, do: str) -> Check:
    return Check(n=n, name=name, outcome="refused", why=why, do=do, code=code)


def same_plan(question: Question) -> Check:
    """Check 1."""
    record, name = question.record, "plan is the approved one"
    code = 12 if any(vote.approves for vote in record.votes) else 10
    if record.request is None:
        return _refused(
            1, name, code, "the change was never validly opened", "Open it: itmp change open PLAN"
        )
    if record.request.plan != question.plan.digest:
        why = f"the plan is {question.plan.digest:.19}…, approval was asked for {record.request.plan:.19}…"
        return _refused(1, name, code, why, "Open a change for the new plan: itmp change open PLAN")
    stale = question.count.stale if question.count else ()
    if question.mode != "undo" and question.count and stale and not question.count.reached:
        why = f"approvals of {', '.join(stale)} name another policy version or scope"
        return _refused(1, name, code, why, f"Approve it again: itmp approve {record.id}")
    return _ok(1, name, f"{question.plan.digest:.19}…")


def quorum(question: Question) -> Check:
    """Check 2."""
    name, count, reading = "quorum", question.count, question.reading
    place = f"{reading.environment}, {reading.risk} risk"
    inventory = question.plan.manifest.inventory
    if inventory and inventory.unpinned and not question.policy.unpinned_hosts:
        why = f"the policy does not allow hosts without a pinned key: {', '.join(inventory.unpinned[:5])}"
        return _refused(2, name, 15, why, "Pin their keys (itmp hosts scan) and plan again.")
    if count is None:
        why = f"the policy has no quorum rule for such a change in {place}"
        return _refused(2, name, 15, why, "Propose a policy that has one: itmp policy propose")
    have, need = len(count.valid), count.rule.count
    if not count.reached:
        why = f"{have} of {need} approvals ({place}; roles {', '.join(count.rule.roles)})"
        return _refused(2, name, 10, why, f"Ask for approval: itmp approve {question.record.id}")
    return _ok(2, name, f"{have} of {need} approvals ({place})" if need else f"none needed ({place})")


def separation(question: Question) -> Check:
    """Check 3."""
    name, rule = "separation of duties", question.rule
    if problem := _start_problem(question):
        return _refused(3, name, 15, *problem)
    runner = question.start.signer if question.start else ""
    if rule is None:
        return _refused(
            3, name, 15, "without a quorum rule nothing can start", "Propose a policy that has one."
        )
    if question.mode == "undo":
        enough = apart_ever(question.record, question.policy, rule, runner) >= rule.count
    else:
        enough = question.count is None or not question.count.reached or question.count.separated
    if not enough:
        why = f"without the votes of the requester and of {runner}, who starts it, too few people approve"
        return _refused(3, name, 15, why, "Let another person approve, or start it.")
    return _ok(3, name, f"started by {runner}")


def _start_problem(question: Question) -> tuple[str, str] | None:
    start, record, mode = question.start, question.record, question.mode
    again = f"Sign a new statement: itmp {mode} {record.id}"
    if start is None or start.act != mode:
        return f"no valid {mode} statement starts this", again
    if (
        not start.statement.valid[0] <= question.now <= start.until
        or start.line("policy") != question.policy.digest
    ):
        return (
            f"the {mode} statement of {start.signer} is not valid now, or names another policy version",
            again,
        )
    if not still_valid(question.policy, start.signer, start.role, question.now):
        return (
            f"{start.signer} no longer holds role {start.role} with a valid key",
            "Let somebody else start it.",
        )
    if any(start.leaf in permit.body.get("statements", ()) for permit in record.permits):
        return f"this {mode} statement has been used for a permit", again
    return _wrong_limit(start, question) or _wrong_time(question)


def _wrong_limit(start: Given, question: Question) -> tuple[str, str] | None:
    limit = start.line("limit")
    if not retries(limit) <= (RETRYABLE if question.mode == "resume" else frozenset()):
        return f"limit {limit!r:.80} asks to retry what a {question.mode} cannot", "Choose another --retry."
    if targets(question.plan.manifest) and not question.limited_hosts():
        return (
            f"limit {start.line('limit')!r:.80} selects none of the plan's hosts",
            "Choose another --limit.",
        )
    return None


def _wrong_time(question: Question) -> tuple[str, str] | None:
    run, change = question.record.run, question.record.id
    if question.mode == "run" and run is not None:
        return f"the change has run already ({run.id}, {run.state})", f"Go on with it: itmp resume {change}"
    if question.mode == "resume" and (run is None or run.state in {"succeeded", "undone"}):
        return "there is no unfinished run to resume", f"See: itmp status {change}"
    if question.mode == "undo" and (run is None or run.state == "undone"):
        return "there is no run to undo", f"See: itmp status {change}"
    return None


def standing(question: Question) -> Check:
    """Check 4."""
    name, record, count = "approvals stand", question.record, question.count
    see = f"Open a new change, or see: itmp change show {record.id}"
    if record.closed or record.canceled:
        return _refused(4, name, 18, f"the change is {'closed' if record.closed else 'canceled'}", see)
    since = question.start.index if question.start else -1
    stops = [given.signer for given in record.stops if question.start and given.index > since]
    if stops:
        return _refused(4, name, 18, f"{', '.join(stops)} stopped it", f"Go on with: itmp resume {record.id}")
    against = count.against if count else tuple(_any_against(record))
    if against:
        return _refused(4, name, 18, f"{', '.join(against)}", see)
    if count and count.expired and not count.reached:
        why = f"expired, not yet valid, or valid for too long: approvals of {', '.join(count.expired)}"
        return _refused(4, name, 10, why, f"Approve it again: itmp approve {record.id}")
    return _ok(4, name)


def _any_against(record: ChangeRecord) -> Iterator[str]:
    for voter, word in record.standing().items():
        if not isinstance(word, Vote) or not word.approves:
            yield f"{voter} rejected or revoked"


def in_window(question: Question) -> Check:
    """Check 5."""
    name, window = "window", question.record.request.window if question.record.request else None
    opening = question.next_opening()
    do = f"Try again at {format_time(opening)}." if opening else "Open a change with another window."
    if window and not window.contains(question.now):
        return _refused(5, name, 11, f"now is outside the change's window {window.text}", do)
    frozen = [freeze.name for freeze in question.freezes if freeze.window.contains(question.now)]
    if frozen:
        return _refused(5, name, 11, f"{question.reading.environment} is frozen: {', '.join(frozen)}", do)
    weekly = next_window(question.weekly, question.now)
    if question.weekly and not (weekly and weekly.contains(question.now)):
        return _refused(5, name, 11, f"no weekly window of {question.reading.environment} is open", do)
    return _ok(5, name, window.text if window else "")


def reviewed(question: Question) -> Check:
    """Check 7."""
    name, review = "document reviewed", question.plan.manifest.reviewed
    if review is None:
        return _ok(7, name, "the document sets no review date")
    if question.now.date() > date.fromisoformat(review.due):
        why = f"the document was to be reviewed by {review.due} (last: {review.on})"
        return _refused(7, name, 15, why, "Review it, set reviewed.on, and open a change for the new plan.")
    return _ok(7, name, f"until {review.due}")


def healthy(health: Health) -> Check:
    """Check 8."""
    name = "log healthy"
    grave = [finding for finding in health.findings if finding.grave]
    if not grave:
        told = "; ".join(f"{finding.place}: {finding.message}" for finding in health.findings)
        return replace(_ok(8, name), why=told)
    code = 42 if any(finding.name in {"rolled-back", "forked"} for finding in grave) else 16
    why = "; ".join(f"{finding.place}: {finding.message}" for finding in grave)
    clock = {finding.name for finding in grave} == {CLOCK}
    do = _SYNCHRONISE if clock else "Find out with: itmp audit verify"
    return replace(_refused(8, name, code, why, do), clock=clock)


INNER: Final[Mapping[int, Callable[[Question], Check]]] = {
    1: same_plan,
    2: quorum,
    3: separation,
    4: standing,
    5: in_window,
    7: reviewed,
}
