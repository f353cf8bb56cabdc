"""Namespace hosts are Debian machines of their own, reboot for real, and vanish whichever way they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from itmp import lab
from itmp.lab import namespaces
from itmp.lab._hub import LINK
from itmp.lab._keeping import read_state, started

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[namespaces.NamespaceFleet]:
    with namespaces.up(tmp_path_factory.mktemp("namespaces") / "fleet", 2) as fleet:
        yield fleet


def inside(fleet: lab.Fleet, name: str, script: str) -> str:
    done = subprocess.run(
        fleet.inside(name, ["sh", "-c", script]), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def ssh(fleet: lab.Fleet, name: str, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(fleet.ssh(name, command), capture_output=True, text=True, timeout=60, check=False)


def eventually(condition: object) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if callable(condition) and condition():
            return True
        time.sleep(0.05)
    return False


def test_ssh_reaches_each_host_by_its_pinned_key_and_only_that_is_counted(
    fleet: namespaces.NamespaceFleet,
) -> None:
    before = {host.name: fleet.connections(host.name) for host in fleet.hosts}
    assert ssh(fleet, "host2", "hostname").stdout == "host2\n"
    after = {host.name: fleet.connections(host.name) for host in fleet.hosts}
    assert {name: after[name] - before[name] for name in after} == {"host1": 0, "host2": 1}


def test_each_host_has_its_own_package_database(fleet: namespaces.NamespaceFleet) -> None:
    inside(fleet, "host1", "dpkg --purge itmp-demo")
    version = "dpkg-query -W -f '${Version}' itmp-demo 2>/dev/null || true"
    assert [inside(fleet, name, version) for name in ("host1", "host2")] == ["", "1.0"]
    fleet.reset("host1")
    assert inside(fleet, "host1", version) == "1.0"


def test_a_release_is_seen_at_once(fleet: namespaces.NamespaceFleet) -> None:
    candidate = "apt-get -qq update; apt-cache policy itmp-demo | sed -n 's/.*Candidate: //p'"
    assert inside(fleet, "host2", candidate) == "1.0\n"
    fleet.release_update()
    assert inside(fleet, "host2", candidate) == "2.0\n"


def test_a_reboot_is_real_and_keeps_the_disk(fleet: namespaces.NamespaceFleet) -> None:
    inside(fleet, "host1", "echo kept > /root/note; echo lost > /run/note")
    boots = fleet.boots("host1")
    ssh(fleet, "host1", "shutdown -r now")
    assert eventually(lambda: len(fleet.boots("host1")) > len(boots))
    assert eventually(lambda: ssh(fleet, "host1", "true").returncode == 0)
    assert fleet.boots("host1")[-1] == inside(fleet, "host1", "cat /proc/sys/kernel/random/boot_id").strip()
    assert inside(fleet, "host1", "cat /root/note; ls /run/note 2>/dev/null || true") == "kept\n"


def test_a_stopped_host_refuses_and_comes_back_with_its_disk(fleet: namespaces.NamespaceFleet) -> None:
    inside(fleet, "host2", "echo kept > /root/note")
    fleet.stop_host("host2")
    assert ssh(fleet, "host2", "true").returncode == 255
    fleet.start_host("host2")
    assert ssh(fleet, "host2", "cat /root/note").stdout == "kept\n"


def test_a_power_off_stays_off(fleet: namespaces.NamespaceFleet) -> None:
    ssh(fleet, "host2", "poweroff")
    assert eventually(lambda: ssh(fleet, "host2", "true").returncode == 255)
    fleet.start_host("host2")
    assert ssh(fleet, "host2", "echo on").stdout == "on\n"


def test_hosts_reach_nothing_outside_the_lab(fleet: namespaces.NamespaceFleet) -> None:
    assert inside(fleet, "host1", "ip route").strip().splitlines() == [
        f"10.77.{fleet.subnet}.0/24 dev eth0 proto kernel scope link src 10.77.{fleet.subnet}.11"
    ]


def test_two_labs_live_side_by_side_and_ending_one_spares_the_other(
    fleet: namespaces.NamespaceFleet, tmp_path: Path
) -> None:
    with namespaces.up(tmp_path / "other", 1) as other:
        assert other.subnet != fleet.subnet
        assert ssh(other, "host1", "hostname").stdout == "host1\n"
    assert not Path(f"/sys/class/net/{LINK}{other.subnet}").exists()
    assert ssh(fleet, "host1", "hostname").stdout == "host1\n"


@pytest.mark.parametrize("victim", ["owner", "keeper"])
def test_nothing_is_left_when_a_process_is_killed(tmp_path: Path, victim: str) -> None:
    code = (
        "import sys, time; from pathlib import Path; from itmp.lab import namespaces;"
        "f = namespaces.up(Path(sys.argv[1]), 1); print(f.subnet, f.hub, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lab")], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        subnet, hub = owner.stdout.readline().split()
        keeper = read_state(tmp_path / "lab")["keeper"]
        os.kill(owner.pid if victim == "owner" else keeper, signal.SIGKILL)
        try:
            assert eventually(lambda: not started(keeper) and not started(int(hub)))
            assert eventually(lambda: not Path(f"/sys/class/net/{LINK}{subnet.decode()}").exists())
        finally:
            owner.kill()


def test_the_lab_of_a_person_outlives_its_command_and_ends_by_another(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from itmp import lab; lab.up(Path(sys.argv[1]), 1, kind='namespaces')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lab")], check=True, timeout=300)
    try:
        assert lab.execute(tmp_path / "lab", "host1", ["test", "-e", "/etc/itmp-lab-host"]) == 0
        assert lab.execute(tmp_path / "lab", "host1", ["false"]) == 1
        known = (tmp_path / "lab" / "known_hosts").read_text()
        assert known == lab.attach(tmp_path / "lab").known_hosts
    finally:
        lab.down(tmp_path / "lab")
    assert not started(read_state(tmp_path / "lab")["keeper"])
    lab.down(tmp_path / "lab")
