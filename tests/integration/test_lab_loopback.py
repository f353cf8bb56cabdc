"""A loopback fleet is real OpenSSH, counts who came, and leaves nothing behind."""

import json
import marshal
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from itmp.errors import BusyError, InvalidInputError, NotFoundError
from itmp.lab import loopback
from itmp.lab._keeping import read_state, started

pytestmark = [pytest.mark.fleet, pytest.mark.xdist_group("loopback")]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.LoopbackFleet]:
    folder = tmp_path_factory.mktemp("loopback")
    with loopback.up(folder / "fleet", 3, groups={"web": ["host1", "host2"], "db": ["host3"]}) as fleet:
        yield fleet


def ssh(fleet: loopback.LoopbackFleet, name: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(fleet.ssh(name, *command), capture_output=True, text=True, timeout=60, check=False)


def gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while started(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not started(pid)


def test_each_host_answers_with_its_pinned_key_and_its_own_home(fleet: loopback.LoopbackFleet) -> None:
    seen = [ssh(fleet, host.name, "echo $HOME $ITMP_LAB_HOST").stdout.split() for host in fleet.hosts]
    assert seen == [[str(host.root), host.name] for host in fleet.hosts]
    assert len({host.key for host in fleet.hosts}) == 3


def test_connections_are_counted_per_host(fleet: loopback.LoopbackFleet) -> None:
    before = {host.name: fleet.connections(host.name) for host in fleet.hosts}
    ssh(fleet, "host2", "true")
    ssh(fleet, "host2", "true")
    after = {host.name: fleet.connections(host.name) for host in fleet.hosts}
    assert {name: after[name] - before[name] for name in after} == {"host1": 0, "host2": 2, "host3": 0}


def test_a_stranger_is_refused(fleet: loopback.LoopbackFleet, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True, timeout=30)
    stranger = loopback.LoopbackFleet(
        folder=tmp_path,
        hosts=fleet.hosts,
        login=loopback.Login(user=fleet.login.user, key=other, interpreter=""),
    )
    answer = ssh(stranger, "host1", "echo in")
    assert (answer.returncode, answer.stdout) == (255, "")
    assert "Permission denied" in answer.stderr


def test_a_stopped_host_refuses_ends_its_processes_and_comes_back_on_its_port(
    fleet: loopback.LoopbackFleet,
) -> None:
    left = int(ssh(fleet, "host3", "nohup sleep 600 >/dev/null 2>&1 & echo $!").stdout)
    assert started(left)
    fleet.stop_host("host3")
    assert "refused" in ssh(fleet, "host3", "true").stderr
    assert gone(left)
    fleet.start_host("host3")
    assert ssh(fleet, "host3", "echo back").stdout == "back\n"


@pytest.mark.parametrize("name", ["hosts.ini", "hosts.yml"])
def test_ansible_reads_the_inventory_and_reaches_the_hosts(
    fleet: loopback.LoopbackFleet, tmp_path: Path, name: str
) -> None:
    fleet.write_inventory(tmp_path / name)
    (tmp_path / "known_hosts").write_text(fleet.known_hosts)
    play = [{"hosts": "web", "gather_facts": False, "tasks": [
        {"ansible.builtin.copy": {"dest": "{{ host_root }}/made", "content": "{{ inventory_hostname }}", "mode": "0600"}}]}]  # fmt: skip
    (tmp_path / "play.yml").write_text(json.dumps(play))
    environment = {
        **os.environ,
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_COMMON_ARGS": f"-F none -o ControlMaster=no -o UserKnownHostsFile={tmp_path}/known_hosts",
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }
    playbook = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(playbook), "-i", str(tmp_path / name), str(tmp_path / "play.yml")],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = {
        host.name: (host.root / "made").read_text() for host in fleet.hosts if (host.root / "made").exists()
    }
    assert made == {"host1": "host1", "host2": "host2"}
    for host in fleet.hosts:
        (host.root / "made").unlink(missing_ok=True)


def test_down_ends_what_sessions_left_behind_from_another_process(tmp_path: Path) -> None:
    fleet = loopback.up(tmp_path / "fleet", 1, detached=True)
    try:
        left = int(ssh(fleet, "host1", "setsid nohup sleep 600 >/dev/null 2>&1 & echo $!").stdout)
        code = f"from pathlib import Path; from itmp.lab import loopback; loopback.attach(Path({str(fleet.folder)!r})).down()"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        assert gone(left)
        assert "refused" in ssh(fleet, "host1", "true").stderr
    finally:
        fleet.down()


def test_a_fleet_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from itmp.lab import loopback;"
        "f = loopback.up(Path(sys.argv[1]), 1); print(f.hosts[0].port, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "fleet")], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        keeper = read_state(tmp_path / "fleet")["keeper"]
        assert started(keeper)
        owner.send_signal(signal.SIGKILL)
    assert gone(keeper)


def test_a_detached_fleet_survives_its_starter(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from itmp.lab import loopback; loopback.up(Path(sys.argv[1]), 1, detached=True)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "fleet")], check=True, timeout=60)
    with loopback.attach(tmp_path / "fleet") as fleet:
        assert ssh(fleet, "host1", "echo alive").stdout == "alive\n"
    assert gone(read_state(tmp_path / "fleet")["keeper"])


