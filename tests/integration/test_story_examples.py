"""The examples on real hosts and a real engine: each is run as it lies in the repository, and does what it says.

What an example did is read from the hosts' own files and from the cloud double, never from what `itmp` says of itself.
The tests share one workspace over one small web tier; each leaves the tier healthy, so that they hold in any order.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from places import Place

from itmp.lab import loopback
from itmp.testing.cloud import Cloud

pytestmark = [pytest.mark.engine, pytest.mark.fleet, pytest.mark.xdist_group("examples")]

ROOT = Path(__file__).parents[2]
GROUP = "web-asg"
WEB = ("web1", "web2")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as double:
        double.group(GROUP, desired=4)
        double.service("prod", "api", desired=3)
        yield double


@pytest.fixture(scope="module")
def tier(
    tmp_path_factory: pytest.TempPathFactory, hosts: loopback.LoopbackFleet, cloud: Cloud
) -> Iterator[Place]:
    """A workspace with every example, and the web service on each web host, put there by its own runbook."""
    place = Place.found(tmp_path_factory.mktemp("examples") / "w", hosts)
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # where the engine lies
        place.environ.update({**cloud.environ, "XDG_CACHE_HOME": caches})
        for part in ("playbooks", "runbooks", "stacks"):
            shutil.copytree(ROOT / part, place.root / part, ignore=shutil.ignore_patterns("__pycache__"))
        leave_out(place, "web3")  # two hosts make two batches; a third one adds time alone
        first = carry_out(place, "runbooks/operate/install-web.yml")
        place.json(
            "change", "close", first, "--reason", "done", "--key", "alice"
        )  # so that it can run once more
        yield place
    finally:
        place.leave()


def leave_out(place: Place, host: str) -> None:
    path = place.root / "inventories/hosts.yml"
    tree = yaml.safe_load(path.read_text())
    for group in (tree["all"], *tree["all"]["children"].values()):
        group.get("hosts", {}).pop(host, None)
    path.write_text(yaml.safe_dump(tree))


def carry_out(place: Place, document: str, *words: str, expect: int = 0) -> str:
    """Propose as alice, approve as bob, run as alice; return the change; it has not run before."""
    why = ("--reason", "example", "--key", "alice")
    change = str(place.json("propose", document, *words, *why)["change"])
    place.approve(change)
    done = place.run(change, expect=expect)
    assert not done.get("replayed")
    return change


def web(place: Place, host: str, path: str) -> str:
    return (place.on(host) / "web" / path).read_text()


def generations(place: Place) -> list[int]:
    return [int(web(place, host, "state/generation")) for host in WEB]


def configurations(place: Place) -> list[str]:
    """Return what each host's service runs with; it is what lies on its disk."""
    told = [web(place, host, "state/running.conf") for host in WEB]
    assert told == [web(place, host, "etc/web.conf") for host in WEB]
    return told


def greeting(host: str, words: str, revision: str, connections: int) -> str:
    told = f"server_name {host}\ngreeting {words}\nmax_connections {connections}\n"
    return f"# Written by the playbook web_config; revision {revision}\n{told}"


def test_install_web_starts_the_service_once(tier: Place) -> None:
    assert [web(tier, host, "state/status") for host in WEB] == ["running\n"] * 2
    before = generations(tier)
    configured = configurations(tier)
    carry_out(tier, "runbooks/operate/install-web.yml")
    assert (generations(tier), configurations(tier)) == (before, configured)


@pytest.mark.long
def test_restart_web_drains_restarts_and_puts_back(tier: Place) -> None:
    before = generations(tier)
    change = carry_out(tier, "runbooks/operate/restart-web.yml", "--set", "drain_seconds=0")
    assert generations(tier) == [one + 1 for one in before]
    drained = tier.on("lb1") / "lb/drained"
    assert drained.is_dir()
    assert not list(drained.iterdir())
    told = [leaf.event for leaf in tier.leaves(change) if leaf.event.type == "slice.intended"]
    batches = [["web1"], ["web2"]]
    steps = ["drain", "restart", "healthy", "undrain"]
    wanted = [(step, batch) for batch in batches for step in steps] + [("reachable", list(WEB))]
    assert [(event.step, (event.data or {})["hosts"]) for event in told] == wanted


