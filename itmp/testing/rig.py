"""A whole run in memory, for tests of whatever happens between intent and result.

Rules kept here: `JournalInMemory` keeps the contract of the log's door (compare-and-append, one leaf per id, a
chain per change) and fails in both ways through its fuse; what was not durable can be lost on `power_cut`. A
`Rig` can be killed and taken up again: its log and its world outlive the process.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from itmp import canonical
from itmp.audit import Event, Expect, HeadMovedError, Leaf, Receipt
from itmp.canonical import Digest
from itmp.change import Permit
from itmp.errors import NotFoundError
from itmp.execution import Author, Reprise, RunStory, RunSummary, Wiring, execute, resume, undo
from itmp.execution.doors import Answer, Room, Runner, Slice
from itmp.execution.progress import RunEvent
from itmp.plan import Plan, targets
from itmp.testing.runners import Fuse, ScriptedProber, ScriptedRunner, World

CHANGE = "CHG-0123456789"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_MAX_LIMIT = 40_000  # characters of host names in a permit's leaf
_ACTOR = {"kind": "executor", "id": "itmp"}


class JournalInMemory:
    """The log in memory, as `Journal` and as a reader. `durable` is how many leaves survive a power cut."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.events: list[Event] = []
        self.blobs: dict[Digest, bytes] = {}
        self.durable = 0
        self.fuse = Fuse()
        self._ids: dict[str, Leaf] = {}

    def append(self, event: Event, *, expect: Expect | None = None, durable: bool = True) -> Receipt:
        """Write `event`; the fuse may blow before it is written or after."""
        self.fuse.node(f"append {event.type}")
        known = self._ids.get(event.id)
        if (
            known is None
            and expect is not None
            and expect.change
            and self.head_of(expect.change) != expect.head
        ):
            raise HeadMovedError("the head has moved", where=event.change)
        leaf = known or self._write(event)
        self.durable = len(self.leaves) if durable else self.durable
        self.fuse.node(f"appended {event.type}")
        return Receipt(index=leaf.index, hash=leaf.hash, leaf=leaf, durable=durable)

    def head_of(self, change: str) -> Digest | None:
        """Return the newest leaf hash of `change`."""
        mine = self._of(change)
        return self.leaves[mine[-1]].hash if mine else None

    def of_change(self, change: str) -> tuple[Leaf, ...]:
        """Return the leaves of `change`."""
        return tuple(self.leaves[index] for index in self._of(change))

    def put_blob(self, data: bytes) -> Digest:
        """Keep `data`."""
        self.blobs[canonical.digest(data)] = data
        return canonical.digest(data)

    def blob(self, digest: Digest) -> bytes:
        """Return what was kept."""
        if digest not in self.blobs:
            raise NotFoundError("no such blob", where=digest)
        return self.blobs[digest]

    def power_cut(self) -> None:
        """Lose everything that was not durable."""
        del self.leaves[self.durable :]
        del self.events[self.durable :]
        self._ids = {event.id: leaf for event, leaf in zip(self.events, self.leaves, strict=True)}

    def _of(self, change: str) -> list[int]:
        return [index for index, event in enumerate(self.events) if event.change == change]

    def _write(self, event: Event) -> Leaf:
        mine = self._of(event.change)
        event = replace(event, cseq=len(mine), cprev=self.leaves[mine[-1]].hash if mine else "")
        leaf = Leaf(index=len(self.leaves), data=event.to_bytes())
        self.leaves.append(leaf)
        self.events.append(event)
        self._ids[event.id] = leaf
        return leaf


