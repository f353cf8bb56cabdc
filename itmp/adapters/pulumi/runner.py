"""`PulumiRunner`: carries out one stack update (doors: `itmp.execution.doors.Runner` and `Prober`).

Rules kept here, in this order:
1. the stack is leased to us; a dead engine's lock is dropped, a living engine's is not;
2. the present values lie where the plan says (or, after a partial run, at their targets);
3. a fresh preview of the approved bytes shows the approved operations, else nothing is applied;
4. every operation's intent is durable before the update starts, because the engine waits for nobody;
5. the provider asks again before each call, and gets a yes only for an approved target with an intent;
6. what the engine reports is counted against its own summary, and every target is read back;
7. one result per operation; what cannot be told is `unknown`.
"""

import tempfile
from contextlib import suppress
from pathlib import Path

from itmp.adapters import supervisor
from itmp.adapters.actions import ActionServer, short_parent
from itmp.adapters.aws import Aws
from itmp.adapters.pulumi.engine import VERSION
from itmp.adapters.pulumi.kinds import KINDS
from itmp.adapters.pulumi.operations import targets
from itmp.adapters.pulumi.place import CloudPlace, Place, StackName, drop_dead_lock, stack_name
from itmp.adapters.pulumi.session import EngineLostError, Report, Session
from itmp.adapters.pulumi.sources import materialise
from itmp.adapters.pulumi.update import Update, Values
from itmp.change import Permit
from itmp.errors import Error, InvalidInputError, StaleError
from itmp.execution.doors import Observer, Room, Slice, Verdict
from itmp.plan import Plan, PulumiStep


class PulumiRunner:
    """Carries out Pulumi slices: `state` is the folder of the stacks' state, `engine` the executable."""

    def __init__(self, state: Path, *, engine: Path, cloud: CloudPlace | None = None) -> None:
        self._place, self._engine = Place(state), engine
        self._cloud = cloud or CloudPlace()
        region = self._cloud.environment.get("AWS_REGION", "")
        self._aws = Aws(region=region, endpoint=self._cloud.endpoint)

    def run(self, permit: Permit, plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:
        """Carry out `part`; raise `StaleError` before any effect when the world or the engine has moved."""
        try:
            self._run(permit, plan, part, room=room, observer=observer)
        except OSError as error:
            raise EngineLostError(
                f"this machine failed: {error.strerror or error} {error.filename or ''}".rstrip(),
                where=part.key,
                do="Correct it here (`df`, `ulimit -a`), then resume.",
            ) from error

    def _run(self, permit: "Permit", plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:
        step = _step(part)
        made_with = plan.manifest.versions.get("pulumi", "")
        if made_with != VERSION:
            raise StaleError(
                f"the plan was made with engine {made_with!r:.40}, here is {VERSION}",
                where=part.key,
                do="Plan again, or install that version.",
            )
        name = _name(step)
        again = permit.mode != "run" or part.phase == "undo"
        self._place.prepare()
        with (
            self._place.lease(name),
            tempfile.TemporaryDirectory(prefix="itmp-run-", dir=short_parent()) as scratch,
        ):
            update = Update(step=step, again=again, observer=observer, scratch=Path(scratch))
            update.check_present(self._values(step))
            self._place.configure(name, step.config)
            folder = room.folder / part.key
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            materialise({path: plan.artifact(path) for path in plan.manifest.artifacts}, folder)
            with update.actions() as actions:
                self._carry_out(update, name, room, folder, actions)

    def _carry_out(
        self, update: Update, name: StackName, room: Room, folder: Path, actions: ActionServer
    ) -> None:
        session = Session(
            place=self._place,
            name=name,
            program=folder / update.step.program,
            environment=self._place.environment(self._engine, self._cloud),
            token=room.token,
            log=folder / "output",
            actions=actions,
        )
        report: Report | None = None
        lost: EngineLostError | None = None
        with session:
            drop_dead_lock(self._place, name, session.cancel)
            update.compare(session.preview(update.plan_file), self._values(update.step))
            update.intend()
            try:
                report = session.up(update.plan_file, update.step.timeout)
            except EngineLostError as error:
                lost = error
        actions.drain()
        update.finish(report, self._values(update.step, lenient=True))
        if actions.failure:
            raise actions.failure
        if lost:
            raise lost

    def _values(self, step: PulumiStep, *, lenient: bool = False) -> Values:
        """Read the present values that the step rests on; with `lenient`, what cannot be read is left out."""
        found: dict[tuple[str, str], int] = {}
        for value in step.present:
            try:
                found[value.knob, value.id] = self._aws.read(value.knob, value.id).value
            except Error:
                if not lenient:
                    raise
        return found

    def sweep(self, plan: Plan, part: Slice, *, room: Room) -> tuple[str, ...]:  # noqa: ARG002 -- the door's signature
        """End engine, program and provider of a dead run; the engine's lock is dropped by the next run."""
        _step(part)
        return supervisor.sweep(room.token)

    def probe(
        self,
        plan: Plan,  # noqa: ARG002 -- the door's signature
        part: Slice,
        targets: tuple[str, ...],
        *,
        room: Room,  # noqa: ARG002 -- as above
    ) -> dict[str, Verdict]:
        """Answer for each resource (its urn) by its present value; what cannot be read cannot be known."""
        found: dict[str, Verdict] = {}
        for urn in targets:
            with suppress(Error):
                found[urn] = self._probe(_step(part), urn)
        return found

    def _probe(self, step: PulumiStep, urn: str) -> Verdict:
        operations = [one for one in step.operations if one.urn == urn and one.type in KINDS]
        for (knob, resource), target in targets(operations).items():
            now = self._aws.read(knob, resource).value
            if now == target:
                return "done"
            if any((v.knob, v.id) == (knob, resource) and v.low <= now <= v.high for v in step.present):
                return "not_done"
        return "cannot_know"


def _step(part: Slice) -> PulumiStep:
    if not isinstance(part.step, PulumiStep):
        raise InvalidInputError(f"not a stack update: {part.key}")
    return part.step


def _name(step: PulumiStep) -> StackName:
    return stack_name(step.program.removeprefix("program/"), step.stack)


__all__ = ["PulumiRunner"]
