"""The run: how an approved plan is carried out, slice by slice, under a permit (docs/architecture.md).

`execute` runs a plan, `resume` takes up what a dead or stopped run left, `undo` carries out a plan's declared
undo. All three need a permit, write intent before effect and result after it, and end with one state per
target.
"""

from itmp.execution.accounting import HostState, account
from itmp.execution.conformance import ConformanceError, conform
from itmp.execution.loop import Wiring, execute
from itmp.execution.progress import Progress, RunEvent
from itmp.execution.record import Author
from itmp.execution.resume import Reprise, resume, standing, undo
from itmp.execution.states import next_state
from itmp.execution.story import RunStory
from itmp.execution.summary import RunSummary

__all__ = [
    "Author",
    "ConformanceError",
    "HostState",
    "Progress",
    "Reprise",
    "RunEvent",
    "RunStory",
    "RunSummary",
    "Wiring",
    "account",
    "conform",
    "execute",
    "next_state",
    "resume",
    "standing",
    "undo",
]
