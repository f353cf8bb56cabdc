"""What the two programs that verify a whole log use at most: `itmp audit verify` and `itmp-verify FILE --log DIR`.

    python benchmarks/verify_programs.py [CHANGES]

Writes a workspace of so many changes (100,000, about ten events each), every statement signed, below a folder of its
own that it removes, then starts each program as a person would and asks the kernel for its processor time and the most
memory that it, or a process it waited for, held. Fails when one says that the log is not sound, or holds over 200 MB.
"""

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from long_log import LongLog, write
from programs import used

from itmp.workspace import Workspace

CHANGES: Final = 100_000
LIMIT_MB: Final = 200


def programs(long: LongLog) -> dict[str, tuple[str | Path, ...]]:
    """Return each command line; beside the workspace stand an evidence file and the auditor's folder."""
    tools, log = Path(sys.executable).parent, Workspace.here(long.root).log
    trust, bundle = long.root / "trust", long.root / "one.tar"
    trust.mkdir()
    (trust / "log.policy").write_text(f"log {log.vkey}\nquorum none\n")
    (trust / "genesis").write_text(f"{log.leaf(0).hash}\n")
    used((tools / "itmp", "evidence", long.changes[-2], "-o", bundle), long.root)
    return {
        "itmp audit verify": (tools / "itmp", "audit", "verify"),
        "itmp-verify --log": (
            tools / "itmp-verify",
            bundle,
            "--trust",
            trust,
            "--log",
            long.root / ".itmp/log",
        ),
    }


def main() -> int:
    over = False
    with tempfile.TemporaryDirectory(prefix="itmp-bench-") as name:
        long = write(Path(name) / "long", int(sys.argv[1]) if sys.argv[1:] else CHANGES)
        print(
            f"{datetime.now(UTC):%Y-%m-%d}, {long.events:,} events, load {os.getloadavg()[0]:.1f}", flush=True
        )
        for what, words in programs(long).items():
            spent, held = used(words, long.root)
            over |= held > LIMIT_MB
            verdict = "OVER" if held > LIMIT_MB else "within"
            print(
                f"{what}: {held:.0f} MB at most, limit {LIMIT_MB}: {verdict}; {spent:.1f} s of one core",
                flush=True,
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
