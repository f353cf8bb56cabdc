"""What a power cut may leave: a model of a disk, fed with the system calls that the log really made.

Until a file is synced, each of its pages may be old or new on its own, and its length anything in between; until a folder
is synced, each name made or removed in it may be there or not: a new folder may be gone with all that was synced in it,
a file that was renamed may have its old name, the new one, both or neither. A torn last frame is a length. Of order one
thing alone is assumed: a renamed folder loses its old name no earlier than it has the new one, for no file system that
outlives a power cut lets go of a whole tree.
"""

import hashlib
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from log_faults import Actors, judge

PAGE = 4096
STATES_PER_CALL = 4
"""Besides those with one thing lost or one thing kept, so many random ones after each call."""

_EXTREMES = 2
"""Of the states that a cut may leave, the first two: all that was not synced is there, none of it is."""

_EACH_BYTE = 1000
"""Frames of the scenarios are shorter: they are torn at each byte. Larger writes are torn at a few."""

_LEFT_OUT = {"acknowledgements", "trace", "marks", "reserve", "append.lock", "sync.lock", "publish.lock"}
"""Ours, and what the log may lose or make again at any time."""

_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"[ (]\d+<((?:\\x[0-9a-f]{2})*)>")


@dataclass(eq=False)
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


@dataclass(eq=False)
class Change:
    """A name that was given or taken away since its folder was synced; it is none without `first`."""

    name: str
    node: "Inode | Folder | None"
    first: "Change | None" = None
    durable: bool = False

    def stands(self, kept: set[object]) -> bool:
        return self in kept and (self.first is None or self.first.durable or self.first in kept)


@dataclass(eq=False)
class Folder:
    """Names as programs see them, those that are durable, and each change of one since."""

    now: "dict[str, Inode | Folder]" = field(default_factory=dict)
    durable: "dict[str, Inode | Folder]" = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def name(self, name: str, node: "Inode | Folder | None", first: Change | None = None) -> Change:
        """Let `name` mean `node` from now on, or nothing."""
        change = Change(name, node, first)
        _set(self.now, change)
        self.changes.append(change)
        return change

    def sync(self) -> None:
        for change in self.changes:
            _set(self.durable, change)
            change.durable = True
        self.changes.clear()

    def left(self, kept: set[object]) -> "dict[str, Inode | Folder]":
        """Return the names that a cut leaves which keeps these changes."""
        names = dict(self.durable)
        for change in self.changes:
            if change.stands(kept):
                _set(names, change)
        return names


Node: TypeAlias = Inode | Folder
State: TypeAlias = dict[str, bytes | None]
"""What a cut leaves: the content of each file by its path, None for a folder."""


@dataclass
class Disk:
    """A folder with all below it."""

    root: Folder

    @classmethod
    def of(cls, root: Path, synced: Path, nodes: "dict[int, Inode] | None" = None) -> "Disk":
        """Take up a folder; of a file that differs in `synced`, what stands there is all that is durable.

        `nodes` are the files that have been met already, by another of their names.
        """
        found, nodes = Folder(), {} if nodes is None else nodes
        for path in root.iterdir():
            status = path.stat()
            if path.is_dir():
                found.now[path.name] = cls.of(path, synced / path.name, nodes).root
            elif status.st_ino in nodes:
                found.now[path.name] = nodes[status.st_ino]
            elif path.name not in _LEFT_OUT:
                nodes[status.st_ino] = inode = found.now[path.name] = Inode([path.read_bytes()])
                older = synced / path.name
                if older.is_file() and older.read_bytes() != inode.now:
                    inode.versions.insert(0, older.read_bytes())
        found.durable = dict(found.now)
        return cls(found)

    def at(self, path: str) -> Node | None:
        """Return what programs find at a path."""
        node: Node | None = self.root
        for part in Path(path).parts:
            node = node.now.get(part) if isinstance(node, Folder) else None
        return node

    def file(self, path: str) -> Inode | None:
        node = self.at(path)
        return node if isinstance(node, Inode) else None

    def name(self, path: str, node: Node | None, first: Change | None = None) -> Change:
        """Let a path mean `node` from now on, or nothing."""
        folder = self.at(str(Path(path).parent))
        assert isinstance(folder, Folder), path
        return folder.name(Path(path).name, node, first)

    def rename(self, old: str, new: str) -> None:
        node = self.at(old)
        assert node is not None, old
        there = self.name(new, node)
        self.name(old, None, there if isinstance(node, Folder) else None)

    def states(self, dice: random.Random) -> Iterator[State]:
        """Yield what a cut at this moment may leave."""
        nodes = _below(self.root, set())
        changes = [change for node in nodes if isinstance(node, Folder) for change in node.changes]
        dirty = [node for node in nodes if isinstance(node, Inode) and len(node.versions) > 1]
        parts = [*changes, *((inode, page) for inode in dirty for page in _pages(inode))]
        choices = [set(parts), set[object]()]
        choices += [set(parts) - {part} for part in parts] + [{part} for part in parts]
        choices += [
            {part for part in parts if dice.random() < 0.5} for _ in range(STATES_PER_CALL * bool(parts))
        ]
        for kept in choices:
            yield dict(_left(self.root, kept, ""))
        for inode in dirty:  # torn: what was written last has another length
            lengths = range(*sorted((len(inode.versions[-2]), len(inode.now))))
            for length in lengths if len(lengths) < _EACH_BYTE else dice.sample(lengths, 4):
                yield dict(_left(self.root, set(parts), "", {inode: length}))


