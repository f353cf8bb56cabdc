"""What an auditor reads: each rule's verdict, the story, and how far it can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from itmp.evidence.moments import Interval, Moment

Verdict: TypeAlias = Literal["holds", "broken", "incomplete", "not judged"]


_UNKNOWN: Final = Interval()
_RULE: Final = ("n", "name", "verdict", "finding", "place", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One numbered rule and what became of it; `why` says what is broken or missing, and where.

    `finding` is the stable name of that (`itmp.evidence.rules`), `place` where it was met; both are empty
    where nothing was found.
    """

    n: int
    name: str
    verdict: Verdict
    why: str = ""
    finding: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Who did what when, by a signed statement that counts.

    `at` is the time that the log wrote, `made` the interval that others bear witness to.
    """

    act: str
    who: str
    role: str
    at: datetime
    made: Interval = _UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTold:
    """One run: who started it, how it ended, each host's state, and whether one person acted alone."""

    id: str
    by: tuple[str, ...]
    modes: tuple[str, ...]
    state: str
    hosts: Mapping[str, str]
    quorum: int
    reconciled: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many hosts ended in each state."""
        states = sorted(self.hosts.values())
        return {state: states.count(state) for state in dict.fromkeys(states)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story of the change, as far as it has been proven."""

    change: str
    type: str
    title: str
    plan: str
    reason: str
    external: str
    environment: str
    risk: str
    state: str
    deeds: tuple[Deed, ...]
    runs: tuple[RunTold, ...]
    refusals: int
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The verdict. `exit_code`: 0 all rules hold, 40 broken, 41 incomplete, 42 fork or rollback.

    `assurance` are the limits of what was proven, one sentence each; `told` is `None` until the change was
    read.
    """

    exit_code: int
    rules: tuple[Rule, ...]
    assurance: tuple[str, ...] = ()
    told: Told | None = None

    @property
    def ok(self) -> bool:
        """Whether everything holds and nothing that was required is missing."""
        return self.exit_code == 0

    @property
    def broken(self) -> Rule | None:
        """The first rule that does not hold."""
        return next((rule for rule in self.rules if rule.verdict == "broken"), None)

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        told = self.told
        return {
            "schema": "itmp-report/v1",
            "exit_code": self.exit_code,
            "rules": [{name: getattr(rule, name) for name in _RULE} for rule in self.rules],
            "assurance": list(self.assurance),
            "change": _told_data(told) if told else None,
        }


def _moment_data(moment: Moment | None) -> dict[str, Any] | None:
    return {"t": moment.at.isoformat(), "by": moment.by, "size": moment.size} if moment else None


def _told_data(told: Told) -> dict[str, Any]:
    plain = ("type", "title", "plan", "reason", "external", "environment", "risk", "state", "refusals")
    return {
        "id": told.change,
        **{name: getattr(told, name) for name in plain},
        "statements": [
            {
                "act": deed.act,
                "signer": deed.who,
                "role": deed.role,
                "t": deed.at.isoformat(),
                "after": _moment_data(deed.made.after),
                "before": _moment_data(deed.made.before),
            }
            for deed in told.deeds
        ],
        "runs": [
            {
                "id": run.id,
                "by": list(run.by),
                "modes": list(run.modes),
                "state": run.state,
                "quorum": run.quorum,
                "hosts": dict(run.hosts),
                "reconciled": dict(run.reconciled),
            }
            for run in told.runs
        ],
        "ignored": list(told.ignored),
    }
