"""The demo: the product's whole story on throw-away hosts, told by the commands that a person would type.

Rules kept here: every step runs the real `itmp` in a fresh workspace, with real SSH hosts, the real Pulumi engine and a
stand-in only for the cloud; what a step proves is checked, not claimed; whatever was started is ended, also after a
failure; what this machine cannot show is said, with the reason.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from itmp.cli.printing import colour
from itmp.errors import NotFoundError, RunFailedError

CATALOG: Final = ("playbooks", "runbooks", "stacks")
WEB: Final = ("web1", "web2", "web3")
_SHOWN: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One thing that the demo set out to prove."""

    what: str
    ok: bool


@dataclass(slots=True, kw_only=True)
class Stage:
    """The demo's workspace and what has been proved so far."""

    folder: Path
    say: Callable[[str], None]
    environ: dict[str, str]
    proofs: list[Proof] = field(default_factory=list)

    def title(self, text: str) -> None:
        """Begin a step of the story."""
        self.say("")
        self.say(colour(f"── {text} ", "bold", stream=sys.stderr))

    def run(self, *words: str, expect: int = 0, quiet: bool = False) -> str:
        """Type a command, show it and what it prints, and require its exit code."""
        done = self._type(words, expect=expect, quiet=quiet)
        if done.returncode != expect:
            raise RunFailedError(
                f"{shlex.join(words)} ended with {done.returncode}, expected {expect}",
                do="This is what the demo found.",
            )
        return done.stdout

    def code(self, *words: str) -> int:
        """Type a command, show it and what it prints, and return its exit code."""
        return self._type(words, expect=0, quiet=False).returncode

    def _type(self, words: tuple[str, ...], *, expect: int, quiet: bool) -> subprocess.CompletedProcess[str]:
        if not quiet:
            self.say(colour(f"$ {shlex.join(words)}", "dim", stream=sys.stderr))
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=600,
        )
        if not quiet or done.returncode != expect:
            self._show(done.stdout + (done.stderr or ""), done.returncode)
        return done

    def prove(self, what: str, holds: bool) -> None:
        """Write down one claim and whether it held."""
        self.proofs.append(Proof(what=what, ok=holds))
        self.say(colour("  ✔ " if holds else "  ✘ ", "ok" if holds else "failed", stream=sys.stderr) + what)

    def change(self, *words: str, reason: str) -> str:
        """Propose a change as alice and return its id."""
        out = self.run("itmp", "propose", *words, "--reason", reason, "--key", "alice", "--json", quiet=True)
        self.say(
            colour(
                f"$ itmp propose {' '.join(words)} --reason {shlex.quote(reason)} --key alice",
                "dim",
                stream=sys.stderr,
            )
        )
        value: dict[str, Any] = json.loads(out)
        self.say(f"  {value['change']}  plan {value['plan'][:26]}…")
        return str(value["change"])

    def approve(self, change: str) -> None:
        """Approve as bob; the signed text itself is shown once by the first step."""
        self.run("itmp", "approve", change, "--key", "bob", "--yes", quiet=True)
        self.say(colour(f"$ itmp approve {change} --key bob", "dim", stream=sys.stderr))

    def _show(self, text: str, code: int) -> None:
        lines = text.splitlines()
        for line in lines[:_SHOWN]:
            self.say(f"  {line}")
        if len(lines) > _SHOWN:
            self.say(f"  … {len(lines) - _SHOWN} more lines")
        if code:
            self.say(f"  exit code {code}")


