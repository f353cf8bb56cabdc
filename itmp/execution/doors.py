"""The doors through which a run reaches the world: `Runner` causes effects, `Observer` is told of each one.

Contract of `Runner.run`:
- It is called only with a `Permit`, after the slice's intent is durable, and returns when nothing of the
  slice is left running here.
- Before each action it calls `Observer.before` and acts only once that has returned. If it raises, the runner
  stops the slice at once (no further action) and lets the error through.
- After each action it calls `Observer.after`, once per host and task (or resource operation).
- Hosts that never answered are simply absent: accounting names them.
- An `Error` from `run` says nothing about effects already reported; the run loop turns silence into
`unknown`.
- No concurrency: `before` and `after` are called from one thread.
- `ActionResult.data` says what accounting cannot see: `ignored` is true when the step itself says that this
  failure does not matter (`ignore_errors`, `ignore_unreachable`), `rescued` when a rescue section follows;
  `started` lists the ids of work that goes on in the background (its outcome is `unknown`), `ended` those of
  work whose end this action found.

The run itself needs three more doors: `Journal`, the part of the log that it writes, `Recheck`, the gate's
checks that repeat before each slice, and `Patience`, with which it waits for people and for time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from itmp.audit import Expect, Leaf, Receipt
from itmp.audit.event import Event
from itmp.canonical import Digest
from itmp.change import Permit
from itmp.errors import BusyError
from itmp.plan import LeafStep, Plan

Outcome: TypeAlias = Literal[
    "ok", "changed", "failed", "skipped", "unreachable", "unknown", "not_reached", "denied"
]
Phase: TypeAlias = Literal["do", "undo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One step on one batch: the unit of intent and resume. `key` is unique in a run, e.g. `restart@2`.

    `owed` maps a host to the handlers that an earlier passage there notified and never ran: this one runs them.
    """

    key: str
    step: LeafStep
    hosts: tuple[str, ...]
    phase: Phase = "do"
    owed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is about to happen: `action` (FQCN or engine op) on `host` (or urn), from `path`:`line`.

    `id` is the runner's own id for it (task uuid + host, or urn) and pairs it with its result. `outside` says what the
    runner itself has found to lie outside the plan and has not done: it asks so that this is refused and recorded; `do`
    what to write instead, where the runner knows that.
    """

    id: str
    host: str
    action: str
    path: str = ""
    line: int = 0
    name: str = ""
    delegate: str = ""
    outside: str = ""
    do: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """What happened: `message` is one masked line for people; `data` is small, masked and JSON.

    `diff` is what changed as masked text, where the task asked for it; the leaf only commits to it.
    """

    id: str
    host: str
    action: str
    outcome: Outcome
    rc: int | None = None
    path: str = ""
    line: int = 0
    name: str = ""
    delegate: str = ""
    message: str = ""
    diff: str = field(default="", repr=False)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where a run may write: `folder` is its own fresh folder, `token` marks its processes' environment.

    `facts` is a folder that all attempts at one run share (empty: `facts` in its own).
    """

    folder: Path
    token: str
    run: str
    facts: Path | None = None


class Observer(Protocol):
    """Told of every action; the run loop implements it over the log."""

    def before(self, action: Action) -> None:
        """Return once `action` may happen; raise `Error` when it may not."""

    def after(self, result: ActionResult) -> None:
        """Record what happened."""


class LeftOverError(BusyError):
    """Work of a dead run goes on at `hosts`."""

    def __init__(self, what: str, *, hosts: tuple[str, ...], do: str = "") -> None:
        super().__init__(what, do=do)
        self.hosts = hosts


class Runner(Protocol):
    """Carries out slices of one kind of step."""

    def run(self, permit: Permit, plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:
        """Carry out `part`; see the module's contract."""

    def sweep(self, plan: Plan, part: Slice, *, room: Room) -> tuple[str, ...]:
        """End left-over processes of a dead run in its `room` (by token, here and on targets); return what was found.

        Raises `LeftOverError` where something goes on at targets and is not ended.

        Nothing that lies in the dead run's room is run or believed: its children could write there.
        """


Verdict: TypeAlias = Literal["done", "not_done", "cannot_know"]


class Prober(Protocol):
    """Finds out whether a slice's effect is there, without changing anything."""

    def probe(
        self, plan: Plan, part: Slice, targets: tuple[str, ...], *, room: Room
    ) -> Mapping[str, Verdict]:
        """Answer for the hosts (or resources) of a slice; what is missing in the answer cannot be known."""


class Journal(Protocol):
    """The log, as far as a run needs it; `audit.Log` is one.

    Contract: with `durable`, `append` returns only once the event survives a power cut; without, it rides
    along with the next durable one. An event whose `id` is already there is not written again. An `Error`
    means that the event may or may not be there: nothing more may run.
    """

    def append(self, event: Event, *, expect: Expect | None = None, durable: bool = True) -> Receipt:
        """Write `event`; raise `audit.HeadMovedError`, writing nothing, when `expect` does not hold."""

    def head_of(self, change: str) -> Digest | None:
        """Return the leaf hash of the newest event of `change`."""

    def of_change(self, change: str) -> tuple[Leaf, ...]:
        """Return every leaf of `change`, oldest first."""

    def put_blob(self, data: bytes) -> Digest:
        """Keep data that is too large for a leaf, durably; return its digest."""


class Seal(Protocol):
    """Keeps content outside the log, durably, and returns the salted commitment that stands in the leaf instead."""

    def __call__(self, pointer: str, value: Any) -> Digest:
        """Keep a JSON value for the leaf's `pointer`; raise `Error` when it could not be kept."""


class Recheck(Protocol):
    """The gate's checks that repeat before each slice, on the leaves as they are now."""

    def __call__(self, part: Slice, *, exempt: bool) -> None:
        """Return when `part` may run; raise `Error` when it may not.

        `exempt` slices (`always` and undo of an admitted run) meet check 8, the health of the log, alone.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that counts: its text, the leaf of its statement, and who gave it."""

    value: str
    leaf: Digest
    signer: str = ""


class Patience(Protocol):
    """Lets a run wait.

    Contract: all return soon; none changes anything. An `Error` from `answer` or `noes` means that the log could not be
    read: nothing more may run.
    """

    def answer(self, part: Slice) -> Answer | None:
        """Return the first answer to the question of `part` that counts (role, type, run), if there is one."""

    def noes(self) -> frozenset[str]:
        """Return the keys of the questions to which a no that counts stands."""

    def sleep(self, seconds: float) -> None:
        """Let time pass; a signal may cut it short."""


__all__ = [
    "Action",
    "ActionResult",
    "Answer",
    "Digest",
    "Journal",
    "Observer",
    "Outcome",
    "Patience",
    "Phase",
    "Prober",
    "Recheck",
    "Room",
    "Runner",
    "Seal",
    "Slice",
]
