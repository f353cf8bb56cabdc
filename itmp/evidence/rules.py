"""The numbered rules of evidence, and the stable name of what is found when one does not hold.

Rules kept here: a name is never reused for another meaning; each finding belongs to a rule, except that a
fork (`forked`), a rollback (`rolled-back`), a key that was revoked (`key-revoked`), a policy version that the auditor
knows and the file leaves out (`policy-left-out`) and a time that others contradict (`clock-contradicted`) are called so
whichever rule meets them, and a handover by the rule of its own that is broken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from itmp.errors import Error, EvidenceInvalidError, ForkError, RolledBackError

FORKED: Final = "forked"
ROLLED_BACK: Final = "rolled-back"
CONTRADICTED: Final = "clock-contradicted"
REVOKED: Final = "key-revoked"
LEFT_OUT: Final = "policy-left-out"
HANDOVERS: Final = 21
"""The rule of handovers from one period's log to the next."""

HANDED: Final = (
    "period-missing",
    "handover-open",
    "handover-one-sided",
    "handover-altered",
    "policy-carried",
    LEFT_OUT,
)
"""What is found at rule 21, told apart (`itmp.change.handover`); anything else is `handover-broken`."""


class RuleBrokenError(EvidenceInvalidError):
    """Rule `n` is broken."""

    def __init__(self, n: int, what: str, *, where: str = "") -> None:
        super().__init__(what, where=where)
        self.n = n


class RevokedKeyError(EvidenceInvalidError):
    """A key signed for more leaves than it counts for since it was revoked."""


class PolicyLeftOutError(EvidenceInvalidError):
    """A policy version that the auditor knows is not in the file; `what` begins with `LEFT_OUT`."""


class ContradictedError(EvidenceInvalidError):
    """A leaf's own time is not what witnesses and authorities say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What is merely absent: why its rule cannot be judged, and where it would be."""

    why: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """One rule: its name, when it holds, and what is found when it is broken or something is absent."""

    name: str
    holds: str
    broken: str
    absent: str = ""


