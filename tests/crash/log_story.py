"""A log as it is really founded, and a change in it that people opened and approved: the executor's part is struck.

Founded by root people's signatures, with a plan's bytes, votes and a permit of the gate; what is left to tell is the run,
with its intents and results, and the close. It is judged as an auditor does: by `itmp audit verify` over the whole log,
against a TRUST, and by every rule of `itmp-verify` over the change's evidence and the log.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from promises import Said, moved, named, places, stand

from itmp.adapters import posix_log
from itmp.audit import Event, Log, Receipt
from itmp.change import Permit
from itmp.evidence import Trust, build, verify
from itmp.testing.memory_log import StepClock, counting_ids
from itmp.testing.on_disk import story_on_disk
from itmp.testing.people import Person
from itmp.testing.signed_log import ROLES, START
from itmp.testing.story import Story, small_plan
from itmp.workspace import Workspace, audit_verify

T = TypeVar("T")

if TYPE_CHECKING:
    from log_actor import Actor

TOLD, JUDGED = 16 * 3600 * 1000, 17 * 3600 * 1000
"""Where the counted times begin of what a child tells, and of what is told when it is judged: after the people's."""


class Teller(Story):
    """Tells the rest of a story; `opened` gives the log, `written` appends one event however often that takes."""

    def __init__(
        self, opened: Callable[[], Log], written: Callable[[Event], Receipt], *, prefix: int = 7
    ) -> None:
        self.plan, self.clock, self.id = (
            small_plan(),
            StepClock(START + timedelta(hours=1)),
            counting_ids(prefix),
        )
        self.people = {name: Person(f"{name}@example.com", "story") for name in ROLES}
        self._opened, self._written, self._history = opened, written, None
        (self.change,) = self.log.changes()
        self.key = self.log._key

    @property
    def log(self) -> Log:
        return self._opened()

    def write(self, event: Event) -> Receipt:
        return self._written(event)

    def issued(self) -> Permit:
        """Return the permit that the gate gave."""
        (leaf,) = (leaf for leaf in self.log.of_change(self.change) if leaf.event.type == "permit.issued")
        return Permit.from_receipt(Receipt(index=leaf.index, hash=leaf.hash, leaf=leaf, durable=True))


def closing(log: Log) -> Event:
    """Return the event by which a person closes the change as it stands; nothing is appended."""
    made: list[Event] = []
    Teller(lambda: log, made.append, prefix=8).close()  # type: ignore[arg-type, return-value] - nobody asks for its receipt
    return made[0]


def template(root: Path) -> Path:
    """Found a log, and have a change opened, approved and admitted."""
    root.mkdir(parents=True)
    story = story_on_disk(root)
    story.open()
    story.act("approve", "bob")
    story.permit("alice")
    story.log.checkpoint()
    (root / "trust").mkdir()
    for name, data in story.trust().items():
        (root / "trust" / name).write_bytes(data)
    return root


def begin(actor: "Actor") -> None:
    """Open the log of the workspace, at its time."""
    actor.root, actor.ticks = actor.root / ".itmp", count(TOLD)
    actor.open()


def tell(actor: "Actor") -> None:
    """Run the change and close it, with a checkpoint after each."""
    teller = asked(actor, lambda _: Teller(actor.open, actor.write))
    teller.execute(asked(actor, lambda _: teller.issued()))
    actor.publish()
    actor.write(asked(actor, closing))
    actor.publish()


def asked(actor: "Actor", ask: Callable[[Log], T]) -> T:
    """Return what is read from the log, however often that takes."""
    found: list[T] = []

    def step(log: Log) -> str:
        found.append(ask(log))
        return ""

    actor.ask(step)
    return found[-1]


def hold(root: Path, said: Said, where: str) -> Iterator[str]:
    """Open the workspace the normal way and finish the story; yield each promise that is broken."""
    return named(where, _hold(root, said))


def _hold(root: Path, said: Said) -> Iterator[str]:
    from log_actor import Counted  # noqa: PLC0415 - which imports us

    log = posix_log.open_log(root / ".itmp", clock=Counted(count(JUDGED)))
    known = places(log)
    yield from stand(log, said, known)
    teller = Teller(lambda: log, log.append)
    teller.execute(teller.issued())
    if log.leaf(log.size() - 1).event.type != "change.closed":
        log.append(closing(log))
    yield from moved(log, known)
    report = audit_verify(Workspace.here(root))
    yield from (
        f"audit verify: {one.name} {one.place}: {one.message}" for one in report.findings if one.grave
    )
    if not report.trusted or report.size + report.unsigned != log.size():
        yield f"audit verify judged {report.size} leaves and {report.unsigned} of {log.size()}, by {report.trusted}"
    log.checkpoint()  # verifying makes none
    trust = Trust.from_files(teller.trust())
    bundle, whole = build(log, teller.change), posix_log.open_reader(root / ".itmp/log")
    verdict = verify(bundle, trust, logs=(whole,))
    if verdict.exit_code != 0:
        yield f"itmp-verify: rule {verdict.broken}"
