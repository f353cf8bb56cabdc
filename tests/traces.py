"""Where secrets stand: looked for byte by byte, in every form they may be written in.

Nothing of the product helps: whoever forgets a form when masking must not forget it when looking.
"""

import base64
import json
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

MEMORY = Path("/dev/shm")  # noqa: S108 - where a run keeps what must not reach a disk


def memory() -> list[Path]:
    """Return the folders that runs have in memory."""
    return [*MEMORY.glob("itmp-*")]


def forms(secret: str) -> list[bytes]:
    """Return a secret as it could stand in a file: plain, base64 at each alignment, JSON- and URL-escaped."""
    data = secret.encode()
    shifted = [base64.b64encode(b"\0" * shift + data)[4 * (shift > 0) : -4] for shift in range(3)]
    texts = [
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
    ]
    return [
        data,
        *shifted,
        *(part.translate(bytes.maketrans(b"+/", b"-_")) for part in shifted),
        *(text.encode() for text in texts),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The secrets that are looked for, by name, in their forms."""

    forms: Mapping[str, Sequence[bytes]]

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> "Search":
        """Look for these."""
        return cls(forms={name: forms(secret) for name, secret in secrets.items()})

    def leaks(self, data: bytes) -> list[str]:
        """Return the names of the secrets that stand in `data` in any form."""
        return [name for name, known in self.forms.items() if any(form in data for form in known)]

    def files(self, *roots: Path) -> dict[str, list[str]]:
        """Return each file below `roots` that holds a secret, in its bytes or its name, and which."""
        found: dict[str, list[str]] = {}
        for root in roots:
            for path in sorted(root.rglob("*")):
                try:
                    data = path.read_bytes() if path.is_file() else b""
                except OSError:
                    continue
                names = self.leaks(data + b"\n" + str(path).encode())
                if names:
                    found[str(path)] = names
        return found

    def started(self, pid: int) -> tuple[int, set[str]]:
        """Return how many programs the run has started, and which secrets stand in their arguments and environments.

        A child between fork and exec still shows its parent's own memory: it is no program yet, and is left out.
        """
        count, found = 0, set[str]()
        try:
            own = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return count, found
        for folder in family(pid):
            try:
                # The arguments once more at the end: an exec may fall between two reads.
                before = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
                after = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if own in (before, after):
                continue
            found |= set(self.leaks(after + environment))
            count += 1
        return count, found

    @contextmanager
    def watching(self, pid: int) -> Iterator[set[str]]:
        """Give the secrets that stand in arguments and environments of whatever the run ever starts, as they are seen."""
        over, seen = Event(), set[str]()

        def watch() -> None:
            while not over.wait(0.05):
                seen.update(self.started(pid)[1])

        watcher = Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()


def family(pid: int) -> Iterator[Path]:
    """Yield the folder in /proc of every living descendant of `pid`."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(folder.name))
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        yield from (Path(f"/proc/{child}") for child in below)
        todo += below
