"""A live view is for a slow line too: however much a run does, it is repainted twice a second, and a repaint is small."""

import re
import subprocess
import sys

from places import Terminal

from itmp.cli.live import REPAINT

SECONDS = 4
COLUMNS = 80
DRIVER = f"""
import time
from itmp.cli.live import watching
from itmp.workspace import events as e

hosts = tuple(f"web{{n}}" for n in range(500))
part = e.Planned(slice="one", title="Restart", hosts=hosts, batch=0, batches=0, budget=9)
outline = e.Outline(change="CHG-0123456789", title="Restart the web tier", slices=(part,))
with watching(lambda: outline) as told:
    told(e.RunStarted(change="CHG-0123456789", plan="p", run="r", hosts=hosts, slices=1))
    told(e.SliceStarted(slice="one", step="one", title="Restart", hosts=hosts))
    begun, results = time.monotonic(), 0
    while time.monotonic() < begun + {SECONDS}:
        host = hosts[results % len(hosts)]
        told(e.ActionStarted(slice="one", host=host, action="a", name=f"Restart nginx {{results}}"))
        told(e.ActionFinished(slice="one", host=hosts[(results - 9) % len(hosts)], action="a", name="n", outcome="changed"))
        told(e.HostChanged(slice="one", host=hosts[(results - 9) % len(hosts)], state="changed"))
        results += 1
        time.sleep(0.0005)
    taken = time.monotonic() - begun
print(f"took {{taken}} results {{results}}")
"""


def test_many_results_repaint_seldom_and_little(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal(COLUMNS)
    shown = terminal.read(subprocess.Popen([sys.executable, "-c", DRIVER], **terminal.options()))
    found = re.search(r"took ([0-9.]+) results ([0-9]+)", shown)
    assert found, shown
    taken, results = map(float, found.groups())
    assert results / taken > 100, "many results a second"
    painted = shown.count("step 1 of 1")
    assert painted > 2, "it lives"
    assert painted <= taken / 0.5 + 2, "at most twice a second"
    assert REPAINT >= 0.5
    assert len(shown.encode()) / taken < 2_500, "a line of 32 kbit/s bears it"