def test_a_second_fleet_in_the_same_folder_is_refused_and_the_first_lives_on(
    fleet: loopback.LoopbackFleet,
) -> None:
    with pytest.raises(BusyError):
        loopback.up(fleet.folder, 1)
    assert ssh(fleet, "host1", "echo here").stdout == "here\n"


def test_down_spares_a_process_that_only_has_the_keepers_number(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        (tmp_path / "fleet.json").write_text(
            json.dumps(
                {"keeper": bystander.pid, "started": started(bystander.pid), "kind": "loopback", "hosts": []}
            )
        )
        loopback.attach(tmp_path).down()
        assert bystander.poll() is None
        bystander.kill()


def test_it_needs_no_root(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from itmp.lab import loopback; import subprocess\n"
        "with loopback.up(Path(sys.argv[1]), 1) as f:\n"
        "    h = f.hosts[0]; k = Path(sys.argv[1]) / 'k'; k.write_text(f.known_hosts)\n"
        "    sys.exit(subprocess.run(['ssh', '-F', 'none', '-i', str(f.login.key), '-oBatchMode=yes', f'-oUserKnownHostsFile={k}',\n"
        "        '-p', str(h.port), f'{f.login.user}@127.0.0.1', 'id -u']).returncode)"
    )
    if os.getuid() != 0:  # then every test here has shown it
        return
    os.chown(tmp_path, 65534, 65534)
    passwd = tmp_path / "passwd"
    passwd.write_text(f"root:x:0:0::/root:/bin/sh\nplain:x:65534:65534::{tmp_path}:/bin/sh\n")
    # An account that may log in, in a mount namespace of its own. Reading is allowed everywhere: the interpreter
    # and the folders above `tmp_path` may be private to root.
    plain = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    inside = f'mount --bind {passwd} /etc/passwd && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", inside, "sh", *plain, *reading, sys.executable, "-c", code]
    done = subprocess.run(
        [*command, str(tmp_path / "fleet")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "65534\n"), done.stderr


@pytest.mark.parametrize(("count", "names"), [(0, None), (2, ["a"]), (2, ["a", "a"])])
def test_a_wrong_count_is_refused_before_anything_starts(
    tmp_path: Path, count: int, names: list[str] | None
) -> None:
    with pytest.raises(InvalidInputError):
        loopback.up(tmp_path / "fleet", count, names=names)
    assert not (tmp_path / "fleet").exists()


def test_a_folder_without_a_fleet_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no fleet"):
        loopback.attach(tmp_path)


ARCHIVED = "def where():\n    return where.__code__.co_filename\n"


def ask_archive(fleet: loopback.LoopbackFleet, archive: Path) -> str:
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("archived.py", f"{ARCHIVED}# {archive.parent}\n")  # one that no other test has sent
    told = f"import sys; sys.path.insert(0, '{archive}'); import archived; print(archived.where())"
    return ssh(fleet, "host1", f'{sys.executable} -c "{told}"').stdout


def kept_codes(fleet: loopback.LoopbackFleet) -> set[Path]:
    """Return what the hosts kept; Python's own folder for the code of `sitecustomize.py` appears when one starts it."""
    return {file for file in (fleet.folder / "python").iterdir() if file.is_file() and not file.suffix}


def test_what_a_host_compiled_from_an_archive_it_does_not_compile_again(
    fleet: loopback.LoopbackFleet, tmp_path: Path
) -> None:
    before = kept_codes(fleet)
    for name in ("one.zip", "two.zip"):  # each time Ansible sends one, it lies elsewhere
        assert ask_archive(fleet, tmp_path / name) == f"{tmp_path}/{name}/archived.py\n"
    (file,) = kept_codes(fleet) - before
    file.write_bytes(marshal.dumps(compile("def where():\n    return 'kept'\n", "", "exec")))
    assert ask_archive(fleet, tmp_path / "one.zip") == "kept\n"


def test_what_cannot_be_read_again_is_compiled_as_ever(fleet: loopback.LoopbackFleet, tmp_path: Path) -> None:
    ask_archive(fleet, tmp_path / "one.zip")
    for file in kept_codes(fleet):
        file.write_bytes(b"\xe3")
    assert ask_archive(fleet, tmp_path / "one.zip") == f"{tmp_path}/one.zip/archived.py\n"
