"""The capacity document, `itmp: capacity-adjustment/v1`.

Rules kept here: a document names resources that exist and one value for each (`documents.knobs`); it creates
and deletes nothing. Every finding is reported at once, at its place.
"""

from collections.abc import Iterator
from typing import Literal

from itmp.documents import Document, Problem
from itmp.documents.knobs import PROGRAM, STACK_TIMEOUT, Adjusts, Program, knob_findings
from itmp.documents.scalars import Duration


class CapacityAdjustment(Document):
    """Values for knobs. `undo: previous` turns every knob back to the value that was read for the plan."""

    itmp: Literal["capacity-adjustment/v1"]
    stack: Program = PROGRAM
    adjust: Adjusts
    undo: Literal["previous", "none"] = "previous"
    on_failure: Literal["stop", "undo"] = "stop"
    timeout: Duration = STACK_TIMEOUT

    def findings(self) -> Iterator[Problem]:
        """Yield what is wrong beyond the types."""
        yield from super().findings()
        yield from knob_findings(self, ("adjust",), self.adjust)
        if self.on_failure == "undo" and self.undo == "none":
            yield self.problem(("on_failure",), "there is nothing to undo", "write undo: previous")
