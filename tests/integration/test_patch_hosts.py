"""A patch on real Debian hosts: locked versions arrive ring by ring, reboots are proved, the way back works."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from itmp import patching
from itmp.adapters import apt
from itmp.adapters.ansible import AnsibleSources
from itmp.canonical import digest
from itmp.documents import parse
from itmp.errors import InvalidInputError
from itmp.lab import _packages as packages
from itmp.lab import namespaces
from itmp.patching import PatchSchedule
from itmp.plan import AnsibleStep, Plan, RollingStep, Source

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]

SCHEDULE = b"""\
itmp: patch-schedule/v1
name: lab
title: Patch the lab
owner: team-lab
environment: lab
risk: low
lock: lab.lock.json
rings:
  - {name: canary, hosts: ring0}
  - {name: rest, hosts: ring1}
packages: [itmp-demo]
checks:
  - {id: audit, command: {argv: [dpkg, --audit]}, within: 4s}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Two hosts at version 1.0, version 2.0 published, and the plan that brings them there."""

    fleet: namespaces.NamespaceFleet
    root: Path
    document: PatchSchedule
    plan: Plan

    def step(self, name: str) -> AnsibleStep:
        blocks = [step.steps for step in self.plan.manifest.steps if isinstance(step, RollingStep)]
        steps = [step for block in blocks for step in block] + list(self.plan.manifest.undo)
        return next(step for step in steps if isinstance(step, AnsibleStep) and step.id == name)

    def play(self, *names: str, limit: str = "all") -> subprocess.CompletedProcess[str]:
        """Run the plan's own plays by stock ansible-playbook, one after the other."""
        files = []
        for name in names:
            files.append(self.root / f"{name}.yml")
            files[-1].write_bytes(self.plan.artifact(self.step(name).playbook))
        known = self.root / "inventories/known_hosts"
        environment = {
            **os.environ,
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_HOME": str(self.root / "home"),
            "ANSIBLE_SSH_ARGS": f"-F none -o ControlMaster=no -o UserKnownHostsFile={known}",
        }
        inventory = str(self.root / "inventories/hosts.yml")
        return subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", inventory, "-l", limit, *map(str, files)],
            env=environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def inside(self, name: str, script: str) -> str:
        argv = self.fleet.inside(name, ["sh", "-c", script])
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout

    def versions(self, name: str) -> list[str]:
        return self.inside(name, "dpkg-query -W -f '${Package} ${Version}\\n' 'itmp-*'").splitlines()

    def publish_only(self, version: str) -> None:
        repository = self.fleet.folder / "repo"
        shutil.rmtree(repository)
        packages.publish(repository, version)


