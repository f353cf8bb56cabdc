"""Where harmed logs lie: in memory where there is some.

A call that fails, and a process that dies before it, leave the same there; what a power cut leaves is a model of a disk, and
not that of the disk below; and a crowd meets more often where no sync makes it wait. Writers killed at random
(`test_log_kills`), torn tails and full disks stay in `tmp_path`: there a sync takes its time, and a kill may fall into it.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from log_faults import Actors, templates

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    parent = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="itmp-crash-", dir=parent))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def actors(scratch: Path) -> Iterator[Actors]:
    actors = Actors(scratch)
    yield actors
    actors.close()


@pytest.fixture(autouse=True)
def _told(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Tell the end of the run what this test injected."""
    yield
    if "actors" in request.fixturenames:
        tally = request.getfixturevalue("actors").tally
        record_property("tally", dict(tally))
        tally.clear()


@pytest.fixture(scope="module")
def prepared(scratch: Path) -> dict[str, Path]:
    return templates(scratch / "templates")
