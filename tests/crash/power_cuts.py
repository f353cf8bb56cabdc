"""What a power cut may leave: a model of a disk, fed with the system calls that the log really made.

Until a file is synced, each of its pages may be old or new on its own, and its length anything in between; until a folder
is synced, each name made or removed in it may be there or not. A torn last frame is a length. Nothing else is assumed of
the file system, above all no order.
"""

import hashlib
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from log_faults import Actors, judge

PAGE = 4096
STATES_PER_CALL = 4
"""Besides those with one thing lost or one thing kept, so many random ones after each call."""

_EACH_BYTE = 1000
"""Frames of the scenarios are shorter: they are torn at each byte. Larger writes are torn at a few."""

_LEFT_OUT = {"acknowledgements", "trace", "marks", "reserve", "append.lock", "sync.lock", "publish.lock"}
"""Ours, and what the log may lose or make again at any time."""

_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"[ (]\d+<((?:\\x[0-9a-f]{2})*)>")


@dataclass
class Inode:
    """A file's durable bytes, and each state of it since, newest last."""

    versions: list[bytes] = field(default_factory=lambda: [b""])

    @property
    def now(self) -> bytes:
        return self.versions[-1]

    def write(self, at: int, data: bytes) -> None:
        old = self.now.ljust(at, b"\0")
        self.versions.append(old[:at] + data + old[at + len(data) :])

    def sync(self) -> None:
        del self.versions[:-1]


@dataclass
class Disk:
    """Files by path as programs see them, and what of the names is durable."""

    names: dict[str, Inode]
    durable: dict[str, Inode]
    pending: dict[str, list[tuple[str, Inode | None]]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, root: Path, synced: Path) -> "Disk":
        """Take up a folder; of a file that differs in `synced`, what stands there is all that is durable."""
        files = [path for path in root.rglob("*") if path.is_file() and path.name not in _LEFT_OUT]
        found = {path.relative_to(root).as_posix(): Inode([path.read_bytes()]) for path in files}
        for name, inode in found.items():
            older = synced / name
            if older.is_file() and older.read_bytes() != inode.now:
                inode.versions.insert(0, older.read_bytes())
        folders = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir()}
        return cls(found, dict(found), {}, folders)

    def name(self, path: str, inode: Inode | None) -> None:
        """Let `path` mean `inode` from now on, or nothing."""
        if inode is None:
            self.names.pop(path, None)
        else:
            self.names[path] = inode
        self.pending.setdefault(path.rpartition("/")[0], []).append((path, inode))

    def sync(self, path: str) -> None:
        """Make a file's content durable, or the names in a folder."""
        if path in self.names:
            self.names[path].sync()
        for name, inode in self.pending.pop(path, []):
            _set(self.durable, name, inode)

    def states(self, dice: random.Random) -> Iterator[dict[str, bytes]]:
        """Yield what a cut at this moment may leave."""
        changes = [change for changes in self.pending.values() for change in changes]
        inodes = list({id(inode): inode for inode in (*self.durable.values(), *self.names.values())}.values())
        dirty = [inode for inode in inodes if len(inode.versions) > 1]
        parts = [*range(len(changes)), *((inode, page) for inode in dirty for page in _pages(inode))]
        choices = [set(parts), set[object]()]
        choices += [set(parts) - {part} for part in parts] + [{part} for part in parts]
        choices += [
            {part for part in parts if dice.random() < 0.5} for _ in range(STATES_PER_CALL * bool(parts))
        ]
        for kept in choices:
            names = dict(self.durable)
            for number, (name, inode) in enumerate(changes):
                if number in kept:
                    _set(names, name, inode)
            yield {name: _content(inode, kept) for name, inode in names.items()}
        for inode in dirty:  # torn: what was written last has another length
            lengths = range(*sorted((len(inode.versions[-2]), len(inode.now))))
            for length in lengths if len(lengths) < _EACH_BYTE else dice.sample(lengths, 4):
                yield {
                    name: one.now[:length] if one is inode else one.now for name, one in self.names.items()
                }

    def __hash__(self) -> int:
        return id(self)


Inode.__hash__ = object.__hash__  # type: ignore[method-assign]


def _set(names: dict[str, Inode], name: str, inode: Inode | None) -> None:
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


def _pages(inode: Inode) -> list[int]:
    """Return the pages in which versions differ."""
    ends = range(0, max(map(len, inode.versions)), PAGE)
    return [
        at for at in ends if any(a[at : at + PAGE] != b[at : at + PAGE] for a, b in pairwise(inode.versions))
    ]