OLD = ["itmp-demo 1.0", "itmp-lib 1.0"]
NEW = ["itmp-demo 2.0", "itmp-lib 2.0"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("patch")
    groups = {"ring0": ["a1"], "ring1": ["b1"]}
    with namespaces.up(root / "fleet", 2, names=["a1", "b1"], groups=groups) as fleet:
        (root / "inventories").mkdir()
        fleet.write_inventory(root / "inventories/hosts.yml")
        (root / "inventories/known_hosts").write_text(fleet.known_hosts)
        fleet.release_update()
        document = parse("lab.yml", SCHEDULE, patching.KINDS)
        assert isinstance(document, PatchSchedule)
        sources = AnsibleSources(root, ("inventories/hosts.yml",))
        lock = patching.resolve(document, apt.read(document, sources.gather(apt.reading_needs(document))))
        facts = sources.gather(patching.needs(document, {}, lock=lock))
        source = Source(path="lab.yml", digest=digest(SCHEDULE))
        plan = patching.freeze(document, {}, facts, source=source, lock=lock)
        yield World(fleet=fleet, root=root, document=document, plan=plan)


@pytest.fixture
def fresh(world: World) -> World:
    """The world with both hosts and the repository as at the start."""
    packages.publish(world.fleet.folder / "repo", packages.OLD)
    packages.publish(world.fleet.folder / "repo", packages.NEW)
    for host in world.fleet.hosts:
        world.fleet.reset(host.name)
    return world


def test_resolving_reads_ring_0_alone_and_changes_nothing(fresh: World) -> None:
    lock = patching.read_lock(fresh.plan.artifact("patching/lock.json"), "lock")
    assert {name: (one.old, one.new, one.back) for name, one in lock.packages.items()} == {
        "itmp-demo": ("1.0", "2.0", True),
        "itmp-lib": ("1.0", "2.0", True),
    }
    lists = "ls /var/lib/apt/lists; ls -d /tmp/tmp.* 2>/dev/null || true"
    before = fresh.inside("a1", lists)
    sources = AnsibleSources(fresh.root, ("inventories/hosts.yml",))
    again = apt.read(fresh.document, sources.gather(apt.reading_needs(fresh.document)))
    assert patching.resolve(fresh.document, again) == fresh.plan.artifact("patching/lock.json")
    assert fresh.inside("a1", lists) == before
    assert (fresh.fleet.connections("b1"), fresh.versions("a1")) == (0, OLD)


def test_a_host_without_a_pinned_key_is_not_even_asked(fresh: World, tmp_path: Path) -> None:
    shutil.copytree(fresh.root / "inventories", tmp_path / "inventories")
    (tmp_path / "inventories/known_hosts").write_text(fresh.fleet.host("b1").known_hosts)
    facts = AnsibleSources(tmp_path, ("inventories/hosts.yml",)).gather(apt.reading_needs(fresh.document))
    with pytest.raises(InvalidInputError, match="no pinned host key: a1"):
        apt.read(fresh.document, facts)
    assert fresh.fleet.connections("a1") == 0


def test_rings_are_patched_rebooted_and_brought_back(fresh: World) -> None:
    assert fresh.play("canary-verify").returncode == 2, "the proof must fail before the effect"
    done = fresh.play("canary-apply", "canary-verify", "canary-reboot", "canary-check-audit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (fresh.versions("a1"), fresh.versions("b1")) == (NEW, OLD)
    assert (len(set(fresh.fleet.boots("a1"))), len(fresh.fleet.boots("b1"))) == (2, 1)
    done = fresh.play("rest-apply", "rest-verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fresh.versions("b1") == NEW
    again = fresh.play("canary-apply", "canary-reboot", "rest-undo", "canary-undo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (fresh.versions("a1"), fresh.versions("b1")) == (OLD, OLD)
    assert len(fresh.fleet.boots("a1")) == 2, "a host that asks for no reboot gets none"


def test_a_host_with_another_version_is_refused_before_any_effect(fresh: World) -> None:
    subprocess.run(
        fresh.fleet.inside("b1", ["sh", "-c", "cat >/odd.deb && dpkg --install /odd.deb"]),
        input=packages.build("itmp-lib", "1.5"), capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    done = fresh.play("rest-apply")
    assert done.returncode == 2
    assert "itmp-lib=1.5" in done.stdout
    assert fresh.versions("b1") == ["itmp-demo 1.0", "itmp-lib 1.5"]


def test_a_version_that_is_no_longer_offered_is_refused_before_any_effect(fresh: World) -> None:
    fresh.publish_only(packages.OLD)
    done = fresh.play("rest-apply")
    assert done.returncode == 2
    assert "2.0" in done.stdout
    assert fresh.versions("b1") == OLD


def test_what_apt_would_touch_beyond_the_lock_is_refused(fresh: World) -> None:
    """A newer itmp-demo needs a package that the lock does not know: nothing is installed."""
    repository = fresh.fleet.folder / "repo"
    extra = packages.build("itmp-extra", "1.0")
    (repository / "itmp-extra_1.0_all.deb").write_bytes(extra)
    packages.publish(repository, packages.NEW)
    fresh.inside("b1", "apt-get -qq update && apt-get -qq install -y itmp-extra=1.0 >/dev/null 2>&1")
    fresh.inside("b1", "sed -i '/^Package: itmp-extra/a Conflicts: itmp-lib (>= 2.0)' /var/lib/dpkg/status")
    done = fresh.play("rest-apply")
    assert done.returncode == 2
    assert "itmp-extra" in done.stdout
    assert [line for line in fresh.versions("b1") if "extra" not in line] == OLD
    (repository / "itmp-extra_1.0_all.deb").unlink()
