"""Where a run stands that another process carries out: its course, gone along again as the log tells it.

Rules kept here: it is the run's own course, moved by the run's own functions, so that a follower counts as the run
does; it is for watching alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from itmp.audit import Leaf
from itmp.execution import RunStory
from itmp.execution.course import LIMITED, SKIPPED, Course, absorb, start
from itmp.execution.passing import pass_over
from itmp.execution.progress import RunStands
from itmp.execution.resume import take_up
from itmp.execution.stands import stands, taken_up
from itmp.execution.units import Unit, order
from itmp.plan import Plan, targets

if TYPE_CHECKING:
    from itmp.execution.accounting import HostState
    from itmp.execution.story import Blob


class Retelling:
    """One attempt's course. `asked` is what the log keeps of what a person asked of it, `limit` its permit's hosts."""

    def __init__(self, plan: Plan, blob: "Blob", *, limit: Sequence[str], asked: Mapping[str, Any]) -> None:
        self._plan, self._blob, self._retry = plan, blob, tuple(asked.get("retry", ()))
        skip = set(asked.get("skip", ()))
        outside = [host for host in targets(plan.manifest) if limit and host not in limit]
        self._left_out = {host: SKIPPED if host in skip else LIMITED for host in outside}
        self._course = Course(units=order(plan.manifest), manifest=plan.manifest, left_out=self._left_out)
        self._told: RunStands | None = None

    def before(self, leaves: Sequence[Leaf], *, retry: bool) -> Iterator[RunStands]:
        """Yield what the leaves before this moment have settled, where that is news.

        Without `retry` the hosts that are to be tried again still stand as they were left.
        """
        story = RunStory.from_leaves(leaves, plan=self._plan, blob=self._blob)
        again = self._retry if retry else ()
        self._course = take_up(self._plan, story, left_out=self._left_out, retry=again)
        now = taken_up(self._course)
        if self._course.done and now != self._told:
            self._told = now
            yield now

    def after(
        self, unit: Unit, states: "Mapping[str, HostState]", *, passed: str = "", stopped: bool = False
    ) -> RunStands:
        """Return where the run stands after a slice."""
        if passed:
            self._course = pass_over(self._course, unit, states, passed)
        else:
            self._course = absorb(start(self._course, unit), unit, states, stopped=stopped)
        return stands(self._course)
