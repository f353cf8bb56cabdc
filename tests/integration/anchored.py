"""A workspace on disk with anchors, and a witness as a real process, for the tests of either."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from itmp.adapters.anchors import verify_stamp
from itmp.adapters.clock import new_id
from itmp.audit import Event
from itmp.evidence import Report, Trust, verify
from itmp.testing.cloud import Cloud
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story
from itmp.workspace import Workspace, audit_anchor, audit_verify, evidence

BIN = Path(sys.executable).parent


@contextmanager
def witness(state: Path, vkey: str) -> Iterator[str]:
    """Run the real server on a free loopback port; yield its address."""
    call = [
        str(BIN / "itmp"),
        "witness",
        "serve",
        "--state",
        str(state),
        "--log",
        vkey,
        "--listen",
        "127.0.0.1:0",
    ]
    child = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr
        line = child.stderr.readline()
        assert line.startswith("http://127.0.0.1:"), line
        yield line.partition("/add-checkpoint")[0]
    finally:
        child.terminate()
        child.communicate(timeout=60)


def new_witness(state: Path, name: str = "witness.example/w1") -> str:
    call = [str(BIN / "itmp"), "witness", "key", name, "--state", str(state), "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=120)
    return str(json.loads(done.stdout)["vkey"])


@contextmanager
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a bucket `anchors` with locks, in a cloud that the environment names; yield a client."""
    with Cloud() as cloud:
        for name, value in cloud.environ.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=cloud.endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="anchors", ObjectLockEnabledForBucket=True)
        yield client


class Site:
    """A workspace whose log tells a whole change, with anchors."""

    def __init__(self, root: Path, limits: str = "") -> None:
        self.root = root
        root.mkdir()
        usual = Story().policy_bytes
        policy = re.sub(rb"(?m)^limits: .*$", limits.encode(), usual) if limits else usual
        self.story = story_on_disk(root, policy=policy)
        self.story.tell()
        self.story.log.checkpoint()
        self.backup = root.parent / "backup"

    def anchors(self, *settings: dict[str, Any]) -> Workspace:
        text = yaml.safe_dump({"organization": "example.com", "anchors": list(settings)})
        (self.root / "itmp.yml").write_text(text)
        return self.place

    @property
    def place(self) -> Workspace:
        return Workspace.here(self.root)

    def grow(self, count: int = 2, who: str = "alice@example.com") -> None:
        """Let somebody read the log, under a fresh checkpoint."""
        log = self.place.log
        for _ in range(count):
            log.append(Event(id=new_id(), type="log.read", actor={"kind": "person", "id": who}))
        log.checkpoint()

    def save(self) -> None:
        """Take a copy of everything: log, journal, key and head record."""
        shutil.copytree(self.root / ".itmp", self.backup)

    def put_back(self) -> None:
        """Restore the old copy whole, as an attacker or a hurried operator does."""
        shutil.rmtree(self.root / ".itmp")
        shutil.copytree(self.backup, self.root / ".itmp")

    def states(self) -> list[tuple[str, str]]:
        return [(one.name, one.state) for one in audit_anchor(self.place)]

    def named(self) -> tuple[int, set[tuple[str, str]]]:
        """Return the exit code of `audit verify` and the grave findings."""
        report = audit_verify(self.place)
        return report.exit_code, {(one.name, one.place) for one in report.findings if one.grave}


def rolled_back(site: Site, name: str) -> None:
    """Anchor, save, grow, anchor, put the old copy back: named; grow it into a fork: named."""
    assert site.states() == [(name, "ok")]
    assert site.named() == (0, set())
    site.save()
    site.grow()
    assert site.states() == [(name, "ok")]
    again = audit_verify(site.place)
    assert again.findings == (), "asking for the same head twice is harmless"
    (covered,) = again.coverage
    assert (covered.size, covered.tail) == (site.place.log.size(), 0)
    site.put_back()
    assert site.named() == (42, {("rolled-back", f"anchor {name}")})
    site.grow(9, "mallory@example.com")
    assert site.named() == (42, {("forked", f"anchor {name}")})


def trust_of(site: Site, *witnesses: str, quorum: str = "all") -> dict[str, bytes]:
    lines = [f"log {site.place.log.vkey}", *(f"witness w{at} {vkey}" for at, vkey in enumerate(witnesses, 1))]
    names = " ".join(f"w{at}" for at in range(1, len(witnesses) + 1))
    lines += [f"group g {quorum} {names}", "quorum g"] if witnesses else ["quorum none"]
    return {
        "log.policy": ("\n".join(lines) + "\n").encode(),
        "genesis": f"{site.place.log.leaf(0).hash}\n".encode(),
    }


def judged(site: Site, trust: dict[str, bytes], *require: str) -> Report:
    file = site.root / "e.tar"
    evidence(site.place, site.story.change, file)
    return verify(file.read_bytes(), Trust.from_files(trust), require=require, stamps=verify_stamp)