def tell(say: Callable[[str], None], *, keep: bool = False) -> tuple[Proof, ...]:
    """Tell the story and return what it proved; raise at the first thing that does not hold."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    with _stage(say, keep=keep) as stage:
        _found(stage)
        with _fleet(stage) as fleet:
            change = _runbook(stage, fleet)
            _changed_byte(stage)
            _undone(stage, fleet)
        _capacity(stage)
        _patch(stage)
        _evidence(stage, change)
        return tuple(stage.proofs)


@contextmanager
def _stage(say: Callable[[str], None], *, keep: bool) -> Iterator[Stage]:
    source = Path(__file__).resolve().parents[2]
    if not all((source / part).is_dir() for part in CATALOG):
        raise NotFoundError(
            "the demo's runbooks and playbooks are not here", do="Run it from a checkout: make demo"
        )
    folder = Path(tempfile.mkdtemp(prefix="itmp-demo-"))
    for part in CATALOG:
        shutil.copytree(source / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environ = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    environ |= {
        "XDG_STATE_HOME": str(folder / "state"),
        "ITMP_ANCHOR_ACCOUNT": "none",
    }  # a log that is thrown away
    for name in ("ITMP_KEY", "ITMP_WORKSPACE"):
        environ.pop(name, None)
    try:
        yield Stage(folder=folder, say=say, environ=environ)
    finally:
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _found(stage: Stage) -> None:
    stage.title("Two people found a log. Their keys are ordinary SSH keys.")
    for name in ("alice", "bob"):
        stage.run(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"{name}@example.com",
            "-f",
            str(stage.folder / name),
            quiet=True,
        )
    stage.run("itmp", "init", "--root", "alice.pub", "--root", "bob.pub", "--organization", "example.com")
    sigs = []
    for name in ("alice", "bob"):
        text = f".itmp/founding/enrol-{name}-example.com.txt"
        stage.run("ssh-keygen", "-q", "-Y", "sign", "-n", "itmp-enrol@example.com", "-f", name, text)
        sigs += ["--seal", f"{text}.sig"]
    stage.run("itmp", "init", *sigs)


@contextmanager
def _fleet(stage: Stage) -> Iterator[Any]:
    from itmp import lab  # noqa: PLC0415 - only the demo and lab commands need it

    stage.title("A fleet of real SSH hosts: a balancer and three web hosts.")
    groups = ("--group", "lb=lb1", "--group", f"web={','.join(WEB)}")
    stage.run("itmp", "lab", "up", "4", "--kind", "loopback", "--names", f"lb1,{','.join(WEB)}", *groups)
    try:
        fleet = lab.attach(stage.folder / ".lab")
        _use_inventory(stage, stage.folder / ".lab")
        yield fleet
    finally:
        lab.down(stage.folder / ".lab")


def _use_inventory(stage: Stage, lab_folder: Path) -> None:
    inventories = stage.folder / "inventories"
    inventories.mkdir(exist_ok=True)
    shutil.copy(lab_folder / "hosts.yml", inventories / "hosts.yml")
    shutil.copy(lab_folder / "known_hosts", inventories / "known_hosts")
    (stage.folder / "itmp.yml").write_text(
        "organization: example.com\nlog: ops\ninventories: [inventories/hosts.yml]\n", encoding="utf-8"
    )


def _runbook(stage: Stage, fleet: Any) -> str:
    stage.title("A runbook calls a playbook that knows nothing of itmp. Nobody has approved it yet.")
    first = stage.change("runbooks/operate/install-web.yml", reason="first installation")
    stage.run("itmp", "run", first, "--key", "alice", expect=10)
    untouched = all(fleet.connections(name) == 0 for name in WEB)
    stage.prove("without approval the run exits 10 and no host saw a connection", untouched)

    stage.title("Another person approves exactly these bytes, and it runs.")
    stage.run("itmp", "approve", first, "--key", "bob", "--yes")
    stage.run("itmp", "run", first, "--key", "alice")
    installed = all((fleet.host(name).root / "web/state/generation").is_file() for name in WEB)
    stage.prove("approved by a second key, the runbook ran on the whole fleet", installed)

    stage.title("A rolling restart: drained, restarted, checked and put back, batch by batch.")
    change = stage.change(
        "runbooks/operate/restart-web.yml", "--set", "drain_seconds=0", reason="memory leak"
    )
    stage.approve(change)
    stage.run("itmp", "run", change, "--key", "alice")
    drained = list((fleet.host("lb1").root / "lb/drained").glob("*"))
    stage.prove("a rolling restart passed every batch and left no host drained", not drained)
    return change


def _changed_byte(stage: Stage) -> None:
    stage.title("After approval somebody changes one byte of what was approved.")
    change = stage.change(
        "runbooks/operate/config-rollout.yml", "--set", "revision=r1", reason="new greeting"
    )
    stage.approve(change)
    plan = json.loads(stage.run("itmp", "show", change, "--json", quiet=True))
    artifacts = next(section for section in plan["sections"] if section["key"] == "artifacts")["rows"]
    path, digest = next(row for row in artifacts if row[0].endswith("web_config.yml"))
    name = digest.removeprefix("sha256:")
    blob = stage.folder / ".itmp/log/blobs/sha256" / name[:2] / name
    approved = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(approved.replace(b"0644", b"0666", 1))
    stage.say(f"  (one byte of {path} is changed in the store: mode 0644 becomes 0666)")
    code = stage.code("itmp", "run", change, "--key", "alice")
    stage.prove("one changed byte of the plan is refused (12)", code == 12)
    blob.write_bytes(approved)
    stage.run("itmp", "run", change, "--key", "alice", quiet=True)


def _undone(stage: Stage, fleet: Any) -> None:
    stage.title("A host cannot bear the new configuration: the run stops and takes itself back.")
    before = (fleet.host("web1").root / "web/etc/web.conf").read_text()
    (fleet.host("web2").root / "web/etc/host_limit").write_text("500\n")
    words = ("--set", "revision=r2", "--set", "max_connections=900")
    change = stage.change("runbooks/operate/config-rollout.yml", *words, reason="more connections")
    stage.approve(change)
    stage.run("itmp", "run", change, "--key", "alice", expect=20)
    stage.prove(
        "a failing host stopped the rollout, and every changed host was undone (20)",
        (fleet.host("web1").root / "web/etc/web.conf").read_text() == before,
    )


def _capacity(stage: Stage) -> None:
    from itmp.testing.cloud import Cloud  # noqa: PLC0415 - the cloud's double is a development requirement

    stage.title("Capacity 4 → 8 through the real Pulumi engine, against a double of the cloud.")
    with Cloud() as cloud:
        stage.environ |= cloud.environ
        cloud.group("web-asg", desired=4)
        cloud.service("prod", "api", desired=3)
        change = stage.change("runbooks/capacity/web-scale-out.yml", reason="sale")
        stage.approve(change)
        stage.run("itmp", "run", change, "--key", "alice")
        stage.prove("capacity went from 4 to 8 as approved", cloud.desired("web-asg") == 8)

        stage.run("itmp", "undo", change, "--key", "alice")
        stage.prove("and back to 4 by its declared undo", cloud.desired("web-asg") == 4)

        stage.title("The next adjustment is approved, but meanwhile the group has moved.")
        change = stage.change("runbooks/capacity/web-scale-out.yml", "--set", "size=10", reason="more sale")
        stage.approve(change)
        cloud.set_desired("web-asg", 6)
        stage.run("itmp", "run", change, "--key", "alice", expect=12)
        stage.prove(
            "a moved starting state is refused (12) and stays as it is", cloud.desired("web-asg") == 6
        )


def _patch(stage: Stage) -> None:
    from itmp import lab  # noqa: PLC0415 - as above

    why = dict(lab.supported())["namespaces"]
    if why:
        stage.title("Patching needs Debian hosts of its own.")
        stage.say(f"  not shown on this machine: {why}")
        return
    stage.title("A patch in two rings, on Debian hosts with their own package database and reboot.")
    folder = stage.folder / ".lab-patch"
    rings = ("--names", "canary1,fleet1", "--group", "ring0=canary1", "--group", "ring1=fleet1")
    stage.run("itmp", "lab", "up", "2", "--kind", "namespaces", "--dir", str(folder), *rings)
    fleet: Any = lab.attach(folder)
    try:
        _use_inventory(stage, folder)
        _patch_rings(stage, fleet)
    finally:
        lab.down(folder)


def _patch_rings(stage: Stage, fleet: Any) -> None:
    document = "runbooks/patch/lab-two-rings.yml"
    fleet.release_update()
    stage.run("itmp", "patch", "resolve", document)
    boots = {host.name: fleet.boots(host.name) for host in fleet.hosts}
    change = stage.change(document, reason="monthly patches")
    stage.approve(change)
    stage.run("itmp", "run", change, "--key", "alice")
    versions = {host.name: _version(fleet, host.name) for host in fleet.hosts}
    again = all(len(fleet.boots(name)) > len(before) for name, before in boots.items())
    stage.prove("a patch passed ring by ring to the locked version, each reboot proved by a new boot id",
                set(versions.values()) == {"2.0"} and again)  # fmt: skip


def _version(fleet: Any, name: str) -> str:
    argv = fleet.inside(name, ["dpkg-query", "-W", "-f", "${Version}", "itmp-demo"])
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def _evidence(stage: Stage, change: str) -> None:
    stage.title("An auditor gets one file, and checks it with our verifier and with stock tools.")
    stage.run("itmp", "change", "close", change, "--reason", "done", "--key", "alice", quiet=True)
    bundle = f"{change}.evidence.tar"
    stage.run("itmp", "evidence", change, "-o", bundle)
    accepted = _checked(stage, bundle)
    stage.prove("the evidence is accepted by itmp-verify and by verify.sh (openssl, ssh-keygen)",
                accepted == (0, 0))  # fmt: skip

    stage.title("A forger changes one outcome in the evidence, and writes its list of digests anew.")
    (stage.folder / "forged.tar").write_bytes(_forged((stage.folder / bundle).read_bytes()))
    stage.prove("a forged outcome is refused by both (40)", _checked(stage, "forged.tar") == (40, 40))
    stage.prove("the whole log recomputes to its signed root", stage.code("itmp", "audit", "verify") == 0)


def _checked(stage: Stage, bundle: str) -> tuple[int, int]:
    """Return how each of the two checkers judged a bundle: its exit code."""
    ours = stage.code("itmp-verify", bundle, "--trust", "trust")
    return ours, stage.code("bash", str(_script(stage)), bundle, "trust")


def _forged(bundle: bytes) -> bytes:
    """Return the bundle with one `changed` made `skipped` and MANIFEST recomputed, as a careful forger would."""
    from hashlib import sha256  # noqa: PLC0415 - only the forger needs it

    from itmp.evidence.archive import pack, unpack  # noqa: PLC0415 - as above

    members = unpack(bundle)
    name = next(
        name
        for name, data in members.items()
        if name.startswith("leaves/") and b'"outcome":"changed"' in data
    )
    old = members[name]
    members[name] = old.replace(b'"outcome":"changed"', b'"outcome":"skipped"', 1)
    digests = (sha256(old).hexdigest().encode(), sha256(members[name]).hexdigest().encode())
    members["MANIFEST"] = members["MANIFEST"].replace(*digests)
    return pack(members)


def _script(stage: Stage) -> Path:
    from importlib.resources import files  # noqa: PLC0415 - only here

    target = stage.folder / "verify.sh"
    target.write_bytes((files("itmp.evidence") / "verify.sh").read_bytes())
    return target
