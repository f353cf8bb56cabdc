"""`itmp --help` over a bare interpreter, in turn. Limit: 200 ms above."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15


def timed(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> int:
    itmp = str(Path(sys.executable).parent / "itmp")
    pairs = [(timed(itmp, "--help"), timed(sys.executable, "-c", "pass")) for _ in range(ROUNDS)]
    above = statistics.median(help_ - bare for help_, bare in pairs) * 1000
    print(
        f"itmp --help: {above:.0f} ms above a bare interpreter, limit 200 ms: {'within' if above <= 200 else 'OVER'}"
    )
    return 0 if above <= 200 else 1


if __name__ == "__main__":
    sys.exit(main())
