"""The patch examples on real Debian hosts, from the lockfile to the way back, through the real `itmp`.

Versions are read from each host's own package database and reboots from its own list of boot ids: nothing rests on what
`itmp` says of itself.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from places import BIN, PATIENCE, wait_for

from itmp import lab
from itmp.lab.fleet import make_key
from itmp.lab.namespaces import NamespaceFleet
from itmp.workspace import Workspace

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]

ROOT = Path(__file__).parents[2]
HOSTS = ("canary1", "fleet1")
GROUPS = ("ring0=canary1", "ring1=fleet1", "web=canary1,fleet1", "web_canary=canary1")
FRONT = """\
#!/bin/sh
mkdir -p /srv/front
echo ok >/srv/front/health
setsid python3 -m http.server --directory /srv/front 8080 </dev/null >/dev/null 2>&1 &
"""
"""What web-monthly.yml's check asks: started at each boot, so that it answers only after the host came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A workspace that two people founded, with every example, over two hosts that stand at version 1.0."""

    root: Path
    environ: dict[str, str]

    @property
    def fleet(self) -> NamespaceFleet:
        return cast("NamespaceFleet", lab.attach(self.root / ".lab"))

    def itmp(self, *words: str, expect: int = 0) -> dict[str, Any]:
        """Type a command with `--json`, require its exit code, return its object."""
        done = subprocess.run(
            ["itmp", *words, "--json"], executable=str(BIN / "itmp"), cwd=self.root, env=self.environ,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"itmp {' '.join(words)}: {done.stdout}{done.stderr}"
        return cast("dict[str, Any]", json.loads(done.stdout))

    def found(self) -> None:
        """Found a log with two people, who sign with stock ssh-keygen."""
        for name in ("alice", "bob"):
            make_key(self.root / name, f"{name}@example.com")
        self.itmp("init", "--root", "alice.pub", "--root", "bob.pub", "--organization", "example.com")
        seals = []
        for name in ("alice", "bob"):
            text = f".itmp/founding/enrol-{name}-example.com.txt"
            argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "itmp-enrol@example.com", "-f", name, text]
            subprocess.run(argv, cwd=self.root, capture_output=True, check=True, timeout=PATIENCE)
            seals += ["--seal", f"{text}.sig"]
        self.itmp("init", *seals)

    def inside(self, host: str, script: str) -> str:
        argv = self.fleet.inside(host, ["sh", "-c", script])
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout

    def installed(self, host: str) -> dict[str, str]:
        """Return the versions in a host's package database."""
        told = self.inside(host, "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n' 'itmp-*'")
        rows = [line.split() for line in told.splitlines()]
        assert {row[2] for row in rows} == {"ii"}
        return {name: version for name, version, _ in rows}

    def locked(self, document: str, side: str) -> dict[str, str]:
        """Return the versions that a schedule's lockfile names, `from` or `to`."""
        lock = json.loads((self.root / document.replace(".yml", ".lock.json")).read_text())
        return {name: one[side] for name, one in lock["packages"].items()}

    def order(self, change: str) -> list[tuple[str, ...]]:
        """Return the hosts of each slice that was intended, in order, neighbours told once."""
        leaves = Workspace.here(self.root).log.of_change(change)
        events = [leaf.event for leaf in leaves if leaf.event.type == "slice.intended"]
        slices = [tuple((event.data or {})["hosts"]) for event in events]
        return [one for at, one in enumerate(slices) if slices[max(at - 1, 0)] != one or at == 0]


@pytest.fixture(scope="module")
def lab_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("patching")
    home = tmp_path_factory.mktemp("home")
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # where the hosts' system lies
    environ = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": caches, "NO_COLOR": "1"}
    environ |= {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "PYTHONWARNINGS": ""}
    for name in ("ITMP_KEY", "ITMP_WORKSPACE", "SSH_AUTH_SOCK"):
        environ.pop(name, None)
    world = World(root=root, environ=environ)
    groups = [word for group in GROUPS for word in ("--group", group)]
    try:
        world.found()
        world.itmp("lab", "up", "2", "--kind", "namespaces", "--names", ",".join(HOSTS), *groups)
        for part in ("playbooks", "runbooks"):
            shutil.copytree(ROOT / part, root / part)
        (root / "inventories").mkdir()
        for name in ("hosts.yml", "known_hosts"):
            shutil.copy(root / ".lab" / name, root / "inventories" / name)
        (root / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/hosts.yml]\n")
        world.fleet.release_update()
        yield world
    finally:
        if (root / ".lab").exists():
            lab.down(root / ".lab")


@pytest.fixture
def world(lab_world: World) -> World:
    """The world with both hosts as at the start."""
    for name in HOSTS:
        lab_world.fleet.reset(name)
    return lab_world


def ready(world: World, document: str) -> str:
    """Lock what the canary would get, plan, open as alice, approve as bob; return the change."""
    before = world.fleet.connections("fleet1")
    resolved = world.itmp("patch", "resolve", document)
    assert {one["name"]: one["to"] for one in resolved["packages"]} == world.locked(document, "to")
    assert world.fleet.connections("fleet1") == before  # the first ring alone is asked
    world.itmp("plan", document, "-o", "patch.plan.tar")
    opened = world.itmp("change", "open", "patch.plan.tar", "--reason", "monthly", "--key", "alice")
    world.itmp("approve", opened["change"], "--key", "bob", "--yes")
    return str(opened["change"])


def require_there_and_back(world: World, document: str, change: str) -> None:
    """Run and undo: each host has the lock's versions and a new boot, then the old versions again."""
    old, new = (world.locked(document, side) for side in ("from", "to"))
    assert (old, new) == (dict.fromkeys(old, "1.0"), dict.fromkeys(old, "2.0"))
    boots = {name: world.fleet.boots(name) for name in HOSTS}
    world.itmp("run", change, "--key", "alice")
    for name in HOSTS:
        assert world.installed(name) == new
        later = world.fleet.boots(name)
        assert later[: len(boots[name])] == boots[name]
        assert len(set(later)) == len(boots[name]) + 1
    assert world.order(change) == [("canary1",), ("fleet1",)]
    world.itmp("undo", change, "--key", "alice")
    assert {name: world.installed(name) for name in HOSTS} == dict.fromkeys(HOSTS, old)


@pytest.mark.long
def test_lab_two_rings_goes_to_the_locked_versions_and_back(world: World) -> None:
    document = "runbooks/patch/lab-two-rings.yml"
    change = ready(world, document)
    require_there_and_back(world, document, change)


@pytest.mark.long
def test_web_monthly_waits_for_each_service_and_goes_back(world: World) -> None:
    document = "runbooks/patch/web-monthly.yml"
    for name in HOSTS:
        script = f"mkdir -p /etc/lab-init.d && cat >/etc/lab-init.d/front <<'E'\n{FRONT}E\n"
        world.inside(name, f"{script}chmod 755 /etc/lab-init.d/front && /etc/lab-init.d/front")
        probe = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080), 2)' 2>/dev/null"
        wait_for(
            lambda name=name, probe=probe: world.inside(name, f"{probe} && echo yes || true") != "", "it"
        )
    require_there_and_back(world, document, ready(world, document))
