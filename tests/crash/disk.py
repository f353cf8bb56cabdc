"""A disk as a model: what is durable, what was written since, and each state that a power cut may leave of it.

Until a file is synced, each of its pages may be old or new on its own, and its length anything in between; until a folder
is synced, each name made or removed in it may be there or not: a new folder may be gone with all that was synced in it,
a file that was renamed may have its old name, the new one, both or neither. A torn last frame is a length. Of order one
thing alone is assumed: a renamed folder loses its old name no earlier than it has the new one, for no file system that
outlives a power cut lets go of a whole tree.

A file that processes share as memory is written back whenever the kernel likes: each of its sectors may be any that it ever
was, or zeros.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

PAGE = 4096
SECTOR = 512
STATES_PER_CALL = 4
"""Besides those with one thing lost or one thing kept, so many random ones after each call."""

_EDGE = 12
"""What is written is torn at each of its first bytes: a frame's length and its checksum stand there. Of the rest, at a few."""

_TEARS = 4

MEMORY = "marks"
"""The name of the file that processes share as memory."""

LEFT_OUT = {"acknowledgements", "trace", "reserve", "append.lock", "sync.lock", "publish.lock"}
"""Ours, and what the log may lose or make again at any time."""


@dataclass(eq=False)
class Inode:
    """A file's durable bytes, and each state of it since, newest last; of shared memory, each state ever."""

    versions: list[bytes] = field(default_factory=lambda: [b""])
    shared: bool = False
    torn: bool = False
    """Whether the newest state was torn at its edge already."""

    @property
    def now(self) -> bytes:
        return self.versions[-1]

    def write(self, at: int, data: bytes) -> None:
        old = self.now.ljust(at, b"\0")
        self.become(old[:at] + data + old[at + len(data) :])

    def become(self, data: bytes) -> None:
        self.versions.append(data)
        self.torn = False

    def sync(self) -> None:
        del self.versions[:-1]

    def remembered(self, dice: random.Random) -> bytes:
        """Return what a cut may leave of shared memory."""
        size = max(map(len, self.versions))
        kept = [dice.choice([*self.versions, b""]).ljust(size, b"\0") for _ in range(0, size, SECTOR)]
        return b"".join(one[n * SECTOR : (n + 1) * SECTOR] for n, one in enumerate(kept))


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
            elif path.name not in LEFT_OUT:
                inode = Inode([path.read_bytes()], shared=path.name == MEMORY)
                nodes[status.st_ino] = found.now[path.name] = inode
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

    def states(self, dice: random.Random, *, each_byte: bool = False) -> Iterator[tuple[bool, State]]:
        """Yield what a cut at this moment may leave, and whether it is one that no choice among them leaves out.

        Those are all of what was not synced, none of it, and what was just written, torn at each byte, or else at its edge
        and at a few lengths.
        """
        nodes = _below(self.root, set())
        changes = [change for node in nodes if isinstance(node, Folder) for change in node.changes]
        files = [node for node in nodes if isinstance(node, Inode)]
        memory = [node for node in files if node.shared]
        dirty = [node for node in files if len(node.versions) > 1 and not node.shared]
        parts = [*changes, *((inode, page) for inode in dirty for page in _pages(inode))]
        everything, nothing = set[object](parts), set[object]()
        now = {node: node.now for node in memory}
        yield True, self._left(everything, now)
        yield True, self._left(nothing, now)
        for node in memory:
            for version in (node.versions[0], b""):  # those between come by chance below
                yield from ((False, self._left(kept, {node: version})) for kept in (everything, nothing))
        choices = [everything - {part} for part in parts] + [{part} for part in parts]
        choices += [
            {part for part in parts if dice.random() < 0.5} for _ in range(STATES_PER_CALL * bool(parts))
        ]
        for kept in choices:
            yield False, self._left(kept, {node: node.remembered(dice) for node in memory})
        for inode in dirty:
            fresh, inode.torn = not inode.torn, True
            for length in _lengths(inode, dice, fresh=fresh, each_byte=each_byte):
                yield fresh, self._left(everything, {**now, inode: inode.now[:length]})

    def _left(self, kept: set[object], instead: "Mapping[Inode, bytes]") -> State:
        return dict(_left(self.root, kept, "", instead))


def _lengths(inode: Inode, dice: random.Random, *, fresh: bool, each_byte: bool) -> list[int]:
    """Return where what was written last is torn, if it has another length: at later moments only at a few.

    Then only other files have changed. How a tail is judged depends on its bytes, on the newest decided head and on the
    marks; and no head is decided for what is not synced.
    """
    lengths = list(range(*sorted((len(inode.versions[-2]), len(inode.now)))))
    if fresh and each_byte:
        return lengths
    few = dice.sample(lengths, min(_TEARS, len(lengths)))
    return sorted({*few, *lengths[:_EDGE], *lengths[-1:]}) if fresh else few


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
    folder: Folder, kept: set[object], path: str, instead: Mapping[Inode, bytes]
) -> Iterator[tuple[str, bytes | None]]:
    """Yield what a cut leaves below a folder."""
    for name, node in folder.left(kept).items():
        if isinstance(node, Folder):
            yield f"{path}{name}", None
            yield from _left(node, kept, f"{path}{name}/", instead)
        else:
            yield f"{path}{name}", instead[node] if node in instead else _content(node, kept)


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
