"""What a program that was started as a person starts it used: processor time and memory, by the kernel's word."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_MEASURE: Final = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stdout[-2000:], used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
"""Run in a bare interpreter: a process begins with the memory of the one that started it on its account."""


def used(words: Sequence[str | Path], folder: Path) -> tuple[float, float]:
    """Return the processor seconds of a command and the most megabytes one of its processes held; it must end well."""
    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MEASURE, *words], cwd=folder, check=True, capture_output=True
    )
    code, said, seconds, megabytes = json.loads(asked.stdout)
    assert code == 0, (words, said)
    return seconds, megabytes
