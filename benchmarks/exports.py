"""How many records a second an export makes, for each format, on one core. Limit: 20,000.

python benchmarks/exports.py [EVENTS]
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from audit import ORIGIN, create, event

from itmp.export import FORMATS, record

LIMIT = 20_000


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    slow = False
    with tempfile.TemporaryDirectory(prefix="itmp-bench-") as folder:
        log = create(Path(folder) / "log")
        for _ in range(count // 500):
            log.extend([event() for _ in range(500)], durable=False)
        with Path(os.devnull).open("wb") as out:
            for form in FORMATS:
                begun = time.process_time()
                out.writelines(record(form, ORIGIN, leaf) for leaf in log.leaves())
                rate = log.size() / (time.process_time() - begun)
                slow |= rate < LIMIT
                verdict = "OVER" if rate < LIMIT else "within"
                print(f"export {form}: {rate:.0f} events/s of one core, limit {LIMIT}: {verdict}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
