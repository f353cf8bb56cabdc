"""Power cuts after each system call that the log really made: what a model of a disk says may be left is opened again.

The calls come from a trace; what stands in the marks, which no call writes, from a child that is held before each call. The
machine that opens what is left has another boot id. `disk` says what a cut may leave.
"""

import hashlib
import os
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import TypeAlias

from asked import EVERY, GO_ON
from disk import LEFT_OUT, MEMORY, Disk, Folder, Inode, State
from log_actor import Counted
from log_faults import UNSTEADY, Actors, hold, judge, points
from promises import Held, Said, named

from itmp.adapters import posix_log
from itmp.adapters.posix_log.marks import owner_of
from itmp.errors import LogUnavailableError

_CALL = re.compile(r"\[ *(\d+)\] (\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"[ (]\d+<((?:\\x[0-9a-f]{2})*)>")

Memory: TypeAlias = dict[tuple[int, int], bytes | None]
"""What stood in the marks before each call, by its number and how many of this number there were."""


CUT = 10**6 * 2
"""Where the counted times begin after a cut."""

_MARKS = tuple(f"{place}log/.state/{MEMORY}" for place in ("", ".creating/"))
_BOOT = 64
_START = slice(80, 88)
"""Where in the marks a boot's id ends, and where their segment's first leaf stands."""


class Rebooted(Counted):
    """The clock of the boot after a cut."""

    def __init__(self) -> None:
        super().__init__(count(CUT))

    def boot(self) -> str:
        return "the-boot-after-the-cut"


def replay(trace: str, root: Path, disk: Disk, memory: Memory) -> Iterator[Said]:
    """Apply each call of a trace to `disk`; after each that changes anything, yield what was promised so far.

    What a process writes to the marks between two calls is a change as well.
    """
    said: Said = []
    for (line, match, _), (_, _, following) in pairwise([*_calls(trace), ("", None, (0, 0))]):
        changed = (
            match and int(match[4]) >= 0 and _apply(disk, match[2], _Arguments(match[3], line, root), said)
        )
        if _remember(disk, memory.get(following)) or changed:
            yield list(said)


def _calls(trace: str) -> Iterator[tuple[str, "re.Match[str] | None", tuple[int, int]]]:
    """Yield each line that is a call, its parts, its number and how many of this number there were."""
    counts = Counter[int]()
    for line in trace.splitlines():
        if match := _CALL.match(line):
            number = int(match[1])
            counts[number] += 1
            yield line, match, (number, counts[number])


def _remember(disk: Disk, marks: bytes | None) -> bool:
    """Take up what stands in the marks; whether it is another state."""
    inode = next(filter(None, map(disk.file, _MARKS)), None)
    if not inode or marks is None or marks == inode.now:
        return False
    inode.become(marks)
    return True


def _memory(actors: Actors, scenario: str, template: Path) -> Memory:
    """Hold a child before each of its calls, and read the marks: None where there are none."""
    root, found = actors.place(template), Memory()

    def look(number: int, nth: int) -> int:
        path = next((root / name for name in _MARKS if (root / name).exists()), None)
        found[number, nth] = path.read_bytes() if path else None
        return GO_ON

    assert actors.ask(scenario, root, EVERY, look) == 0, actors.complaint()
    shutil.rmtree(root)
    return found


class _Arguments:
    """One call's arguments."""

    def __init__(self, text: str, line: str, root: Path) -> None:
        self.texts, self.text = [_bytes(item) for item in _TEXT.findall(text)], text
        self._root = f"{root}/"
        self._files = [_bytes(item).decode() for item in _FILE.findall(line)]

    def path(self, number: int = 0) -> str:
        """Return the path in a text, relative to the root."""
        return self.texts[number].decode().removeprefix(self._root)

    @property
    def file(self) -> str:
        """Return the path of the first descriptor; the root's is empty."""
        file = self._files[0] if self._files else ""
        return "" if file == self._root.rstrip("/") else file.removeprefix(self._root)

    @property
    def entry(self) -> str:
        """Return the path of a name in the folder of the first descriptor."""
        return str(Path(self.file) / self.texts[0].decode())

    @property
    def last(self) -> int:
        return int(self.text.rpartition(", ")[2])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _apply(disk: Disk, call: str, given: _Arguments, said: Said) -> bool:  # noqa: C901, PLR0912 - a table of calls
    if given.file.endswith("acknowledgements"):
        if call == "write":
            said += [line.split() for line in given.texts[0].decode().splitlines()]
        return call == "write"
    inode = disk.file(given.file)
    match call:
        case "openat":
            path = given.path()
            if "O_CREAT" not in given.text or disk.at(path) or Path(path).name in LEFT_OUT:
                return False
            disk.name(path, Inode(shared=Path(path).name == MEMORY))
        case "write" if inode:
            inode.write(len(inode.now), given.texts[0])
        case "pwrite64" if inode:
            inode.write(given.last, given.texts[0])
        case "ftruncate" if inode:
            inode.become(inode.now[: given.last].ljust(given.last, b"\0"))
        case "rename":
            disk.rename(given.path(0), given.path(1))
        case "link" | "linkat":
            node = disk.at(given.path(0))
            assert node is not None, given.texts
            disk.name(given.path(1), node)
        case "unlink" | "rmdir" if disk.at(given.path()):
            disk.name(given.path(), None)
        case "unlinkat" if disk.at(given.entry):
            disk.name(given.entry, None)
        case "mkdir":
            disk.name(given.path(), Folder())
        case "fsync" | "fdatasync":
            node = disk.at(given.file)
            if node:
                node.sync()
        case _:
            return False
    return True


def rebooted(root: Path, said: Said, where: str) -> Iterator[str]:
    """Judge as after any other harm, in the next boot."""
    return hold(root, said, where, Rebooted)


def without(names: Sequence[str], whole: Path) -> Held:
    """Return the judge of a log that has lost a file of two names: what vouched for it another boot does not believe.

    Until the file is there again every opening is refused, and once it is put back from `whole` nothing is missing.
    """

    def held(root: Path, said: Said, where: str) -> Iterator[str]:
        there = any((root / name).exists() for name in names)
        return rebooted(root, said, where) if there else named(where, _refused(root, said, names, whole))

    return held


def _refused(root: Path, said: Said, names: Sequence[str], whole: Path) -> Iterator[str]:
    for _ in range(2):
        try:
            posix_log.open_log(root, clock=Rebooted())
            yield f"opened without {names[0]}"
        except LogUnavailableError as error:
            if Path(names[0]).name not in error.where or not error.do:
                yield f"refused, but not by name: {error}"
    shutil.copy(whole / names[0], root / names[0])
    yield from rebooted(root, said, "put back")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which of all cuts are tried, and who judges what they leave.

    Of every `share[0]` calls the one at `share[1]`; with `thin`, of what was not synced all is left, or none, or one in so
    many of the states between, another one after each call; what was written is torn at `each_byte`, or at a few.
    """

    share: tuple[int, int] = (1, 0)
    thin: int = 1
    each_byte: bool = False
    held: Held = rebooted


def cut(actors: Actors, scenario: str, template: Path, choice: Choice) -> list[str]:
    """Cut the power after each call; return what is judged to be wrong."""
    wrong = list(_cut(actors, scenario, template, choice))
    actors.tally["bad"] += len(wrong)
    return wrong


def _cut(actors: Actors, scenario: str, template: Path, choice: Choice) -> Iterator[str]:
    memory, root = _memory(actors, scenario, template), actors.place(template)
    disks: list[Disk] = []
    outcome = actors.trace(
        scenario,
        root,
        options=("-n", "-xx", "-s", "1000000"),
        ready=lambda: disks.append(Disk.of(root, template)),
    )
    assert outcome.status == 0, actors.complaint()
    missed = [point for point in points(outcome.trace) if (point.number, point.nth) not in memory]
    assert not [point for point in missed if point.name not in UNSTEADY], (
        f"the held child made other calls: {missed}"
    )
    dice, seen, target = random.Random(20261128), set[bytes](), root.with_name("cut")  # noqa: S311 - a fixed seed
    moments = 0
    for moment, said in enumerate(replay(outcome.trace, root, disks[0], memory)):
        moments += 1
        if moment % choice.share[0] != choice.share[1]:
            continue
        actors.tally["calls with a power cut after them"] += 1
        for number, (always, state) in enumerate(disks[0].states(dice, each_byte=choice.each_byte)):
            if not always and (number + moment) % choice.thin:
                continue
            name = hashlib.sha256(repr((sorted(state.items()), said)).encode()).digest()
            if name in seen:
                continue
            seen.add(name)
            _lay_out(target, state)
            actors.tally["power cuts"] += 1
            where = f"{scenario}, power cut after call {moment}, state {number}"
            yield from judge(actors, target, said, where, choice.held)
    if moments <= 2:
        yield f"{scenario}: {moments} calls that change a disk"
    shutil.rmtree(root)
    shutil.rmtree(target, ignore_errors=True)


def _lay_out(target: Path, state: State) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, content in state.items():
        path = target / name
        if content is None:
            path.mkdir(mode=0o700)
            continue
        path.write_bytes(content)
        if path.name == "log.key":
            path.chmod(0o600)
    for name, content in state.items():
        path, spare = target / name, target / Path(name).parent / "spare" / Path(name).name
        if content is not None and state.get(str(spare.relative_to(target))) == content:
            spare.unlink()  # one file with two names
            os.link(path, spare)
    for name in _MARKS:
        if state.get(name):
            _bind(target / name)


def _bind(marks: Path) -> None:
    """Let the marks name the device and inode that their segment has here: a cut does not change these."""
    data = marks.read_bytes()
    start = int.from_bytes(data[_START], sys.byteorder)
    segment = marks.with_name(f"journal.{start}")
    if segment.exists():
        status = segment.stat()
        owner = owner_of("", (status.st_dev, status.st_ino, start))
        marks.write_bytes(data[:_BOOT] + owner[_BOOT:] + data[len(owner) :])
