"""Whether the log is fit to be run on now: the gate's check 8.

Rules kept here: every problem is reported; a clock behind the log, a head that the leaves do not continue, a store that
cannot take another leaf, a log that has ended, and a key that cannot sign are grave.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from itmp.audit._draft import ENDS
from itmp.audit._integrate import continues, known_heads
from itmp.audit._view import View
from itmp.audit.doors import Clock, Head, LogStore
from itmp.audit.model import Finding, Health
from itmp.errors import EvidenceInvalidError, ForkError, InvalidInputError, LogUnavailableError
from itmp.signing import LogKey

RULE = 8
"""The gate's number for this check."""


def judge_health(
    store: LogStore, view: View, key: LogKey, now: datetime | Clock, *, refresh: Callable[[], None]
) -> Health:
    """Return all that speaks against going on; `refresh` brings `view` up to date.

    `now` is an aware time, or the clock that is read once `view` is.
    """
    heads: Mapping[str, Head] = {}
    findings = list[Finding]()
    try:
        heads = known_heads(store, key.verifier, history=False)
    except (EvidenceInvalidError, InvalidInputError, LogUnavailableError) as error:
        findings.append(_finding("damaged", error.where or "head", error.what))
    try:
        refresh()
    except (EvidenceInvalidError, LogUnavailableError) as error:
        return Health(findings=(_finding("damaged", error.where or "journal", error.what),))
    findings = [
        *_clock(view, now if isinstance(now, datetime) else now.now()),
        *findings,
        *_forked(view, heads),
    ]
    findings += [_finding("store", "the log's folder", complaint) for complaint in store.complaints()]
    if view.last_type == ENDS:
        findings.append(_finding("ended", "the log", "its last leaf is written: open the next period"))
    elif fault := key.fault():
        findings.append(_finding("key-away", "the log's key", fault))
    return Health(findings=tuple(findings))


def _finding(name: str, place: str, message: str) -> Finding:
    return Finding(rule=RULE, name=name, place=place, message=message)


def _clock(view: View, now: datetime) -> list[Finding]:
    if not view.newest or now.astimezone(UTC) >= datetime.fromisoformat(view.newest):
        return []
    return [
        _finding(
            "clock-behind", "clock", f"now is {now.isoformat()}, the log's newest event is of {view.newest}"
        )
    ]


def _forked(view: View, heads: Mapping[str, Head]) -> list[Finding]:
    try:
        for name, head in heads.items():
            continues(view.tree, head, name=name)
    except ForkError as error:
        return [_finding("rolled-back", error.where or "head", error.what)]
    except EvidenceInvalidError as error:
        return [_finding("damaged", error.where or "head", error.what)]
    return []
