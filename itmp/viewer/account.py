"""One change as a page tells it, with every proof judged when it is asked for.

Rules kept here: what the page says of a proof is the verdict of `itmp.evidence.verify` over a bundle built at that
moment, never a stored one; no head is signed for it, and what none covers yet is named as that; trust is the auditor's
folder where one was given, else the log's own word, and the page says which; the story is the record's, the claims of
the executor are shown as claims.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from itmp.audit import Leaf
from itmp.evidence import Report, Trust
from itmp.inquiry import Case, Exceptional
from itmp.plan import Section, show
from itmp.workspace import Workspace, audit_account, in_its_period

LINES: Final = 200
"""Events that a page's timeline shows at once."""
_WORST: Final = ("unknown", "failed", "unreachable", "not_reached", "changed", "ok", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event of the timeline."""

    index: int
    time: str
    type: str
    actor: str
    step: str
    target: str
    outcome: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A change: its case, the verdicts, its exceptions, `lines` of its timeline from `start` on, of `count`.

    The verdicts are about the first `covered` events; there are none (None) where no head covers any. `period` is the
    one it is of, empty for the current one.
    """

    case: Case
    report: Report | None
    covered: int
    trusted: bool
    exceptions: tuple[Exceptional, ...]
    plan: tuple[Section, ...]
    lines: tuple[Line, ...]
    start: int
    count: int
    period: str = ""
    size: int = LINES

    @property
    def hosts(self) -> Mapping[str, tuple[str, ...]]:
        """The newest run's targets by outcome, the worst first."""
        run = self.case.record.run
        states = run.targets if run else {}
        return {
            state: names
            for state in _WORST
            if (names := tuple(sorted(name for name, found in states.items() if found == state)))
        }


def account(place: Workspace, name: str, *, trust: Trust | None = None, start: int = 0) -> Account:
    """Tell one change by id or external reference; raises like `itmp.workspace.find`."""
    place = in_its_period(place, name)
    found = audit_account(place, name, trust=trust)
    manifest = found.case.manifest
    return Account(
        case=found.case,
        report=found.report,
        covered=found.covered,
        trusted=trust is not None,
        exceptions=found.exceptions,
        plan=tuple(show(place.plan(found.plan))) if manifest and found.plan else (),
        lines=tuple(map(line, found.leaves[start : start + LINES])),
        start=start,
        count=len(found.leaves),
        period=place.period,
    )


def line(leaf: Leaf) -> Line:
    """Tell one event in a line."""
    event, data = leaf.event, leaf.event.data or {}
    words = (str(data.get("name", "") or event.action), str(data.get("message") or data.get("why") or ""))
    return Line(
        index=leaf.index,
        time=event.t,
        type=event.type,
        actor=event.on_behalf_of or event.actor.get("id", ""),
        step=event.step,
        target=(event.target or {}).get("id", ""),
        outcome=event.outcome,
        what=": ".join(filter(None, words)),
    )
