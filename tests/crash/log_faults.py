"""Faults at each system call of the log, and what must hold after each.

The calls are read from a trace without faults, so that a call which the code begins to make tomorrow is hit tomorrow.
EIO and ENOSPC strike at every call that names a file or a descriptor. A process that is killed leaves what lies there at
that moment: so one child is held at every call and looked at, and at the first call of each state another one is killed.
"""

import errno
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from asked import EVERY, GO_ON, KILL, Asked, answer
from log_actor import CHANGE, KEY, ORIGIN, TRACED, Counted, create, event
from log_state import state_of
from promises import PROMISES, SAID, Held, Said, heard, moved, named, places, stand

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock
from itmp.adapters.posix_log.opening import PosixStore
from itmp.audit import Checkpoint, Head, verify
from itmp.audit._integrate import land, published
from itmp.errors import LogUnavailableError, NotFoundError

FAULTS = {"kill": KILL, "EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
ACTOR = Path(__file__).with_name("log_actor.py")
PATIENCE = 30.0
DECIDED = 10**5
NAMES = ("log/.state/journal.0", "head.sqlite")
SPARES = ("log/.state/spare/journal.0", "spare/head.sqlite")
GONE = {"named": NAMES, "journal": (NAMES[0], SPARES[0])}
"""What was unlinked before a scenario begins."""
_CALL = re.compile(r"\[ *(\d+)\] (\w+)\((.*)", re.DOTALL)
_NAMES_FILE = re.compile(r'<[^>]+>|"')
UNSTEADY = {"brk", "mmap", "munmap", "mremap", "madvise", "futex"}
"""Calls of the allocator: their number may differ between two runs."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The `nth` call of `name`, whose number is `number`, since the child went on."""

    name: str
    number: int
    nth: int
    file: bool
    line: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a child: its wait status, its promises, its trace (or none), whether a fault struck it."""

    status: int
    said: Said
    trace: str = ""
    struck: bool = False


class Actors:
    """The forking process, and the children that it forks to act, traced or asking."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self._count = scratch, 0
        self.tally = Counter[str]()
        self.judged = set[tuple[Held | None, bytes]]()
        self._errors = (scratch / "errors").open("wb")
        environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, ACTOR],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environ,
        )

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()
        self._errors.close()

    def place(self, template: Path) -> Path:
        """Return a fresh copy of a prepared log."""
        self._count += 1
        return copied(template, self.scratch / f"run{self._count}")

    def trace(
        self,
        scenario: str,
        root: Path,
        *,
        options: Sequence[str] = ("-n", "-s", "300"),
        ready: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """Let a child act under strace from its stop, when `ready` is called, to its end."""
        trace, child = root / "trace", self._begun(scenario, root, TRACED)
        strace = subprocess.Popen(
            ["strace", "-y", "-o", trace, *options, "-p", str(child)], stderr=subprocess.DEVNULL
        )
        try:
            _attached(child, strace)
            ready()
            os.kill(child, signal.SIGCONT)
            _await_end(strace.pid)
        finally:
            if strace.poll() is None:
                strace.kill()
                os.kill(child, signal.SIGKILL)
                strace.wait()
        return Outcome(status=self._answer(), said=heard(root), trace=trace.read_text(errors="replace"))

    def strike(self, scenario: str, root: Path, point: Point, fault: str) -> Outcome:
        """Let a child act that meets a fault at one call."""
        struck: list[int] = []

        def asked(_: int, nth: int) -> int:
            if nth != point.nth:
                return GO_ON
            struck.append(nth)
            return FAULTS[fault]

        status = self.ask(scenario, root, point.number, asked)
        return Outcome(status=status, said=heard(root), struck=bool(struck))

    def ask(self, scenario: str, root: Path, number: int, asked: Asked) -> int:
        """Let a child act that asks before each call of a number, or before `EVERY` one; return its wait status."""
        child = self._begun(scenario, root, str(number))
        os.kill(child, signal.SIGCONT)
        try:
            answer(child, asked, patience=PATIENCE)
        except BaseException:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            raise
        return self._answer()

    def _begun(self, scenario: str, root: Path, calls: str) -> int:
        """Return a child that has prepared and stopped itself."""
        assert self._process.stdin
        self._process.stdin.write(f"{scenario} {root} {root / SAID} {calls}\n")
        self._process.stdin.flush()
        return self._answer()

    def complaint(self) -> str:
        """Return what the children said on stderr."""
        return (self.scratch / "errors").read_text(errors="replace")

    def _answer(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


def copied(template: Path, root: Path) -> Path:
    """Copy a log; a file with two names has both again."""
    shutil.copytree(template, root)
    for spare in root.rglob("spare/*"):
        path = spare.parents[1] / spare.name
        if path.exists() and template.joinpath(path.relative_to(root)).stat().st_nlink > 1:
            spare.unlink()
            os.link(path, spare)
    return root


def _await_end(process: int) -> None:
    """Return when a process has ended, at once: `Popen.wait` with a limit looks again after up to 50 ms."""
    descriptor = os.pidfd_open(process)
    try:
        select.select([descriptor], [], [], PATIENCE)
    finally:
        os.close(descriptor)


def _attached(child: int, strace: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and strace.poll() is None:
        if "TracerPid:\t0\n" not in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.001)
    raise AssertionError("strace did not attach: is ptrace allowed here?")


def points(trace: str) -> list[Point]:
    """Return every call of a trace without faults, in order; the child's own reporting excepted."""
    found, counts = [], Counter[str]()
    for line in trace.splitlines():
        match = _CALL.match(line)
        if not match or match[2] == "exit_group":
            continue
        counts[match[2]] += 1
        if SAID not in line:
            file = bool(_NAMES_FILE.search(match[3].rpartition(" = ")[0]))
            nth = counts[match[2]]
            found.append(Point(name=match[2], number=int(match[1]), nth=nth, file=file, line=line))
    return found


def templates(folder: Path) -> dict[str, Path]:
    """Prepare the log that each scenario begins with."""
    made = {}
    for name, leaves in {"append": 3, "publish": 254}.items():
        made[name] = folder / name
        log = create(made[name])
        log.extend([event(n) for n in range(1, leaves)])
        log.checkpoint()
    made |= {
        "batch": made["append"],
        "ride": made["append"],
        "snapshot": made["append"],
        "heal": made["append"],
        "drop": made["append"],
        "record": made["append"],
    }
    made["create"] = folder / "create"
    made["create"].mkdir()
    for name in ("sign", "torn"):
        made[name] = copied(made["append"], folder / name)
    for name, gone in GONE.items():
        made[name] = copied(made["append"], folder / name)
        for path in gone:
            (made[name] / path).unlink()
    made["open"] = copied(made["append"], folder / "open")
    for name in SPARES:  # a log of an earlier version
        shutil.rmtree((made["open"] / name).parent)
    decide(made["sign"])
    with (made["torn"] / "log/.state/journal.0").open("ab") as journal:
        journal.write(b"\x00\x00\x01\x00abcd{torn")
    return made


def decide(root: Path) -> None:
    """Leave the log as a publisher does that dies between deciding a head and signing it."""
    log = posix_log.open_log(root, clock=Counted(count(DECIDED)))
    log.append(event(700))
    store = PosixStore(root, boot=SystemClock().boot())
    head, size = store.heads.read(), log.size()
    land(store.journal, store.files, log._view.tree, since=head.size, size=size)
    assert store.heads.swap(head, Head(origin=ORIGIN, size=size, root=log.root(size)))
    store.close()


def strike(
    actors: Actors,
    scenario: str,
    template: Path,
    fault: str,
    *,
    share: tuple[int, int] = (1, 0),
    held: Held | None = None,
) -> list[str]:
    """Strike at each call (of every `share[0]`, the one at `share[1]`), let `held` judge, and return what went wrong."""
    wrong = list(_strike(actors, scenario, template, fault, share=share, held=held or hold))
    actors.tally["bad"] += len(wrong)
    return wrong


def _strike(
    actors: Actors, scenario: str, template: Path, fault: str, *, share: tuple[int, int], held: Held
) -> Iterator[str]:
    root = actors.place(template)
    clean = actors.trace(scenario, root)
    assert clean.status == 0, actors.complaint()
    yield from judge(actors, root, clean.said, "no fault", held)
    shutil.rmtree(root)
    found = [point for point in points(clean.trace) if fault == "kill" or point.file]
    assert len(found) > 10
    found = found[share[1] :: share[0]]
    actors.tally[f"calls for {fault}"] += len(found)
    for point in differing(actors, scenario, template, found, held) if fault == "kill" else found:
        root = actors.place(template)
        outcome = actors.strike(scenario, root, point, fault)
        where = f"{scenario}, {fault} at {point.line[:200]}"
        actors.tally["faults injected"] += 1
        if not outcome.struck and point.name not in UNSTEADY:
            yield f"{where}: did not strike"
        if fault != "kill" and outcome.status != 0:
            yield f"{where}: the child ended with {outcome.status}: {actors.complaint()[-3000:]} {outcome.said}"
        yield from judge(actors, root, outcome.said, where, held)
        shutil.rmtree(root)


def differing(
    actors: Actors, scenario: str, template: Path, found: list[Point], held: Held | None = None
) -> dict[Point, bytes]:
    """Return those of the points at which a state lies there that lay at none before, and that `held` has not judged.

    One child is held at each. Nothing that a killed process leaves is elsewhere: its locks and its memory are gone.
    """
    root = actors.place(template)
    wanted = {(point.number, point.nth): point for point in found}
    states: dict[bytes, Point] = {}
    met: list[Point] = []

    def look(number: int, nth: int) -> int:
        if point := wanted.get((number, nth)):
            met.append(point)
            states.setdefault(state_of(root, heard(root)), point)
        return GO_ON

    assert actors.ask(scenario, root, EVERY, look) == 0, actors.complaint()
    shutil.rmtree(root)
    asked, traced = ([point for point in calls if point.name not in UNSTEADY] for calls in (met, found))
    assert asked == traced, "a child that is held makes other calls than one that is traced"
    return {point: state for state, point in states.items() if (held, state) not in actors.judged}


def judge(actors: Actors, root: Path, said: Said, where: str, held: Held | None = None) -> Iterator[str]:
    """Let `held` judge a log, unless it has judged one that is the same to whoever opens it."""
    held = held or hold
    state = (held, state_of(root, said))
    if state not in actors.judged:
        actors.judged.add(state)
        actors.tally["states judged"] += 1
        yield from held(root, said, where)


def hold(root: Path, said: Said, where: str, clock: type[SystemClock] = SystemClock) -> Iterator[str]:
    """Open the log the normal way, in the boot of a clock; yield each promise that it does not keep."""
    return named(where, _hold(root, said, clock()))


def _hold(root: Path, said: Said, clock: SystemClock) -> Iterator[str]:
    try:
        yield from (f"before recovery: {wrong}" for wrong in grave(root, events=False))
        yield from undecided(root, clock)
        log = posix_log.open_log(root, clock=clock)
    except NotFoundError:
        if [words for words in said if words[0] in PROMISES]:
            raise
        log = create(root)  # nobody was given a log: it is founded as at first
    known = places(log)
    yield from stand(log, said, known)
    for n in (900, 901, 902, 999):
        log.append(event(n))
    signed = log.checkpoint().checkpoint
    if signed.size != log.size():
        yield "the checkpoint does not cover the log"
    yield from moved(log, known)
    with suppress(StopIteration):
        yield next(f"unfit: {finding}" for finding in log.health(datetime.now(UTC)).findings)
    chain = [leaf.event.cseq for leaf in log.of_change(CHANGE)]
    if chain != list(range(len(chain))):
        yield "a gap in the change"
    yield from (f"after recovery: {wrong}" for wrong in grave(root))


def undecided(root: Path, clock: SystemClock) -> Iterator[str]:
    """Yield each signed head that stands in a file though the record has not decided it."""
    store = PosixStore(root, boot=clock.boot())
    decided = store.heads.read().size
    store.close()
    for name in ("checkpoint", *(f"history/{path.name}" for path in (root / "log/history").iterdir())):
        size = int((root / "log" / name).read_text().splitlines()[1])
        if size > decided:
            yield f"{name} is signed for {size} leaves, the record has decided {decided}"


def _decided(root: Path) -> Checkpoint | None:
    """Return the head that the log's own record tells of; none where its founding was cut short."""
    with suppress(LogUnavailableError):
        store = PosixStore(root, boot=SystemClock().boot())
        try:
            head = published(store, KEY.verifier)
        finally:
            store.close()
        return head.checkpoint if head else None
    return None


def grave(root: Path, *, events: bool = True) -> list[str]:
    """Return the verifier's grave findings, beside the log's own record."""
    reader = posix_log.open_reader(root / "log")
    found = verify(reader, [KEY.verifier], decided=_decided(root), events=events)
    return [f"{finding.name} {finding.place}: {finding.message}" for finding in found if finding.grave]
