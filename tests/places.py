"""A workspace over real SSH hosts, driven by the real `itmp` process, as a person would.

Each host of the fleet writes a journal of what really happened to it, independent of everything that itmp says: the
program `act NAME` notes `begin NAME`, waits while a file `hold-NAME` exists, fails where `fail-NAME` exists, notes
`end NAME`; like a daemon it outlives the connection that started it. A test holds an action, does its harm at that very moment, and lets go: nothing is timed.
"""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from itmp.audit import Leaf
from itmp.change import team_policy
from itmp.lab import loopback
from itmp.lab.fleet import make_key
from itmp.workspace import Workspace, approve, audit_verify, init_roots, open_change, seal
from itmp.workspace.planning import read_plan_file

WEB: Final = ("web1", "web2", "web3")
NAMES: Final = ("alice", "bob", "carol")
BIN: Final = Path(sys.executable).parent
PATIENCE: Final = 240.0
"""Seconds after which a wait is given up: never how long something takes, only when it has gone wrong."""
TOKEN: Final = "ITMP_RUN_TOKEN"
ACT: Final = """\
#!/bin/sh
trap "" HUP
cd "$(dirname "$0")" || exit 9
echo "begin $1" >> journal
while [ -e "hold-$1" ]; do sleep 0.05; done
if [ -e "fail-$1" ]; then echo "fail $1" >> journal; exit 1; fi
echo "end $1" >> journal
"""
ROLES: Final = {
    "alice": ("sre", "owner"),
    "bob": ("sre", "approver", "owner"),
    "carol": ("sre", "approver", "owner"),
}


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.LoopbackFleet]:
    with loopback.up(
        tmp_path_factory.mktemp("fleet"), 4, names=(*WEB, "lb1"), groups={"web": WEB, "lb": ["lb1"]}
    ) as fleet:
        yield fleet


@pytest.fixture
def place(tmp_path: Path, hosts: loopback.LoopbackFleet) -> Iterator["Place"]:
    made = Place.found(tmp_path / "w", hosts)
    try:
        yield made
    finally:
        made.leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    rc: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that `--json` printed."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


_PLANS: Final[dict[tuple[str, ...], bytes]] = {}
"""Plan files that this worker has compiled, by all that went into them: compiling is half of a story's time."""


