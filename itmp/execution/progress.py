"""What a run says of itself while it goes: typed values for a live view or for JSON lines.

Rules kept here: these values are for watching only; nothing is judged or proven by them, and the log never
depends on them. Text in them may come from a target: whoever prints it removes control characters.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from itmp.execution.accounting import HostState
from itmp.execution.doors import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The run was admitted: `slices` is how many it consists of if nothing stops it."""

    change: str
    plan: str
    run: str
    hosts: tuple[str, ...]
    slices: int
    event: Literal["run.started", "run.resumed"] = "run.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStands:
    """Where the run stands, all its attempts together: told when one is taken up, and after each slice.

    `done` slices have nothing left to do; `failed` are the targets that count as failed, as a budget counts them;
    `excused` those of which a person said to go on without: a block that goes on past its failures counts them too.
    `hosts` says how each target stands when a run is taken up (`not_reached`: to come); after a slice it is empty,
    because the slice's own events have said it.
    """

    done: int
    failed: tuple[str, ...]
    hosts: Mapping[str, HostState] = field(default_factory=dict)
    excused: tuple[str, ...] = ()
    event: Literal["run.stands"] = "run.stands"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWaiting:
    """Nothing was done yet: `change` holds `target`, and we wait for its end."""

    target: str
    change: str
    run: str
    event: Literal["run.waiting"] = "run.waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLooking:
    """What an attempt before has left at work in `slice` is looked for, and its end waited for on `hosts`."""

    slice: str
    hosts: tuple[str, ...]
    event: Literal["run.looking"] = "run.looking"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWarned:
    """Nothing was done yet: `change` has left `targets` so that nobody knows what became of them there.

    The run goes on; `do` is what to type so that somebody knows.
    """

    change: str
    targets: tuple[str, ...]
    do: str
    event: Literal["run.warned"] = "run.warned"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStarted:
    """A slice's intent is durable and its effect begins."""

    slice: str
    step: str
    title: str
    hosts: tuple[str, ...]
    phase: Phase = "do"
    event: Literal["slice.started"] = "slice.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePassed:
    """A slice is not carried out, and why: its guard does not hold, or a failure leads past it."""

    slice: str
    step: str
    title: str
    hosts: tuple[str, ...]
    why: str
    event: Literal["slice.passed"] = "slice.passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStarted:
    """The run asks people and waits: `slice` is what `itmp answer` names, `answer` says what may be answered."""

    slice: str
    step: str
    question: str
    answer: str
    roles: tuple[str, ...]
    event: Literal["ask.started"] = "ask.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStarted:
    """The run lets time pass until `until` (UTC)."""

    slice: str
    step: str
    until: str
    event: Literal["wait.started"] = "wait.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStarted:
    """An action was allowed to happen on `host` (or resource)."""

    slice: str
    host: str
    action: str
    name: str
    delegate: str = ""
    event: Literal["action.started"] = "action.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFinished:
    """An action's result; `message` is one masked line."""

    slice: str
    host: str
    action: str
    name: str
    outcome: str
    message: str = ""
    event: Literal["action.finished"] = "action.finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostChanged:
    """What is known so far about `host` within this slice has changed."""

    slice: str
    host: str
    state: HostState
    event: Literal["host.changed"] = "host.changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFinished:
    """The slice's results are durable (unless the log failed, when every state is `unknown`)."""

    slice: str
    states: Mapping[str, HostState]
    event: Literal["slice.finished"] = "slice.finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped:
    """No further ordinary slice will start; `always` slices of what has begun still do."""

    why: str
    event: Literal["run.stopped"] = "run.stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The end: one state per targeted host."""

    state: str
    exit_code: int
    hosts: Mapping[str, HostState]
    notes: tuple[str, ...] = field(default=())
    event: Literal["run.finished"] = "run.finished"


RunEvent: TypeAlias = (
    RunStarted
    | RunStands
    | RunWaiting
    | RunLooking
    | RunWarned
    | SliceStarted
    | SlicePassed
    | AskStarted
    | WaitStarted
    | ActionStarted
    | ActionFinished
    | HostChanged
    | SliceFinished
    | RunStopped
    | RunFinished
)


class Progress(Protocol):
    """Watches a run. What it raises ends the watching and never the run."""

    def on_event(self, event: RunEvent, /) -> None:
        """Take note of `event`; return soon, because the run waits."""


def to_json(event: RunEvent) -> dict[str, Any]:
    """Return the object that a JSON line shows: the value's fields, `event` naming its kind."""
    return asdict(event)