def _set(names: dict[str, Node], change: Change) -> None:
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def _below(node: Node, seen: set[Node]) -> list[Node]:
    """Return a node and all that a cut may leave below it, each once."""
    if node in seen:
        return []
    seen.add(node)
    if isinstance(node, Inode):
        return [node]
    changed = (change.node for change in node.changes if change.node is not None)
    inside = [*node.durable.values(), *node.now.values(), *changed]
    return [node, *(found for one in inside for found in _below(one, seen))]


def _left(
    folder: Folder, kept: set[object], path: str, torn: Mapping[Inode, int] | None = None
) -> Iterator[tuple[str, bytes | None]]:
    """Yield what a cut leaves below a folder."""
    for name, node in folder.left(kept).items():
        if isinstance(node, Folder):
            yield f"{path}{name}", None
            yield from _left(node, kept, f"{path}{name}/", torn)
        else:
            yield f"{path}{name}", node.now[: torn.get(node)] if torn else _content(node, kept)


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
    length = len(new) if whole else max([len(old), *ends])  # a cut of the length may be lost as well
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
    def entry(self) -> str:
        """Return the path of a name in the folder of the first descriptor."""
        return str(Path(self.file) / self.texts[0].decode())

    @property
    def last(self) -> int:
        return int(self.text.rpartition(", ")[2])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _apply(disk: Disk, call: str, given: _Arguments, said: list[list[str]]) -> bool:  # noqa: C901, PLR0912 - a table of calls
    if given.file.endswith("acknowledgements"):
        if call == "write":
            said += [line.split() for line in given.texts[0].decode().splitlines()]
        return call == "write"
    inode = disk.file(given.file)
    match call:
        case "openat":
            path = given.path()
            if "O_CREAT" not in given.text or disk.at(path) or Path(path).name in _LEFT_OUT:
                return False
            disk.name(path, Inode())
        case "write" if inode:
            inode.write(len(inode.now), given.texts[0])
        case "pwrite64" if inode:
            inode.write(given.last, given.texts[0])
        case "ftruncate" if inode:
            inode.versions.append(inode.now[: given.last].ljust(given.last, b"\0"))
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


def cut(
    actors: Actors, scenario: str, template: Path, *, share: tuple[int, int] = (1, 0), thin: int = 1
) -> list[str]:
    """Cut the power after each call (of every `share[0]`, the one at `share[1]`); return what went wrong.

    With `thin` a cut leaves either everything or nothing of what was not synced, and one in so many of the states
    between, another one after each call.
    """
    wrong = list(_cut(actors, scenario, template, share, thin))
    actors.tally["bad"] += len(wrong)
    return wrong


def _cut(actors: Actors, scenario: str, template: Path, share: tuple[int, int], thin: int) -> Iterator[str]:
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
        actors.tally["calls with a power cut after them"] += 1
        for number, state in enumerate(disks[0].states(dice)):
            if number >= _EXTREMES and (number + moment) % thin:
                continue
            name = hashlib.sha256(repr((sorted(state.items()), said)).encode()).digest()
            if name in seen:
                continue
            seen.add(name)
            _lay_out(target, state)
            actors.tally["power cuts"] += 1
            where = f"{scenario}, power cut after call {moment}, state {number}"
            yield from judge(actors, target, said, where)
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
