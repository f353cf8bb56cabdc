"""An executor without any right, and a container engine without any: a whole change in a container of the plan's image.

The account has no range of further ids, so the image's files are all its own; the engine's storage is its own copy.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "integration"))
import environments
from test_story_unprivileged import STORY, UID, as_person, top  # noqa: F401 -- pytest finds the fixture by name here

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.foreign,
    pytest.mark.skipif(bool(environments.why_not()), reason=environments.why_not()),
]
STORAGE = """\
[storage]
driver = "vfs"
rootless_storage_path = "{home}/store"
runroot = "{home}/run/storage"
[storage.options.vfs]
ignore_chown_errors = "true"
"""


@pytest.fixture
def own_engine(top: Path) -> Iterator[dict[str, str]]:  # noqa: F811 -- the fixture that is imported above
    """Give the account a storage with the image in it; return the variables with which its engine finds it."""
    home = top / "home"
    settings = environments.settings()
    (home / "storage.conf").write_text(STORAGE.format(home=home))
    (home / "containers.conf").write_text(Path(settings["CONTAINERS_CONF"]).read_text())
    (home / "run").mkdir(mode=0o700)
    environments.image()
    environments.podman("save", "--quiet", "--output", str(home / "image.tar"), environments.tag())
    for path in home.iterdir():
        os.chown(path, UID, UID)
    yield {
        "CONTAINERS_CONF": f"{home}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{home}/storage.conf",
        "XDG_RUNTIME_DIR": f"{home}/run",
    }
    for file in (home / "run").rglob("pause.pid"):  # the engine's own process that keeps its namespace
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def test_a_person_without_rights_runs_a_change_in_a_container(top: Path, own_engine: dict[str, str]) -> None:  # noqa: F811 -- as above
    more = " ".join(f"{name}={value}" for name, value in own_engine.items())

    def told(*command: str) -> str:
        done = as_person(top, "user-namespace", *command, more=more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told("podman", "load", "--quiet", "--input", f"{top}/home/image.tar")
    digest = told("podman", "image", "inspect", "--format", "{{.Digest}}", environments.tag()).strip()
    image = f"{environments.tag().rpartition(':')[0]}@{digest}"
    story = json.loads(told(f"{top}/venv/bin/python", str(STORY), f"{top}/home/story", image))
    assert story["uid"] == UID
    assert story["binaries"]["container"].startswith("podman ")
    assert story["journals"] == {host: ["begin act", "end act"] for host in ("web1", "web2", "web3")}
    assert story["verified"] == 0, story["report"]
    assert story["binaries"]["custody"] == "user-namespace"
