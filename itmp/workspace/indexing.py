"""While a run goes: keep the search index close behind the log, so that whoever looks, after a kill too, waits little.

Rules kept here: leaves are given rows in bits of a few milliseconds, and a bit is followed by a rest twenty times as
long, so that no action waits and a run at full pace spends a twentieth of a core; it falls behind then, and catches up
at Ansible's pace, some tens of results a second; whatever goes wrong, or takes too long at the end, leaves
the index behind and the run alone, and alerts nobody, because whoever looks brings it up to date as ever; a rotation
that somebody proposed is not looked at, because it waits for the run.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from itmp.workspace.reading import Reading

EVERY: Final = 1.0
"""Seconds between two looks whether the log has gone on."""
_REST: Final = 20.0
"""How many times as long as a bit took nothing is done after it, while there is more to do."""
PATIENCE: Final = 2.0
"""Seconds that the end waits for a bit that is under way."""


@contextmanager
def indexing(shard: Path) -> Iterator[None]:
    """Keep the index of the log below `shard` close behind it until the block ends; one that is not kept is left."""
    done = threading.Event()

    def follow() -> None:
        while not done.wait(EVERY):
            with suppress(Exception):  # whoever looks next makes good what is lacking, or says what is wrong
                reading = Reading(shard, behind=True)
                try:
                    if not reading.index.kept:
                        return
                    _follow(reading, done)
                finally:
                    reading.close()

    thread = threading.Thread(target=follow, name="itmp-index", daemon=True)
    with suppress(RuntimeError):  # no more threads: the run goes on without
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.ident is not None:
            thread.join(PATIENCE)


def _follow(reading: Reading, done: threading.Event) -> None:
    """Give leaves their rows until the block ends, or somebody has made the file anew."""
    while reading.index.kept:
        begun = time.monotonic()
        more = reading.index.follow()
        if done.wait(_REST * (time.monotonic() - begun) if more else EVERY):
            return