class Rig:
    """A plan, its log and its world. Every method that runs something issues its own permit first."""

    def __init__(
        self,
        plan: Plan,
        *,
        script: Mapping[tuple[str, str], Iterable[Any]] | None = None,
        blind: Iterable[str] = (),
        runner: Callable[[World, Fuse], Runner] | None = None,
    ) -> None:
        self.plan, self.journal = plan, JournalInMemory()
        self.world = World(durable=lambda: self.journal.durable)
        self.fuse, self.blind = Fuse(), tuple(blind)
        self.told: list[RunEvent] = []
        self.rechecked: list[tuple[str, bool]] = []
        self.recheck: Callable[[Slice, bool], None] = _fine
        self.listener: Callable[[RunEvent], object] = id
        self.stopping: Callable[[], bool] = lambda: False
        self.now = NOON
        self.answers: dict[str, str] = {}
        self.asleep: Callable[[], object] = lambda: None
        self.folder = Path("/nowhere")
        self.kinds: tuple[str, ...] = ("ansible", "check", "pulumi")
        self._ids = 0
        self._script = {key: tuple(endings) for key, endings in (script or {}).items()}
        self._make = runner or (lambda world, fuse: ScriptedRunner(world, script=self._script, fuse=fuse))
        self._runner: Runner | None = None

    def __repr__(self) -> str:
        """Show what makes this rig fail."""
        manifest = self.plan.manifest
        return f"Rig(script={self._script}, steps={manifest.steps}, undo={manifest.undo})"

    def arm(self, fuse: Fuse) -> Fuse:
        """Let `fuse` guard every node of log and world from now on."""
        self.fuse = self.journal.fuse = fuse
        self._runner = None
        return fuse

    def permit(self, mode: str = "run", *, hosts: Iterable[str] | None = None, run: str = "RUN-1") -> Permit:
        """Issue a permit by way of the log, as the gate does."""
        names = sorted(targets(self.plan.manifest) if hosts is None else hosts)
        body = {
            "schema": "itmp-permit/v1",
            "change": CHANGE,
            "plan": self.plan.digest,
            "run": run,
            "mode": mode,
            "limit": names if len(str(names)) < _MAX_LIMIT else [],
            "hosts": canonical.digest(canonical.dumps(names)),
            "steps": canonical.digest(b""),
            "policy": canonical.digest(b"policy"),
            "statements": [],
            "binaries": {},
            "not_after": (NOON + timedelta(hours=4)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        event = Event(
            id=self.id(),
            type="permit.issued",
            actor=_ACTOR,
            change=CHANGE,
            plan=self.plan.digest,
            run=run,
            data={"permit": body},
        )
        return Permit.from_receipt(self.journal.append(event), manifest=self.plan.manifest)

    def execute(
        self, *, hosts: Iterable[str] | None = None, limit: Iterable[str] | None = None
    ) -> RunSummary:
        """Run the plan."""
        return execute(self.permit(hosts=hosts), self.plan, wiring=self.wiring(), limit=limit)

    def resume(
        self,
        *,
        retry: Iterable[str] = (),
        skip: Iterable[str] = (),
        limit: Iterable[str] | None = None,
    ) -> RunSummary:
        """Take the run up again."""
        left_out = frozenset(skip)
        names = [host for host in targets(self.plan.manifest) if host not in left_out]
        return resume(
            self.permit("resume", hosts=names),
            self.plan,
            wiring=self.wiring(),
            story=self.story(),
            prober=ScriptedProber(self.world, blind=self.blind, fuse=self.fuse),
            reprise=Reprise(retry=frozenset(retry), skip=left_out),
            limit=limit,
        )

    def undo(self, *, hosts: Iterable[str] | None = None) -> RunSummary:
        """Undo what was begun."""
        permit = self.permit("undo", run="RUN-2")
        return undo(permit, self.plan, wiring=self.wiring("RUN-2"), story=self.story(), hosts=hosts)

    def stranger(self) -> None:
        """Let somebody else's refused attempt land on the change."""
        self.journal.append(Event(id=self.id(), type="change.refused", actor=_ACTOR, change=CHANGE))

    def story(self) -> RunStory:
        """Return what the log tells."""
        return RunStory.from_leaves(self.journal.of_change(CHANGE), plan=self.plan, blob=self.journal.blob)

    def wiring(self, run: str = "RUN-1") -> Wiring:
        """Return what a run needs, all of it in memory."""
        self._runner = self._runner or self._make(self.world, self.fuse)
        return Wiring(
            journal=self.journal,
            runners=dict.fromkeys(self.kinds, self._runner),
            recheck=self._recheck,
            patience=self,
            room=Room(folder=self.folder, token="token", run=run),  # noqa: S106 -- no secret: nothing is started
            progress=self,
            stopping=self._stopping,
            ids=self.id,
            now=lambda: self.now,
            author=Author(actor=_ACTOR, on_behalf_of="alice@example.com"),
        )

    def on_event(self, event: RunEvent, /) -> None:
        """Remember what the run tells."""
        self.told.append(event)
        self.listener(event)

    def answer(self, part: Slice) -> Answer | None:
        """Return the answer that `answers` holds for a question, by its slice's key."""
        value = self.answers.get(part.key)
        return (
            Answer(value=value, leaf=Digest(canonical.digest(value.encode()))) if value is not None else None
        )

    def noes(self) -> frozenset[str]:
        """Return the questions that `answers` answers with no."""
        return frozenset(key for key, value in self.answers.items() if value == "false")

    def sleep(self, seconds: float) -> None:
        """Let time pass in this world: what `asleep` does happens meanwhile."""
        self.now += timedelta(seconds=seconds)
        self.asleep()

    def id(self) -> str:
        """Return a fresh event id."""
        self._ids += 1
        return f"{self._ids:032x}"

    def _stopping(self) -> bool:
        return self.stopping()

    def _recheck(self, part: Slice, *, exempt: bool) -> None:
        self.rechecked.append((part.key, exempt))
        self.recheck(part, exempt)


def _fine(part: Slice, exempt: bool) -> None:  # noqa: FBT001 -- a callable that tests replace
    """Find nothing wrong with `part`."""
    del part, exempt
