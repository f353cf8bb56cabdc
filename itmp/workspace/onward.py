"""What a person would type next once a run has ended or was left: by its state, by what stopped it, and by its plan.

Rules kept here:
- Each command does something when it is typed, and they are typed in the order in which they stand.
- Undo stands only where the plan has undo steps and something was begun.
- What a resume would meet again is not resumed: a plan that the run left (15) or that the world has left (12), a no of
  people (18), a window that is over for good. That change is undone and closed, and a plan is made anew.
"""

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from itmp.change import ChangeRecord, RunRecord
from itmp.errors import Error, NotApprovedError, OutsideWindowError, RefusedError, RejectedError, StaleError
from itmp.plan import Plan
from itmp.workspace.glancing import Glances
from itmp.workspace.leftover import reconciling

_ENDED: Final = frozenset({"closed", "canceled"})
_LEFT: Final = frozenset({RefusedError.exit_code, StaleError.exit_code})
_LATER: Final = frozenset({OutsideWindowError.exit_code, NotApprovedError.exit_code})


def onward(glances: Glances, record: ChangeRecord, now: datetime) -> tuple[str, ...]:
    """Return what a person would type next about a run that nobody carries out."""
    run = record.run
    if run is None or record.request is None or record.state in _ENDED:
        return ()
    close = f"itmp change close {record.id} --reason TEXT"
    match run.state:
        case "succeeded":
            return (close, f"itmp evidence {record.id} -o {record.id}.evidence.tar")
        case "undone":
            return (close,)
        case _:
            asks = reconciling(glances, record)
            try:
                plan = glances.plan(record.request.plan)
            except Error:  # its bytes are damaged or gone: what can be said without them is said all the same
                return (*asks, *_resume(record.id, run.targets))
            return (*asks, *_from_its_cause(record, run, plan, close=close, now=now))


def _from_its_cause(
    record: ChangeRecord, run: RunRecord, plan: Plan, *, close: str, now: datetime
) -> tuple[str, ...]:
    window = record.request.window if record.request else None
    over = window is not None and window.end <= now
    back = (f"itmp undo {record.id}",) if plan.manifest.undo and run.slices else ()
    if run.active:  # its process died: until a resume has ended it, nothing closes the change
        return (*_resume(record.id, run.targets), *back)
    if run.cause in _LEFT or (run.cause in _LATER and over):
        return (*back, close, _anew(plan))
    if run.cause == RejectedError.exit_code:
        return back or (close,)
    first = (f"itmp approve {record.id}",) if run.cause == NotApprovedError.exit_code else ()
    return (*first, *_resume(record.id, run.targets), *back)


def _resume(change: str, states: Mapping[str, Any]) -> tuple[str, ...]:
    if {"failed", "unreachable"} & set(states.values()):
        return (f"itmp logs {change} --failed", f"itmp resume {change} --retry failed,unreachable")
    return (f"itmp resume {change}",)


def _anew(plan: Plan) -> str:
    """Return the command that plans the same document again, and asks for its approval."""
    given = (
        f" --set {shlex.quote(f'{name}={_text(value)}')}" for name, value in plan.manifest.inputs.items()
    )
    return f"itmp propose {shlex.quote(plan.manifest.document.path)}{''.join(given)} --reason TEXT"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
