"""The command's own word on approved bytes that were changed in the store: exit 12 and `change.refused`, before any host.

`tests/integration/test_story_swapped.py` tells the same on real hosts.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from itmp.testing.on_disk import story_on_disk
from itmp.workspace import Workspace


def flip(blob: Path) -> None:
    data = blob.read_bytes()
    blob.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])


def swap(blob: Path) -> None:
    other = blob.with_name("other")
    other.write_bytes(blob.read_bytes() + b" ")
    blob.unlink()
    blob.symlink_to(other)


HARMS: dict[str, Callable[[Path], None]] = {"flipped": flip, "gone": Path.unlink, "symlink": swap}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("part", ["manifest", "artifact"])
def test_it_is_refused_as_stale_and_written_down(part: str, harm: str, tmp_path: Path) -> None:
    story = story_on_disk(tmp_path)
    change = story.open()
    story.act("approve", "bob")
    artifacts = story.plan.manifest.artifacts
    digest = story.plan.digest if part == "manifest" else artifacts[max(artifacts)]
    name = digest.removeprefix("sha256:")
    HARMS[harm](tmp_path / ".itmp/log/blobs/sha256" / name[:2] / name)
    done = subprocess.run(
        [Path(sys.executable).with_name("itmp"), "run", change, "--key", "nobody", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 12, done
    assert "the stored plan is not the approved one" in json.loads(done.stdout)["error"]["what"]
    last = Workspace.here(tmp_path).log.of_change(change)[-1].event
    said = last.data or {}
    assert (last.type, said["act"], said["exit_code"]) == ("change.refused", "run", 12)
    assert [(check["n"], check["outcome"]) for check in said["checks"]] == [(1, "refused")]
