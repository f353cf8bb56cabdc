"""Every benchmark in one run, each in its own process: `make bench`. Ratios within one run, never absolute tests."""

import subprocess
import sys
from pathlib import Path

ORDER = (
    "start.py",
    "compile_plan.py",
    "compile_hosts.py",
    "audit.py",
    "results_path.py",
    "exports.py",
    "whole_log.py",
    "pulumi_loop.py",
    "run_overhead.py",
    "run_overhead.py 100 1 10 --alone",
    "run_overhead.py 500 1 3 --alone",
    "stub_fleet.py 500",
    "logs_view.py",
    "viewer_pages.py",
)


def main() -> int:
    failed = []
    for name in ORDER:
        print(f"== {name}", flush=True)
        program, *sizes = name.split()
        done = subprocess.run([sys.executable, str(Path(__file__).parent / program), *sizes], check=False)
        failed += [name] if done.returncode else []
    if failed:
        print(f"over their limit, or not finished: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