@dataclass(slots=True, kw_only=True)
class Place:
    """One test's workspace. Its folder on each host is `w`, as in every test: equal plans are compiled once."""

    root: Path
    fleet: loopback.LoopbackFleet
    environ: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)

    @classmethod
    def found(cls, root: Path, fleet: loopback.LoopbackFleet) -> "Place":
        """Found a log with three people over `fleet`, in this process: it is not what is tested here."""
        root.mkdir(parents=True)
        home = root.parent / "home"
        for folder in ("tmp", "cache"):
            (home / folder).mkdir(parents=True)
        environ = {**os.environ, "HOME": str(home), "TMPDIR": str(home / "tmp"), "NO_COLOR": "1"}
        environ |= {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        environ |= {"PYTHONWARNINGS": "", "LC_ALL": "C.UTF-8"}
        for name in ("ITMP_KEY", "ITMP_WORKSPACE", "SSH_AUTH_SOCK", "XDG_CACHE_HOME"):
            environ.pop(name, None)
        made = cls(root=root, fleet=fleet, environ=environ)
        made.begin()
        return made

    def begin(self) -> None:
        """Write keys, inventory and genesis; furnish the hosts."""
        people = {}
        for name in NAMES:
            people[f"{name}@example.com"] = (
                make_key(self.root / name, f"{name}@example.com"),
                ROLES[name],
            )
        self.write("policy.yml", team_policy(people).decode())
        self.write("itmp.yml", "organization: example.com\nlog: ops\ninventories: [inventories/hosts.yml]\n")
        pubs = tuple(self.root / f"{name}.pub" for name in ("alice", "bob"))
        texts = init_roots(self.root, pubs, organization="example.com", policy=self.root / "policy.yml")
        for name, text in zip(("alice", "bob"), texts, strict=True):
            self.sign(name, text.path, "enrol")
        seal(self.root, tuple(Path(f"{text.path}.sig") for text in texts))
        self.furnish()
        self.inventory()
        self.before = {host.name: self.fleet.connections(host.name) for host in self.fleet.hosts}

    def furnish(self) -> None:
        """Give each host its folder."""
        for host in self.fleet.hosts:
            self.on(host.name).mkdir()
            (self.on(host.name) / "act").write_text(ACT)
            (self.on(host.name) / "journal").touch()

    def leave(self) -> None:
        """End what this test started; let go of every held action."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)
        for host in self.fleet.hosts:
            mine = self.on(host.name)
            for held in mine.glob("hold-*"):
                held.unlink()
            mine.rename(mine.with_name(f"w-{time.monotonic_ns()}"))

    def write(self, path: str, text: str) -> Path:
        """Write a file of the workspace."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def inventory(self, **of_host: Mapping[str, Any]) -> None:
        """Write inventory and pinned keys; `of_host` adds variables to hosts (`web1={...}`)."""
        path = self.root / "inventories" / "hosts.yml"
        path.parent.mkdir(exist_ok=True)
        self.fleet.write_inventory(path)
        tree = yaml.safe_load(path.read_text())
        for name, values in tree["all"]["hosts"].items():
            values |= {"host_root": str(self.on(name)), **of_host.get(name, {})}
        path.write_text(yaml.safe_dump(tree))
        (path.parent / "known_hosts").write_text(self.fleet.known_hosts)

    def sign(self, name: str, text: Path, act: str) -> Path:
        """Sign a text with stock ssh-keygen, as on another machine."""
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", f"itmp-{act}@example.com"]
        subprocess.run([*argv, "-f", str(self.root / name), str(text)], check=True, timeout=PATIENCE)
        return Path(f"{text}.sig")

    # commands

    def itmp(
        self,
        *words: str,
        expect: int | None = None,
        cwd: Path | None = None,
        program: str = "itmp",
        **environ: str,
    ) -> Done:
        """Type a command and wait for its end; with `expect`, require its exit code."""
        ended = subprocess.run(
            [program, *words],
            executable=str(BIN / program),
            cwd=cwd or self.root,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        done = Done(rc=ended.returncode, out=ended.stdout, err=ended.stderr)
        assert expect is None or done.rc == expect, f"{program} {' '.join(words)}: {done}"
        return done

    def json(self, *words: str, expect: int | None = 0) -> dict[str, Any]:
        """Type a command with `--json` and return its object."""
        return self.itmp(*words, "--json", expect=expect).json

    def start(self, *words: str, program: str = "itmp", **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in the background; what it prints goes to `out-N` and `err-N` beside the workspace."""
        number = len(self.running)
        with (
            (self.root.parent / f"out-{number}").open("wb") as out,
            (self.root.parent / f"err-{number}").open("wb") as err,
        ):
            process = subprocess.Popen(
                [program, *words],
                cwd=self.root,
                env=self.environ,
                **{
                    "executable": str(BIN / program),
                    "stdin": subprocess.DEVNULL,
                    "stdout": out,
                    "stderr": err,
                    **options,
                },
            )
        self.running.append(process)
        return process

    def ended(self, process: subprocess.Popen[bytes]) -> Done:
        """Wait for a started command."""
        number = self.running.index(process)
        rc = process.wait(PATIENCE)
        out, err = (self.root.parent / f"{name}-{number}" for name in ("out", "err"))
        return Done(rc=rc, out=out.read_text(), err=err.read_text())

    def propose(self, document: str, *words: str, key: str = "alice") -> str:
        """Write `document` as a runbook and open a change over its plan.

        Where no further words are typed this process opens it, as it founds: commands have tests of their own.
        """
        self.write("runbooks/r.yml", document)
        plan = self._plan(document) if "playbook:" not in document else None
        if plan and not words:
            place, made = Workspace.here(self.root), read_plan_file(plan)
            return str(open_change(place, made, reason="test", key=str(self.root / key)).change.id)
        what = ("change", "open", str(plan)) if plan else ("propose", "runbooks/r.yml")
        return str(self.json(*what, "--reason", "test", "--key", key, *words)["change"])

    def _plan(self, document: str) -> Path:
        inputs = [document, *(path.read_text() for path in sorted((self.root / "inventories").iterdir()))]
        file = self.root.parent / "r.plan.tar"
        known = _PLANS.get(tuple(inputs))
        if known:
            file.write_bytes(known)
        else:
            self.itmp("plan", "runbooks/r.yml", "-o", str(file), expect=0)
            _PLANS[tuple(inputs)] = file.read_bytes()
        return file

    def approve(self, change: str, key: str = "bob") -> None:
        """Approve without looking, in this process."""
        approve(Workspace.here(self.root), change, key=str(self.root / key))

    def ready(self, document: str, *words: str) -> str:
        """Propose as alice and approve as bob."""
        change = self.propose(document, *words)
        self.approve(change)
        return change

    def run(self, change: str, *words: str, key: str = "alice", expect: int = 0) -> dict[str, Any]:
        """Run a change and return its object."""
        return self.json("run", change, "--key", key, *words, expect=expect)

    def stopped_half_way(self) -> str:
        """Run one step host by host and stop it: web1 has failed, which is allowed, web2 is done, web3 to come."""
        self.fail("web1", "one")
        self.hold("web2", "one")
        change = self.ready(rolling("one", batches=(1,), max_failures=1))
        first = self.start("run", change, "--key", "alice")
        self.until("web2", "begin one")
        self.itmp("stop", change, "--reason", "enough", "--key", "alice", expect=0)
        self.let_go("web2", "one")
        self.ended(first)
        return change

    # what is true on the hosts

    def on(self, host: str) -> Path:
        """This test's folder on a host."""
        return self.fleet.host(host).root / "w"

    def journal(self, host: str) -> list[str]:
        """What really happened on a host, oldest first."""
        return (self.on(host) / "journal").read_text().splitlines()

    def journals(self) -> dict[str, list[str]]:
        """What really happened on the web hosts."""
        return {host: self.journal(host) for host in WEB}

    def hold(self, host: str, *actions: str) -> None:
        """Make actions of a host wait in their middle."""
        for action in actions:
            (self.on(host) / f"hold-{action}").touch()

    def fail(self, host: str, *actions: str) -> None:
        """Make actions of a host fail."""
        for action in actions:
            (self.on(host) / f"fail-{action}").touch()

    def let_go(self, host: str, *actions: str) -> None:
        """Let held actions go on."""
        for action in actions:
            (self.on(host) / f"hold-{action}").unlink()

    def until(self, host: str, line: str) -> None:
        """Wait until a host has noted `line`."""
        wait_for(lambda: line in self.journal(host), f"{host} to note {line!r}")

    def untouched(self) -> bool:
        """Whether no host has seen a single connection since the workspace was founded."""
        return all(self.fleet.connections(name) == count for name, count in self.before.items())

    # what the log says

    def leaves(self, change: str = "") -> tuple[Leaf, ...]:
        """The log's leaves, or those of one change."""
        log = Workspace.here(self.root).log
        return tuple(log.of_change(change)) if change else tuple(log.leaves())

    def sound(self) -> bool:
        """Whether the whole log recomputes to its signed root."""
        return audit_verify(Workspace.here(self.root)).exit_code == 0

    def types(self, change: str) -> list[str]:
        """The types of a change's events, oldest first."""
        return [leaf.event.type for leaf in self.leaves(change)]


class Terminal:
    """A terminal of `columns` that a command is started on; `text` is all that it has shown."""

    def __init__(self, columns: int = 80) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, columns))
        self._shown = bytearray()

    def options(self) -> dict[str, Any]:
        """Return how to start a process whose controlling terminal this is."""
        theirs = self.theirs

        def take() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        return {"stdin": theirs, "stdout": theirs, "stderr": theirs, "preexec_fn": take}

    def stop(self) -> None:
        """Let the line stand still, as Ctrl-S or a dead connection does: whoever writes to it waits."""
        termios.tcflow(self.theirs, termios.TCOOFF)

    def go_on(self) -> None:
        """Let the line move again."""
        termios.tcflow(self.theirs, termios.TCOON)

    def hang_up(self) -> None:
        """Close the terminal, as a closed window or a lost connection does."""
        os.close(self.theirs)
        os.close(self._ours)

    def read(self, process: subprocess.Popen[bytes]) -> str:
        """Show everything until `process` has ended, hang up, and return what was shown."""
        os.close(self.theirs)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the last one has left the terminal
                break
            self._shown += data
        process.wait(PATIENCE)
        os.close(self._ours)
        return self._shown.decode()


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds; fail by name when it never does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def carriers(prefix: str) -> dict[int, str]:
    """Return pid and command line of every living process whose run token begins with `prefix`."""
    mark = f"\0{TOKEN}={prefix}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark in b"\0" + (folder / "environ").read_bytes():
                state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if state != b"Z":
                    found[int(folder.name)] = line
        except OSError:
            continue
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal one process that this test's own run has started."""
    os.kill(pid, number)


def rolling(
    *steps: str,
    batches: Sequence[object] = (1,),
    undo: Sequence[str] = (),
    on_failure: str = "stop",
    always: Sequence[str] = (),
    probe: str | Mapping[str, Any] = "",
    hosts: str = "web",
    max_failures: int = 0,
) -> str:
    """Write a runbook: in batches, each host does `steps` (then `always`) in order; `undo` takes back.

    A step is one action; `a+b` is one step of two actions. `probe` is a URL, or a probe as documents write it.
    """

    def one(name: str, *, hosts: str = "", more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        tasks = [
            {"name": act, "ansible.builtin.raw": f"sh {{{{ host_root }}}}/act {act}"}
            for act in name.split("+")
        ]
        return {
            "id": name.replace("+", "-"),
            "tasks": tasks,
            **({"hosts": hosts} if hosts else {}),
            **(more or {}),
        }

    asked = {"http": {"url": probe, "status": 200}} if isinstance(probe, str) else probe
    probed: dict[str, Any] = {"probe": asked} if probe else {}
    document = {
        "itmp": "runbook/v1",
        "name": "roll",
        "title": "Roll",
        "owner": "team-web",
        "environment": "production",
        "risk": "moderate",
        "steps": [
            {
                "id": "tier",
                "rolling": {"hosts": hosts, "batches": list(batches), "max_failures": max_failures},
                "on_failure": on_failure,
                "steps": [
                    *(one(name, more=probed) for name in steps),
                    *(one(name, more={"always": True}) for name in always),
                ],
            }
        ],
        "undo": [one(name, hosts=hosts) for name in undo],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text
