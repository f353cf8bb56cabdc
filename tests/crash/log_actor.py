"""The process that the injected faults hit: it forks one child per line of its input, each of which acts on a log.

A line is `<scenario> <root> <acknowledgements> <calls>`. The child prepares, stops itself (so that every call is counted
from there), and then acts: traced, when `calls` is `traced`, else asking before each call of this number (`asked`). Each
promise that the log gives it is written to `acknowledgements` at
once. An error of the log's own family is answered as a caller must: open anew, ask the same again. Anything else ends
the child with `BUG`, and so does a fork: no error of a disk is one. The forking process prints the child's id, then its
wait status.

Times and ids are counted, so that two children that met the same leave the same bytes.
"""

import gc
import hashlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import log_story
from asked import let_ask

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock
from itmp.adapters.posix_log.opening import PosixStore
from itmp.audit import Event, Log, Receipt
from itmp.audit.snapshot import EVERY
from itmp.errors import Error, ForkError, NotFoundError
from itmp.signing import NoteKey
from itmp.testing.memory_log import counting_ids, genesis
from itmp.workspace import founding, handing, tooling

ORIGIN = "example.com/ops/2026"
SEED = bytes(range(32))
KEY = NoteKey.generate(ORIGIN, SEED)
START = datetime(2026, 11, 22, 5, tzinfo=UTC)
PREPARED, ACTED = 1, 10**6
"""Where the counted times of a prepared log, and of what a child does, begin."""

BUG = 70
TRACED = "traced"
TRIES = 3
LARGE = range(600, 700)
"""Events of more than a page."""

CHANGE = "CHG-00000000aa"
NAMES = ("alice", "bob")
PEOPLE = tuple(f"{name}@example.com" for name in NAMES)
OURS = {"organization": "example.com"}


def event(n: int) -> Event:
    return Event(
        id=f"{n:032x}",
        type="check.finished",
        actor={"kind": "machine", "id": "actor"},
        change=CHANGE,
        data={"n": n, "text": "x" * (5000 if n in LARGE else 0)},
    )


class Counted(SystemClock):
    """This boot, with a time that goes on by a millisecond when it is read."""

    __slots__ = ("_ticks",)

    def __init__(self, ticks: "count[int]") -> None:
        super().__init__()
        self._ticks = ticks

    def now(self) -> datetime:
        return START + timedelta(milliseconds=next(self._ticks))

    def mono(self) -> int:
        return next(self._ticks)


def create(root: Path, ticks: "count[int] | None" = None) -> Log:
    clock = Counted(count(PREPARED) if ticks is None else ticks)
    first = genesis(ORIGIN, KEY.vkey)
    return posix_log.create(root, origin=ORIGIN, genesis=first, key=KEY, clock=clock, ids=counting_ids(1))


def acknowledgement(receipt: Receipt) -> str:
    return f"ack {receipt.leaf.event.id} {receipt.index} {receipt.hash}"


