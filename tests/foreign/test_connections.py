"""Connections that are not ssh, over real targets, used as bare `ansible-playbook` uses them.

Containers stand in the storage of the tests. Custody takes from a play what a container engine needs to enter one by
itself; so plays reach the engine's service, which is a process of this machine like docker's daemon.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import collections_of_others
import pytest
import sham_router
from places import Place, wait_for
from sidebyside import Expect, bring, differences, run_bare, run_itmp

from itmp.plan.archive import from_tar

sys.path.append(str(Path(__file__).parents[1] / "integration"))
import environments

pytestmark = [pytest.mark.fleet, pytest.mark.foreign]
podman = pytest.mark.skipif(bool(environments.why_not()), reason=environments.why_not())
PLAY = """\
- hosts: web1
  gather_facts: true
  gather_subset: [min]
  tasks:
    - {name: Put, ansible.builtin.copy: {content: "{{ ansible_facts.distribution }}\\n", dest: /srv/note, mode: "0600"}}
    - {name: Tell, ansible.builtin.shell: "cat /srv/note >> /srv/journal; hostname >> /srv/journal"}
    - {name: Fails, ansible.builtin.command: "false", changed_when: false, ignore_errors: true}
    - {name: Script, ansible.builtin.script: say.sh}
    - {name: Read, ansible.builtin.slurp: {src: /srv/note}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine with one `container`, and its programs: `direct` acts by itself, `served` has the service act; in `bin` that one is `docker` too."""

    direct: Path
    served: Path
    bin: Path
    container: str


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "bin").mkdir()
    socket = tmp_path / "engine.sock"
    said = "".join(f"export {name}={value}\n" for name, value in environments.settings().items())
    name = f"itmp-lab-{secrets.token_hex(6)}"
    made = Engine(
        direct=tmp_path / "direct", served=tmp_path / "served", bin=tmp_path / "bin", container=name
    )
    for file, words in ((made.direct, ""), (made.served, f" --remote --url unix://{socket}")):
        file.write_text(f'#!/bin/sh\n{said}exec podman{words} "$@"\n')
        file.chmod(0o755)
    (made.bin / "docker").symlink_to(made.served)
    words = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
    service = subprocess.Popen(words, env={**os.environ, **environments.settings()})
    try:
        wait_for(socket.exists, "the engine's service")
        yield made
    finally:
        service.terminate()
        service.wait(60)
        gone(name)


def gone(name: str) -> None:
    environments.podman("rm", "--force", "--time=0", "--ignore", name)


def fresh(name: str) -> None:
    """Have a new container stand under the name."""
    gone(name)
    words = ("run", "--detach", f"--name={name}", f"--hostname={name}", "--network=none")
    environments.podman(*words, environments.image(), "sleep", "1200")


def inside(name: str) -> dict[str, str]:
    """What the play left in the container."""
    names = ("note", "journal", "said")
    return {one: environments.podman("exec", name, "cat", f"/srv/{one}", check=False).stdout for one in names}


COLLECTIONS = {
    "containers.podman.podman": ("containers/podman",),
    "community.docker.docker": ("community/docker", "community/library_inventory_filtering_v1"),
}


@podman
@pytest.mark.parametrize(
    ("plugin", "custody"),
    [("containers.podman.podman", ""), ("containers.podman.podman", "none"), ("community.docker.docker", "")],
    ids=["podman", "podman-by-itself", "docker"],
)
def test_a_container_is_entered_as_bare_ansible_enters_it(
    place: Place, engine: Engine, tmp_path: Path, plugin: str, custody: str
) -> None:
    tree = tmp_path / "tree"
    collections_of_others.bring(tree, *COLLECTIONS[plugin])
    (tree / "files").mkdir()
    (tree / "files" / "say.sh").write_text("#!/bin/sh\nhead -1 /etc/os-release > /srv/said\n")
    (tree / "site.yml").write_text(PLAY)
    if custody:
        place.write("itmp.yml", (place.root / "itmp.yml").read_text() + f"custody: {custody}\n")
    place.environ["PATH"] = f"{engine.bin}{os.pathsep}{place.environ['PATH']}"
    way = {
        "ansible_connection": plugin,
        "ansible_host": engine.container,
        "ansible_podman_executable": str(engine.direct if custody else engine.served),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    expect = Expect(feature=plugin, hosts={"web1": way})
    folder = bring(place, tree, expect)
    fresh(engine.container)
    bare, there = run_bare(place, folder, expect), inside(engine.container)
    assert there["journal"] == f"Debian\n{engine.container}\n"
    fresh(engine.container)
    ours = run_itmp(place, expect)
    assert differences(bare, ours) == {}
    assert inside(engine.container) == there
    assert place.sound()


ROUTER_PLAY = """\
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Look, ansible.netcommon.cli_command: {command: show interfaces}, register: seen}
    - {name: Say, ansible.builtin.assert: {that: "'192.0.2.1/24' in seen.stdout"}}
    - {name: Facts, vyos.vyos.vyos_command: {commands: [show version, show host name]}}
    - {name: Wrong, ansible.netcommon.cli_command: {command: show nonsense}, ignore_errors: true}
