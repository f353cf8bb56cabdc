"""The tally of strikes: `python tests/chaos/tally.py FILE MOMENTS` requires that the harms of a whole run truly struck.

Each attempt is one line of JSON in FILE, written by whichever test process made it. An attempt that found nothing of the
run alive is a miss; a run's tests are worth no more than their hits.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from plays import ACTS

SHARE: Final = 1 / 3
"""What share of a harm's attempts must hit: fewer, and the harm itself is blunt."""
FEW: Final = 8
"""Below this number of attempts a share says nothing; one hit is asked for."""
ENOUGH: Final = 150
"""From this number of moments on each kind of act and each command must have been met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One command over a `prey` that was to be harmed: `what` was hit after which event (`moment`), which kinds of acts
    were `under` way on hosts then, and how the command ended.
    """

    test: str
    prey: str
    harm: str
    command: str
    moment: str
    under: list[str]
    what: str
    hit: bool
    code: int
    seconds: float


def note(path: str, attempt: Attempt) -> None:
    """Add an attempt to the tally at `path`; one write, so that processes may share the file."""
    if path:
        with Path(path).open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(attempt)).encode() + b"\n")


def read(path: Path) -> list[Attempt]:
    """Return the attempts in a tally."""
    text = path.read_text() if path.exists() else ""
    return [Attempt(**json.loads(line)) for line in text.splitlines()]


def table(attempts: Iterable[Attempt]) -> dict[str, Counter[str]]:
    """Return for each harm its attempts, its hits, and those of the hits that the command bore, ending 0."""
    found: dict[str, Counter[str]] = {}
    for one in attempts:
        count = found.setdefault(one.harm, Counter())
        count["attempts"] += 1
        count["hits"] += one.hit
        count["borne"] += one.hit and one.code == 0
    return dict(sorted(found.items()))


def met(attempts: Iterable[Attempt]) -> Counter[str]:
    """Return how often each kind of act was under way when something was hit, and which commands that was."""
    hits = [one for one in attempts if one.hit]
    kinds = Counter(kind for one in hits for kind in set(one.under))
    return kinds + Counter(f"itmp {one.command}" for one in hits)


def unmet(found: Mapping[str, int], moments: int) -> list[str]:
    """Return the kinds of acts and the commands that `moments` strikes should have met and did not."""
    if moments < ENOUGH:
        return []
    wanted = {its.kind for its in ACTS.values()} | {"itmp run", "itmp resume", "itmp undo"}
    return [f"no strike met {kind}" for kind in sorted(wanted) if not found.get(kind)]


def wrong(counts: Mapping[str, Counter[str]], moments: int) -> list[str]:
    """Return what is wrong with a tally that was to have `moments` hits."""
    hits = sum(count["hits"] for count in counts.values())
    few = [f"{hits} hits, {moments} were to be made"] if hits < moments else []
    return few + [
        f"{harm} hit {count['hits']} times in {count['attempts']} attempts"
        for harm, count in counts.items()
        if count["hits"] < (SHARE * count["attempts"] if count["attempts"] >= FEW else 1)
    ]


def main(path: str, moments: str) -> int:
    """Print a tally; return 1 where something is wrong with it."""
    attempts = read(Path(path))
    counts, under = table(attempts), met(attempts)
    rows = [("harm", "attempts", "hits", "borne")]
    rows += [(harm, *(str(count[word]) for word in rows[0][1:])) for harm, count in counts.items()]
    total = sum(counts.values(), Counter[str]())
    rows.append(("all", *(str(total[word]) for word in rows[0][1:])))
    for row in rows:
        sys.stdout.write(f"{row[0]:16}" + "".join(f"{cell:>10}" for cell in row[1:]) + "\n")
    sys.stdout.write("met: " + ", ".join(f"{kind} {count}" for kind, count in sorted(under.items())) + "\n")
    problems = wrong(counts, int(moments)) + unmet(under, int(moments))
    for problem in problems:
        sys.stdout.write(f"CHAOS: {problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
