"""What a log has promised, and whether it stands there: shared by every judge of a harmed log.

A judge opens what a fault, a kill or a power cut left as the next command would, and yields each promise that is broken.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from itmp.audit import Log

Said: TypeAlias = list[list[str]]
"""What a child was promised: the words of each line that it wrote at once."""

Held: TypeAlias = Callable[[Path, Said, str], Iterator[str]]
"""A judge: of a folder, what was promised in it, and where it was harmed."""

SAID = "acknowledgements"
PROMISES = {"ack", "signed"}
_ID = re.compile(rb'"id":"([0-9a-f]{32})"')


def heard(root: Path) -> Said:
    """Return what a child was promised until now."""
    path = root / SAID
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def named(where: str, wrong: Iterator[str]) -> Iterator[str]:
    """Say of each broken promise where; whatever is raised is one more."""
    try:
        yield from (f"{where}: {one}" for one in wrong)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what went wrong
        yield f"{where}: {type(error).__name__}: {error}"


def places(log: Log) -> dict[str, int]:
    """Return where each event stands."""
    return {_ID.findall(leaf.data)[-1].decode(): leaf.index for leaf in log.leaves()}


def stand(log: Log, said: Said, known: dict[str, int]) -> Iterator[str]:
    """Yield what a log that was just opened does not keep; `known` are its `places`."""
    if len(known) != log.size():
        yield "an event stands twice"
    yield from promises(log, said)


def moved(log: Log, known: dict[str, int]) -> Iterator[str]:
    """Yield each event that stands elsewhere, or again, once the log has gone on."""
    now = places(log)
    if len(now) != log.size():
        yield "an event stands twice since"
    yield from (
        f"event {name} stands at {now.get(name)}, not at {at}"
        for name, at in known.items()
        if now.get(name) != at
    )


def promises(log: Log, said: Said) -> Iterator[str]:
    """Yield each acknowledged event that is not where it was, and each signed head that the log does not continue."""
    for word, *values in said:
        if word == "ack":
            name, index, hashed = values
            leaf = log.leaf(int(index)) if int(index) < log.size() else None
            if leaf is None or (leaf.event.id, leaf.hash) != (name, hashed):
                yield f"acknowledged and lost: {name} at {index}"
        elif word == "signed" and log.root(int(values[0])).hex() != values[1]:
            yield f"another root for the signed size {values[0]}"