"""


def test_a_device_with_a_command_line_is_asked_as_bare_ansible_asks_it(place: Place, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    collections_of_others.bring(tree, "ansible/netcommon", "ansible/utils", "vyos/vyos")
    (tree / "site.yml").write_text(ROUTER_PLAY)
    key = place.fleet.login.key
    with sham_router.up(Path(f"{key}.pub")) as router:
        way = {
            "ansible_connection": "ansible.netcommon.network_cli",
            "ansible_network_os": "vyos.vyos.vyos",
            "ansible_network_cli_ssh_type": "paramiko",
            "ansible_host": "127.0.0.1",
            "ansible_port": router.port,
        }
        expect = Expect(feature="network_cli", hosts={"web1": way})
        folder = bring(place, tree, expect)
        known = Path(place.environ["HOME"]) / ".ssh" / "known_hosts"
        known.parent.mkdir(mode=0o700)
        known.write_text(router.known_hosts)
        bare, told = run_bare(place, folder, expect), list(router.told)
        router.told.clear()
        ours = run_itmp(place, expect)
        assert differences(bare, ours) == {}
        assert router.told == told
        assert {"show interfaces", "show version", "show nonsense"} <= set(told)
        router.told.clear()
        known.write_text("")
        book = place.root / "playbooks" / "site.yml"
        book.write_text(f"# another change\n{book.read_text()}")
        assert run_itmp(place, expect)["ends"] == "badly"
        assert router.told == []
        pins = place.root / "inventories" / "known_hosts"
        pins.write_text(pins.read_text() + router.known_hosts)
        known.write_text(f"[127.0.0.1]:{router.port} {place.fleet.host('web2').key}\n")
        done = place.itmp("run", place.ready(expect.runbook(place)), "--key", "alice", expect=12)
        assert "knows the device by no key that the plan pins" in done.err  # its own is RSA
        assert router.told == []
    assert place.sound()


CARRIED = {
    "web1": {"ansible_connection": "winrm", "ansible_become_method": "runas"},
    "web2": {"ansible_connection": "psrp"},
    "web3": {"ansible_connection": "ansible.netcommon.httpapi", "ansible_network_os": "vyos.vyos.vyos"},
    "lb1": {"ansible_connection": "ansible.netcommon.netconf", "ansible_network_os": "vyos.vyos.vyos"},
}


def test_what_has_no_target_here_is_carried_and_recorded(place: Place, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    collections_of_others.bring(tree, "ansible/netcommon", "ansible/utils", "vyos/vyos")
    (tree / "site.yml").write_text("- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n")
    expect = Expect(feature="carried", hosts=CARRIED)
    bring(place, tree, expect)
    place.write("runbooks/r.yml", expect.runbook(place))
    place.itmp("plan", "runbooks/r.yml", "-o", "r.plan.tar", expect=17)
    place.itmp(
        "plan",
        "runbooks/r.yml",
        "-o",
        "r.plan.tar",
        expect=0,
        PYTHONPATH=str(collections_of_others.libraries()),
    )
    plan = from_tar((place.root / "r.plan.tar").read_bytes())
    assert plan.manifest.inventory is not None
    assert dict(plan.manifest.inventory.ways) == {
        host: values["ansible_connection"] for host, values in CARRIED.items()
    }
    held = "ansible_collections/ansible/netcommon/plugins/connection/httpapi.py"
    assert any(path.endswith(held) for path in plan.manifest.artifacts)