class Actor:
    """Acts on the log below `root` and says what was promised."""

    def __init__(self, root: Path, acknowledgements: str) -> None:
        self.root = root
        self.log: Log | None = None
        self.every = EVERY
        self.ticks, self._ids = count(ACTED), counting_ids(2)
        self._said = os.open(acknowledgements, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def open(self) -> Log:
        """Open the log; found it where there is none."""
        if self.log is None:
            try:
                clock = Counted(self.ticks)
                self.log = posix_log.open_log(self.root, clock=clock, ids=self._ids, every=self.every)
            except NotFoundError:
                self.log = create(self.root, self.ticks)
        return self.log

    def often(self) -> None:
        """Keep a snapshot after each two leaves."""
        self.every = 2
        self.open()

    def ask(self, step: Callable[[Log], str]) -> None:
        for left in reversed(range(TRIES)):
            try:
                said = step(self.open())
            except Error as error:
                self.say(f"refused {type(error).__name__}: {error}".replace("\n", " "))
                self.log = None
                if not left or isinstance(error, ForkError):
                    raise
            else:
                self.say(said)
                return

    def say(self, line: str) -> None:
        if line:
            os.write(self._said, f"{line}\n".encode())

    def append(self, *numbers: int, durable: bool = True) -> None:
        def step(log: Log) -> str:
            receipts = log.extend([event(n) for n in numbers], durable=durable)
            return "\n".join(map(acknowledgement, receipts)) if durable else ""

        self.ask(step)

    def write(self, one: Event) -> Receipt:
        """Append any event; return its receipt."""
        given: list[Receipt] = []

        def step(log: Log) -> str:
            given.append(log.append(one))
            return acknowledgement(given[-1])

        self.ask(step)
        return given[-1]

    def publish(self) -> None:
        def step(log: Log) -> str:
            signed = log.checkpoint().checkpoint
            return f"signed {signed.size} {signed.root.hex()}"

        self.ask(step)


def poison(actor: Actor) -> None:
    """Leave the segment as a failed sync leaves it."""
    log, root = actor.open(), actor.root
    log.append(event(800), durable=False)
    actor.log = None
    store = PosixStore(root, boot=SystemClock().boot())
    store.journal._marks.poisoned = 5
    store.close()


def drop(actor: Actor) -> None:
    """Leave the segment as a failed sync does that lost what it was to write."""
    actor.open().append(event(1))
    journal = actor.root / "log/.state/journal.0"
    kept = journal.stat().st_size
    poison(actor)
    with journal.open("r+b") as file:
        lost = file.seek(0, os.SEEK_END) - kept
        file.seek(kept)
        file.write(bytes(lost))


def lose_record(actor: Actor) -> None:
    """Leave the log without its head record, in the boot that has written it."""
    actor.open().append(event(1))
    actor.log = None
    for name in ("head.sqlite", "spare/head.sqlite"):
        (actor.root / name).unlink()


SCENARIOS: dict[str, tuple[Callable[[Actor], object] | None, Callable[[Actor], object]]] = {
    "append": (Actor.open, lambda actor: actor.append(900)),
    "batch": (
        Actor.open,
        lambda actor: (
            actor.append(900, 901, 902),
            actor.append(903, durable=False),
            actor.append(904),
            actor.append(901),
        ),
    ),
    "ride": (
        Actor.open,
        lambda actor: (actor.append(600, 601, durable=False), actor.publish(), actor.append(900)),
    ),
    "open": (None, lambda actor: actor.append(900)),
    "publish": (Actor.open, lambda actor: (actor.append(900, 901, 902), actor.publish())),
    "snapshot": (
        Actor.often,
        lambda actor: (actor.append(900, 901), actor.publish(), actor.append(902, 903), actor.publish()),
    ),
    "sign": (Actor.open, lambda actor: actor.publish()),
    "torn": (None, lambda actor: (actor.append(900), actor.publish())),
    "heal": (poison, lambda actor: (actor.append(900), actor.publish())),
    "drop": (drop, lambda actor: (actor.append(900), actor.publish())),
    "named": (None, lambda actor: actor.append(900)),
    "journal": (None, lambda actor: actor.append(900)),
    "record": (lose_record, lambda actor: actor.append(900)),
    "create": (None, lambda actor: (actor.append(900), actor.publish())),
}
"""What is done before the child stops itself, and what is done after, call by call under fault."""


def rotate(actor: Actor) -> None:
    """Pass the log on: its rotation is signed already."""
    log = actor.open()
    handing.end(log, handing.read(actor.root), actor.root, size=log.size())
    handing.finish(actor.root, actor.open())


def found(actor: Actor) -> None:
    """Say `itmp init` for one person."""
    _founded(actor, founding.init(actor.root / "w", key=str(actor.root / "alice"), signer=PEOPLE[0], **OURS))


def found_together(actor: Actor) -> None:
    """Say `itmp init --root … --root …`."""
    texts = founding.init_roots(actor.root / "w", tuple(actor.root / f"{name}.pub" for name in NAMES), **OURS)
    for text in texts:
        actor.say(f"text {hashlib.sha256(text.path.read_bytes()).hexdigest()}")


def seal(actor: Actor) -> None:
    """Say `itmp init --seal … --seal …` over texts that are signed already."""
    _founded(actor, founding.seal(actor.root / "w", signatures_below(actor.root / "w")))


def signatures_below(folder: Path) -> tuple[Path, ...]:
    return tuple(folder / f".itmp/founding/enrol-{name}-example.com.txt.sig" for name in NAMES)


def _founded(actor: Actor, done: founding.Founded) -> None:
    actor.say(f"founded {done.vkey} {done.genesis}")


OTHERS: dict[str, tuple[Callable[[Actor], object] | None, Callable[[Actor], object]]] = {
    "rotate": (Actor.open, rotate),
    "found": (None, found),
    "together": (None, found_together),
    "seal": (None, seal),
    "story": (log_story.begin, log_story.tell),
    "agent": (Actor.open, lambda actor: (actor.append(900), actor.publish())),
}
"""Scenarios with a judge, or a key, of their own."""


def act(scenario: str, root: str, acknowledgements: str, calls: str) -> int:
    prepare, play = (SCENARIOS | OTHERS)[scenario]
    actor = Actor(Path(root), acknowledgements)
    if prepare:
        prepare(actor)
    os.kill(os.getpid(), signal.SIGSTOP)
    if calls != TRACED:
        let_ask(int(calls))
    play(actor)
    return 0


def warm() -> None:
    """Do once what each child would do for the first time: imports, tables, patterns."""
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder)).append(event(1))
        posix_log.open_log(Path(folder)).checkpoint()
    gc.freeze()


def main() -> None:
    warm()
    for line in sys.stdin:
        if line.startswith(("found ", "seal ")):  # each child would make them again
            _ = [tooling.schema_text(kind) for kind in tooling.KINDS]
        child = os.fork()
        if child == 0:
            code = BUG
            try:
                code = act(*line.split())
            except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
                os.write(2, traceback.format_exc().encode())
            os._exit(code)
        os.waitpid(child, os.WUNTRACED)
        os.write(1, f"{child}\n".encode())
        os.write(1, f"{os.waitpid(child, 0)[1]}\n".encode())


if __name__ == "__main__":
    main()