@pytest.mark.long
def test_restart_web_puts_a_host_back_whose_restart_failed(tier: Place) -> None:
    before = generations(tier)
    program = tier.on("web1") / "web/bin/webctl"
    whole = program.read_text()
    try:
        program.write_text("#!/bin/sh\nexit 1\n")
        carry_out(tier, "runbooks/operate/restart-web.yml", "--set", "drain_seconds=1", expect=13)
    finally:
        program.write_text(whole)
    assert generations(tier) == [before[0], before[1] + 1]  # one host may fail: the other one had its turn
    assert not list((tier.on("lb1") / "lb/drained").iterdir())


@pytest.mark.long
def test_config_rollout_takes_itself_back_where_a_host_cannot_bear_it(tier: Place) -> None:
    before, told = configurations(tier), generations(tier)
    limit = tier.on("web2") / "web/etc/host_limit"
    limit.write_text("500\n")
    try:
        words = ("--set", "revision=r2", "--set", "max_connections=900")
        carry_out(tier, "runbooks/operate/config-rollout.yml", *words, expect=20)
    finally:
        limit.unlink()
    assert configurations(tier) == before
    assert generations(tier)[0] == told[0] + 2  # there and back: the first batch had the new configuration


@pytest.mark.long
def test_scale_and_configure_moves_group_and_hosts_and_back(tier: Place, cloud: Cloud) -> None:
    cloud.set_desired(GROUP, 4)
    before = configurations(tier)
    words = ("--set", "size=7", "--set", "revision=w1", "--set", "max_connections=450")
    change = carry_out(tier, "runbooks/operate/scale-and-configure.yml", *words)
    assert cloud.desired(GROUP) == 7
    assert configurations(tier) == [greeting(host, "welcome", "w1", 450) for host in WEB]
    tier.json("undo", change, "--key", "alice")
    assert cloud.desired(GROUP) == 4
    assert configurations(tier) == before


@pytest.mark.long
def test_web_scale_out_moves_the_group_and_the_service_and_back(tier: Place, cloud: Cloud) -> None:
    cloud.set_desired(GROUP, 4)
    change = carry_out(tier, "runbooks/capacity/web-scale-out.yml", "--set", "size=9")
    assert (cloud.desired(GROUP), cloud.count("prod", "api")) == (9, 5)
    again = tier.run(change)
    assert again["replayed"] is True
    assert list(again["hosts"].values()) == ["changed", "changed"]
    assert tier.json("status", change)["hosts"] == again["hosts"]
    tier.json("undo", change, "--key", "alice")
    assert (cloud.desired(GROUP), cloud.count("prod", "api")) == (4, 3)


@pytest.mark.long
def test_host_records_are_collected_and_held_against_the_log(tier: Place, tmp_path: Path) -> None:
    def note(host: str, at: datetime, user: str) -> None:
        folder = tier.on(host) / "var/log"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "auth.log").open("a") as file:
            line = f"Accepted publickey for {user} from 10.0.0.1 port 22 ssh2"
            file.write(f"{at:%Y-%m-%dT%H:%M:%SZ} {host} sshd[7]: {line}\n")

    worked = carry_out(tier, "runbooks/operate/restart-web.yml", "--set", "drain_seconds=2")
    slices = [leaf.event for leaf in tier.leaves(worked) if leaf.event.type == "slice.intended"]
    for host in WEB:
        began = next(event.t for event in slices if host in (event.data or {})["hosts"])
        note(host, datetime.fromisoformat(began), "deploy")
    note("web2", datetime.fromisoformat(slices[0].t) - timedelta(days=2), "mallory")
    change = carry_out(tier, "runbooks/audit/host-records.yml", "--set", f"records={tmp_path / 'records'}")
    assert {host: (tmp_path / "records" / host / "auth.log").is_file() for host in WEB} == dict.fromkeys(
        WEB, True
    )
    found = tier.json("audit", "reconcile", "--records", str(tmp_path / "records"), expect=41)
    strangers = [row for row in found["disagreements"] if row["name"] == "login-outside-run"]
    assert [(row["place"], row["what"].partition(" ")[0]) for row in strangers] == [("web2", "mallory")]
    whole = tier.json("audit", "population")
    assert {worked, change} <= {row["change"] for row in whole["changes"]}
    drawn = tier.json("audit", "sample", "--seed", "x", "--n", "1")["drawn"]
    assert [row["change"] for row in drawn] == [
        min(
            (row["change"] for row in whole["changes"]),
            key=lambda name: sha256(b"itmp/sample/v1\0x\0" + name.encode()).digest(),
        )
    ]
