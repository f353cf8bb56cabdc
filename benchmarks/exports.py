"""How many events a second `itmp audit export -o FILE` hands on, in each format, on one core. Limit: 20,000.

    python benchmarks/exports.py [EVENTS]

Writes a workspace of so many events (100,000) below a folder of its own that it removes, and starts the command as a
person would, several times for each format, each time into a new file. What counts is the processor time of the whole
command, its start and the opening of the log included, above that of a bare interpreter: other work on the machine
changes it least. Judged by the median; the spread stands beside it.
"""

import os
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit import create, event
from programs import used

from itmp.export import FORMATS

EVENTS: Final = 100_000
LIMIT: Final = 20_000
ROUNDS: Final = 5
_PORTION: Final = 500


def write(root: Path, count: int) -> int:
    """Write a workspace whose log has about so many results; return its size."""
    root.mkdir()
    (root / "itmp.yml").write_text("organization: example.com\nlog: bench\n")
    log = create(root / ".itmp")
    for _ in range(count // _PORTION):
        log.extend([event() for _ in range(_PORTION)], durable=False)
    return log.checkpoint().checkpoint.size


def rate(root: Path, form: str, events: int) -> tuple[float, float]:
    """Return the events a second of one export, and the most megabytes it held."""
    itmp, out = Path(sys.executable).parent / "itmp", root / f"trail.{form}"
    bare, _ = used((sys.executable, "-c", "pass"), root)
    spent, held = used((itmp, "audit", "export", "--format", form, "-o", out, "--from-index", "0"), root)
    with out.open("rb") as lines:
        exported = sum(1 for _ in lines)
    out.unlink()
    assert exported >= events, (form, exported)
    return exported / (spent - bare), held


def main() -> int:
    slow = False
    with tempfile.TemporaryDirectory(prefix="itmp-bench-") as folder:
        root = Path(folder) / "workspace"
        events = write(root, int(sys.argv[1]) if sys.argv[1:] else EVENTS)
        print(
            f"{datetime.now(UTC):%Y-%m-%d}, {events:,} events, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
        )
        print("| format | events/s, median | spread | limit | memory | verdict |\n|---|---|---|---|---|---|")
        for form in FORMATS:
            rounds = [rate(root, form, events) for _ in range(ROUNDS)]
            rates, held = [speed for speed, _ in rounds], max(held for _, held in rounds)
            middle = statistics.median(rates)
            slow |= middle < LIMIT
            verdict = "OVER" if middle < LIMIT else "within"
            spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
            print(
                f"| `{form}` | {middle:,.0f} | {spread} | {LIMIT:,} | {held:.0f} MB | {verdict} |", flush=True
            )
        print(f"\nload at the end {os.getloadavg()[0]:.1f}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
