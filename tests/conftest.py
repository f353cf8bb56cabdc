"""Fixtures of the stories: one loopback fleet for each xdist worker, a fresh workspace for each test."""

import os
from collections.abc import Iterator

import pytest
from places import hosts, place  # noqa: F401 - pytest finds fixtures by name in this module


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the anchors of logs that tests found out of this user's own state."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
