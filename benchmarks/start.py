"""`itmp --help` over a bare interpreter, in turn: `python benchmarks/start.py [ROUNDS]`. Limit: 200 ms above."""

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
    itmp, rounds = str(Path(sys.executable).parent / "itmp"), int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    pairs = [(timed(itmp, "--help"), timed(sys.executable, "-c", "pass")) for _ in range(rounds)]
    above = statistics.median(help_ - bare for help_, bare in pairs) * 1000
    print(
        f"itmp --help: {above:.0f} ms above a bare interpreter, limit 200 ms: {'within' if above <= 200 else 'OVER'}"
    )
    return 0 if above <= 200 else 1


if __name__ == "__main__":
    sys.exit(main())