def _content(inode: Inode, kept: set[object]) -> bytes:
    """Return the file with the kept pages new and the others old; what never arrived before a kept page is zeros."""
    if len(inode.versions) == 1:
        return inode.now
    old, new = inode.versions[0], inode.now
    ends = [
        min(at + PAGE, len(new)) for owner, at in (k for k in kept if isinstance(k, tuple)) if owner is inode
    ]
    whole = all((inode, at) in kept for at in _pages(inode))
    length = len(new) if whole else max([len(old) if len(new) >= len(old) else 0, *ends])
    both = {False: old.ljust(length, b"\0"), True: new.ljust(length, b"\0")}
    return b"".join(both[(inode, at) in kept][at : min(at + PAGE, length)] for at in range(0, length, PAGE))


def replay(trace: str, root: Path, disk: Disk) -> Iterator[list[list[str]]]:
    """Apply each call of a trace to `disk`; after each that changes anything, yield what was promised so far."""
    said: list[list[str]] = []
    for line in trace.splitlines():
        match = _CALL.match(line)
        if match and int(match[3]) >= 0 and _apply(disk, match[1], _Arguments(match[2], line, root), said):
            yield list(said)


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
    def last(self) -> int:
        return int(self.text.rpartition(", ")[2])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _apply(disk: Disk, call: str, given: _Arguments, said: list[list[str]]) -> bool:  # noqa: C901 - a table of calls
    if given.file.endswith("acknowledgements"):
        if call == "write":
            said += [line.split() for line in given.texts[0].decode().splitlines()]
        return call == "write"
    match call:
        case "openat":
            path = given.path()
            if "O_CREAT" not in given.text or path in disk.names or Path(path).name in _LEFT_OUT:
                return False
            disk.name(path, Inode())
        case "write" if given.file in disk.names:
            inode = disk.names[given.file]
            inode.write(len(inode.now), given.texts[0])
        case "pwrite64" if given.file in disk.names:
            disk.names[given.file].write(given.last, given.texts[0])
        case "ftruncate" if given.file in disk.names:
            inode = disk.names[given.file]
            inode.versions.append(inode.now[: given.last].ljust(given.last, b"\0"))
        case "rename":
            disk.name(given.path(1), disk.names[given.path(0)])
            disk.name(given.path(0), None)
        case "unlink" if given.path() in disk.names:
            disk.name(given.path(), None)
        case "mkdir":
            disk.folders.add(given.path())
        case "fsync" | "fdatasync":
            disk.sync(given.file)
        case _:
            return False
    return True


def cut(actors: Actors, scenario: str, template: Path, *, share: tuple[int, int] = (1, 0)) -> list[str]:
    """Cut the power after each call (of every `share[0]`, the one at `share[1]`); return what went wrong."""
    wrong = list(_cut(actors, scenario, template, share))
    actors.tally["bad"] += len(wrong)
    return wrong


def _cut(actors: Actors, scenario: str, template: Path, share: tuple[int, int]) -> Iterator[str]:
    root = actors.place(template)
    disks: list[Disk] = []
    outcome = actors.run(
        scenario,
        root,
        options=("-xx", "-s", "1000000"),
        ready=lambda: disks.append(Disk.of(root, template)),
    )
    assert outcome.status == 0, actors.complaint()
    dice, seen, target = random.Random(20261128), set[bytes](), root.with_name("cut")  # noqa: S311 - a fixed seed
    moments = 0
    for moment, said in enumerate(replay(outcome.trace, root, disks[0])):
        moments += 1
        if moment % share[0] != share[1]:
            continue
        for number, state in enumerate(disks[0].states(dice)):
            name = hashlib.sha256(repr((sorted(state.items()), said)).encode()).digest()
            if name in seen:
                continue
            seen.add(name)
            _lay_out(target, state, disks[0].folders)
            actors.tally["power cuts"] += 1
            where = f"{scenario}, power cut after call {moment}, state {number}"
            yield from judge(actors, target, said, where)
    if moments <= 2:
        yield f"{scenario}: {moments} calls that change a disk"
    shutil.rmtree(root)
    shutil.rmtree(target, ignore_errors=True)


def _lay_out(target: Path, state: dict[str, bytes], folders: set[str]) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for folder in sorted(folders):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name, content in state.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if path.name == "log.key":
            path.chmod(0o600)
