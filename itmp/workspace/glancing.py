"""Where changes and their runs stand, for people who watch: folded from the few leaves that say so.

Rules kept here: a glance leaves a run's many results out; it reads those of hosts that are in trouble in a slice that
never ended, and of hosts that notified a handler in a slice that did not end well for them. It is never given to the
gate, to evidence or to a signer, who fold every leaf themselves.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from itmp.adapters.clock import SystemClock
from itmp.adapters.index import Query
from itmp.audit import STANDING, Leaf
from itmp.canonical import Digest
from itmp.change import ChangeRecord, PolicyHistory, RunRecord, glance, policy_history
from itmp.errors import Error, InvalidInputError, NotFoundError
from itmp.plan import Plan, PulumiStep, all_steps, targets
from itmp.workspace.reading import Reading

if TYPE_CHECKING:
    from itmp.execution import RunStory

ENDED: Final = frozenset({"succeeded", "failed", "undone"})
_HISTORY: Final = tuple(STANDING)
_BAD: Final = ("failed", "unreachable", "denied", "unknown")


class Glances:
    """Glances at the changes of one log."""

    def __init__(self, reading: Reading, plans: Callable[[Digest], Plan] | None = None) -> None:
        self.reading, self._index, self._plans = reading, reading.index, plans
        self._told: dict[tuple[str, str], RunStory] = {}
        self._history: PolicyHistory | None = None

    @property
    def history(self) -> PolicyHistory:
        """The policy's versions."""
        if self._history is None:
            self._history = policy_history(self._index.leaves(Query(few=True, types=_HISTORY)))
        return self._history

    def resolve(self, name: str) -> str:
        """Return the id of the change with this id or external reference, or raise `NotFoundError`."""
        if self.reading.has(name):
            return name
        records = map(self.record, self.reading.carrying(name))
        named = [record.id for record in records if record.request and record.request.external == name]
        if len(named) > 1:
            raise InvalidInputError(
                f"{len(named)} changes carry {name!r:.60}", do="Name one: " + ", ".join(named)
            )
        if not named:
            raise NotFoundError(f"no change {name!r:.60} in this log", do="List them: itmp change list")
        return named[0]

    def records(self) -> Iterator[ChangeRecord]:
        """Glance at one change after the other."""
        return map(self.record, self.reading.changes())

    def record(self, change: str) -> ChangeRecord:
        """Glance at one change."""
        leaves = self._few(change)
        record = glance(leaves, self.history, blob=self.reading.blob)
        if record.plan is None:
            return record
        try:
            manifest = self.plan(record.plan).manifest
        except Error:
            return record
        return glance(
            leaves, self.history, manifest=manifest, now=SystemClock().now(), blob=self.reading.blob
        )

    def _few(self, change: str) -> tuple[Leaf, ...]:
        return tuple(self._index.leaves(Query(change=change, few=True)))

    def plan(self, digest: Digest) -> Plan:
        """Return the plan that the log keeps under this digest."""
        return (
            self._plans(digest)
            if self._plans
            else Plan.from_bytes(self.reading.blob(digest), self.reading.blob)
        )

    def hosts(self, record: ChangeRecord, run: RunRecord) -> dict[str, str]:
        """Return each target's state: the final account, or while there is none what the log tells so far."""
        if run.state in ENDED or record.request is None:
            return dict(run.targets)
        from itmp.execution import standing  # noqa: PLC0415 - a finished run needs no story
        from itmp.execution.course import LIMITED, SKIPPED  # noqa: PLC0415 - as above

        plan = self.plan(record.request.plan)
        first, last = (
            (run.permits[0].body["limit"], run.permits[-1].body["limit"]) if run.permits else ((), ())
        )
        hosts = targets(plan.manifest) if last else ()
        left_out = {host: SKIPPED if host in first else LIMITED for host in hosts if host not in last}
        return dict(standing(plan, self.story(record, run), left_out=left_out))

    def story(self, record: ChangeRecord, run: RunRecord) -> "RunStory":
        """Return what `RunStory` tells of all leaves, as far as slices are open and handlers are owed.

        `record` is a glance at the change; what ended slices say of their hosts is told whole.
        """
        from itmp.execution import RunStory  # noqa: PLC0415 - a finished run needs no story

        if (record.id, run.id) not in self._told:
            if record.request is None:
                return RunStory()
            plan = self.plan(record.request.plan)
            found = {leaf.index: leaf for leaf in self._standing(record, run, plan)}
            found |= {leaf.index: leaf for leaf in self._owing(record, run)}
            leaves = [found[index] for index in sorted(found)]
            story = RunStory.from_leaves(leaves, plan=plan, blob=self.reading.blob, run=run.id)
            self._told[record.id, run.id] = story
        return self._told[record.id, run.id]

    def _standing(self, record: ChangeRecord, run: RunRecord, plan: Plan) -> tuple[Leaf, ...]:
        """Return the few leaves, and the results of slices that never ended.

        Of an open Ansible slice only hosts with trouble are told apart from those still at work; so are their results.
        """
        leaves = list(self._few(record.id))
        stacks = {step.id for step in all_steps(plan.manifest) if isinstance(step, PulumiStep)}
        for part in run.open_slices:
            query = Query(change=record.id, run=run.id, step=part.step, after=part.index)
            hosts = () if part.step in stacks else self._index.distinct("host", replace(query, outcomes=_BAD))
            if hosts or part.step in stacks:
                leaves += self._index.leaves(replace(query, hosts=hosts))
        return tuple(leaves)

    def _owing(self, record: ChangeRecord, run: RunRecord) -> Iterator[Leaf]:
        """Yield the results of hosts that notified a handler in a slice that is open, or did not end well for them."""
        from itmp.execution.accounting import GOOD  # noqa: PLC0415 - as above

        left: dict[str, set[str]] = {}
        for part in run.slices:
            ended = part.finished or {}
            hosts = {host for host in part.hosts if ended.get(host) not in GOOD}
            left.setdefault(part.step, set()).update(hosts, part.reconciled)
        for step, hosts in left.items():
            query = Query(change=record.id, run=run.id, step=step)
            named = self._index.distinct("host", replace(query, notified=True)) if hosts else ()
            owed = tuple(host for host in named if host in hosts)
            if owed:
                yield from self._index.leaves(replace(query, hosts=owed))