TEXTS: Final[Mapping[int, RuleText]] = {
    1: RuleText(
        name="archive",
        holds="the file is in its one form, MANIFEST covers every member, nothing is missing or extra",
        broken="archive-altered",
    ),
    2: RuleText(
        name="checkpoint signed",
        holds="by trust's log, and by its witnesses' quorum",
        broken="checkpoint-unsigned",
    ),
    3: RuleText(
        name="leaves included",
        holds="every leaf is in that checkpoint, at its own index",
        broken="leaf-not-included",
    ),
    4: RuleText(
        name="genesis", holds="leaf 0 is trust's genesis, for trust's log key", broken="genesis-untrusted"
    ),
    5: RuleText(
        name="policy history",
        holds="every policy version came in by the quorum of the one before it, and those that the auditor knows are "
        "there",
        broken="policy-unauthorized",
        absent="policy-not-reached",
    ),
    6: RuleText(
        name="one history",
        holds="the checkpoint continues the one that the auditor kept, every one that a signer had seen, and every "
        "anchored head",
        broken="consistency-altered",
        absent="consistency-absent",
    ),
    7: RuleText(
        name="change complete",
        holds="the change's events are 0 to n without a gap, each chained to the one before",
        broken="events-missing",
    ),
    8: RuleText(
        name="statements",
        holds="the change was validly opened; statements that count are signed, in force and for this change",
        broken="statement-invalid",
    ),
    9: RuleText(
        name="plan",
        holds="its bytes and artifacts are those that the request names",
        broken="plan-altered",
        absent="plan-absent",
    ),
    10: RuleText(
        name="permits",
        holds="every permit is what the gate grants at that moment: quorum, separation, validity, window, plan, and no "
        "clock behind the leaves before it",
        broken="permit-unfounded",
        absent="permits-not-judged",
    ),
    11: RuleText(
        name="runs",
        holds="every run begins under its own permit, once; a resume goes on without exactly the hosts, and tries "
        "again exactly the states, that its signed `limit` says",
        broken="run-unpermitted",
        absent="runs-not-judged",
    ),
    12: RuleText(
        name="intents",
        holds="every intent lies inside plan and permit, in the plan's order (a batch after the one before, undo "
        "last; a host goes back only to the beginning of a batch that an `always` step closed before it had passed, "
        "or to what was passed over, or to a failure that the plan goes on past and on from there: under a signed "
        "retry, after a reconciliation, or where it was not reached), for work that its run has not done yet, of which "
        "no outcome there is unknown, and that did not fail there unless a person signed to try it again, while the "
        "approvals stood; `always` and undo steps, whatever they did; none at a time before that of an earlier leaf",
        broken="intent-outside",
        absent="intents-not-judged",
    ),
    13: RuleText(
        name="results",
        holds="every result has one earlier intent that covers its target and action, but for what was denied and so "
        "not done; a person or a probe of the plan stands behind each reconciliation",
        broken="result-unintended",
        absent="results-not-judged",
    ),
    14: RuleText(
        name="slices",
        holds="every slice ends by naming each of its targets, but for a pause with nothing left to begin and a "
        "check's hosts gone on without",
        broken="slice-unaccounted",
        absent="slices-not-judged",
    ),
    15: RuleText(
        name="hosts accounted for",
        holds="every targeted host ends in exactly one state, no better than its slices; a success did every "
        "slice on each host that it counts",
        broken="host-unaccounted",
        absent="run-not-ended",
    ),
    16: RuleText(
        name="close",
        holds="the close commits all events before it and is the last",
        broken="close-mismatch",
        absent="not-closed",
    ),
    17: RuleText(
        name="clocks",
        holds="they are monotone within each boot, and no leaf's time lies ten minutes outside what witnesses and "
        "authorities say of heads with and without it",
        broken="clock-backwards",
    ),
    18: RuleText(
        name="required",
        holds="what `--require` asked for was brought and used",
        broken="required-broken",
        absent="required-absent",
    ),
    19: RuleText(
        name="whole log",
        holds="with `--log`: each log's folder is sound, and holds no other event of the change and no other policy "
        "version",
        broken="log-contradicts",
    ),
    20: RuleText(
        name="questions, waits and guards",
        holds="every question is answered by a statement that counts, before the event that names it; waits last as "
        "long as their first intent said; they come again where what they follow was begun again; nothing "
        "that a no forbids begins after it; a slice is passed over exactly where its guard does not hold or a failure "
        "leads past it",
        broken="word-broken",
        absent="words-not-judged",
    ),
    HANDOVERS: RuleText(
        name="handovers",
        holds="the change's log is trust's own, or every log from there on is in the file and each one handed over "
        "to the next: by its last leaf, by the quorum of its policy and by both logs' keys (judged before rule 2)",
        broken="handover-broken",
    ),
}

_ANYWHERE: Final[tuple[tuple[type[Error], str], ...]] = (
    (RolledBackError, ROLLED_BACK),
    (ForkError, FORKED),
    (RevokedKeyError, REVOKED),
    (PolicyLeftOutError, LEFT_OUT),
    (ContradictedError, CONTRADICTED),
)
"""What is called so whichever rule meets it; the narrower kind first."""

RULES: Final[Mapping[int, str]] = {n: text.name for n, text in TEXTS.items()}


def finding_of(n: int, *, error: Exception | None = None) -> str:
    """Return the name of what was found at rule `n`: broken by `error`, or, without one, absent."""
    for kind, name in _ANYWHERE:
        if isinstance(error, kind):
            return name
    if n == HANDOVERS and isinstance(error, EvidenceInvalidError):
        name = error.what.partition(":")[0]
        return name if name in HANDED else TEXTS[n].broken
    return TEXTS[n].broken if error else TEXTS[n].absent
