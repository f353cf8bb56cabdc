"""What the documents tell people to type works, in the order in which they tell it, and prints what they show."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from doc_blocks import Command, File, Names, steps

from itmp.adapters import posix_log
from itmp.lab import loopback

ROOT = Path(__file__).parents[2]
STORY = ("README.md", "docs/howto/sre.md", "docs/howto/pipeline.md", "docs/howto/auditor.md")
KILL = "KILL_WHEN_AT_WORK "
PATIENCE = 120.0

pytestmark = [pytest.mark.fleet, pytest.mark.xdist_group("docs")]


@dataclass
class Reader:
    """Somebody who follows the documents: a home with keys, a folder with an inventory, two hosts."""

    folder: Path
    environ: dict[str, str]
    names: Names = field(default_factory=Names)

    def follow(self, step: Command | File) -> None:
        if isinstance(step, File):
            target = self.folder / step.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(step.text)
            return
        text = self.names.real(step.text)
        code, output = self._killed(text.removeprefix(KILL)) if text.startswith(KILL) else self._run(text)
        assert code == step.code, f"{step.place}: `{text}` ended with {code}, not {step.code}\n{output}"
        line = self.names.missing(step.shown, output)
        assert not line, f"{step.place}: `{text}` does not print, in this order: {line}\n{output}"

    def _run(self, text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout

    def _killed(self, text: str) -> tuple[int, str]:
        """Kill the executor, and it alone, once the log shows that it is at work on a host."""
        words = text.split()
        with subprocess.Popen(
            words, cwd=self.folder, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                self._until_at_work(words[-1], process)
            finally:
                process.send_signal(signal.SIGKILL)
        return 128 - process.returncode, ""

    def _until_at_work(self, change: str, process: "subprocess.Popen[bytes]") -> None:
        reader = posix_log.open_reader(self.folder / ".itmp/log")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.poll() is None:
            leaves = [leaf for part in reader.journal() for chunk in part.chunks() for leaf in chunk]
            if any(b'"action.finished"' in leaf and change.encode() in leaf for leaf in leaves):
                return
            time.sleep(0.1)
        pytest.fail(f"{change} never was at work")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("ops")
    for name, owner in (("id_ed25519", "alice"), ("bob", "bob")):
        _make_key(home / ".ssh" / name, f"{owner}@example.com")
    shutil.copy(home / ".ssh/bob.pub", folder / "bob.pub")
    shutil.copy(ROOT / "itmp/evidence/verify.sh", folder)
    with loopback.up(
        tmp_path_factory.mktemp("fleet"), 2, names=("web1", "web2"), groups={"web": ("web1", "web2")}
    ) as fleet:
        etc = {host.name: host.root / "etc" for host in fleet.hosts}
        _write_inventory(fleet, folder / "inventories/hosts.yml", etc)
        yield Reader(folder=folder, environ=_environ(home, etc))


def _make_key(path: Path, comment: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
    subprocess.run(words, check=True, timeout=PATIENCE)


def _write_inventory(fleet: loopback.Fleet, path: Path, etc: dict[str, Path]) -> None:
    """Give the reader's inventory: the fleet's, with a place that stands for each host's /etc."""
    path.parent.mkdir()
    fleet.write_inventory(path)
    inventory = yaml.safe_load(path.read_text())
    for name, place in etc.items():
        place.mkdir(exist_ok=True)
        inventory["all"]["hosts"][name]["etc"] = str(place)
    path.write_text(yaml.safe_dump(inventory))


def _environ(home: Path, etc: dict[str, Path]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ITMP_", "SSH_AUTH", "ANSIBLE_"))
    }
    places = {name.upper(): str(place) for name, place in etc.items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**kept, **places, "HOME": str(home), "PATH": path, "NO_COLOR": "1"}


def test_the_documents_commands_do_what_they_show(reader: Reader) -> None:
    followed = 0
    for name in STORY:
        for step in steps(ROOT / name, name):
            reader.follow(step)
            followed += isinstance(step, Command)
    assert followed > 40
