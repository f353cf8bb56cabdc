"""A workspace over namespace hosts that can be harmed in every way: their power, their network, their disks, our own disk.

Each host keeps a journal of what really happened to it, with times of the one clock that all of them share: `begin NAME
TIME SINCE`, then maybe `change`, then `end` or `fail`; SINCE is when
it began. The journal is on the host's disk and survives a power cut.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from places import BIN, PATIENCE, Place, wait_for
from plays import ACT, HOME

from itmp.lab.namespaces import NamespaceFleet

WEB: Final = ("web1", "web2", "web3")
STATE_SIZE: Final = "96m"
FULL_SIZE: Final = "64k"
SHORT_LIVED: Final = "size=32m,nr_inodes=4k"
"""The temporary folders of a command that has them for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a host's journal: `what` is begin, change, end or fail, `since` tells one act from the next."""

    what: str
    act: str
    at: float
    since: float = 0


def journal(folder: Path) -> list[Line]:
    """Return the journal in a host's folder."""
    words = [line.split() for line in (folder / "journal").read_text().splitlines()]
    return [Line(what=what, act=act, at=float(at), since=float(since)) for what, act, at, since in words]


class Ground(Place):
    """One test's workspace over a namespace fleet; its state lies on a small disk of its own."""

    fleet: NamespaceFleet  # type: ignore[assignment]  # it has all that a place asks of a fleet

    @classmethod
    def like(cls, model: "Ground", root: Path) -> "Ground":
        """Take an exact copy of `model`, its log included: founding and approving are not what is harmed here."""
        home = root.parent / "home"
        (home / "tmp").mkdir(parents=True)
        shutil.copytree(model.root, root, ignore=shutil.ignore_patterns(".itmp"))
        environ = {**model.environ, "HOME": str(home), "TMPDIR": str(home / "tmp")}
        made = cls(root=root, fleet=model.fleet, environ=environ)
        made.lay_disk()
        _do("cp", "-a", f"{model.root}/.itmp/.", f"{root}/.itmp")
        made.empty_hosts()
        return made

    def begin(self) -> None:
        self.lay_disk()
        self.empty_hosts(bare=True)
        super().begin()

    @property
    def temporary(self) -> tuple[Path, ...]:
        """The folders in which a run puts what it needs for a while."""
        return Path("/dev/shm"), Path(self.environ["TMPDIR"])  # noqa: S108 - where the product's own folders lie

    def start_apart(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command that has its temporary folders for itself, so that they can be full and nobody else's are."""
        lay = "".join(f"mount -t tmpfs -o {SHORT_LIVED} itmp-chaos {folder} && " for folder in self.temporary)
        argv = ("-m", "sh", "-c", f'{lay}exec "$@"', "sh", str(BIN / "itmp"), *words)
        return self.start(*argv, program="unshare", executable=shutil.which("unshare"))

    def lay_disk(self) -> None:
        """Give the state a small disk of its own, so that it can be full."""
        state = self.root / ".itmp"
        state.mkdir()
        _do("mount", "-t", "tmpfs", "-o", f"size={STATE_SIZE}", "itmp-chaos", str(state))

    def empty_hosts(self, *, bare: bool = False) -> None:
        """Take from each host what an earlier test left there, and give it its folder unless `bare`."""
        made = f" && mkdir -m 777 -p {HOME} {HOME}/disk && cd {HOME} && cat > act && : > journal && chmod 666 journal"
        furnish = "" if bare else made
        for host in WEB:
            self.shell(host, f"rm -rf {HOME}{furnish}", ACT)

    def leave(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)
        subprocess.run(["umount", "-l", str(self.root / ".itmp")], check=False)

    def on(self, host: str) -> Path:
        return Path(f"/proc/{self.first(host)}/root{HOME}")

    def inventory(self, **of_host: Mapping[str, Any]) -> None:
        super().inventory(**of_host)
        path = self.root / "inventories" / "hosts.yml"
        tree = yaml.safe_load(path.read_text())
        for values in tree["all"]["hosts"].values():
            values["host_root"] = HOME
        path.write_text(yaml.safe_dump(tree))

    def first(self, host: str) -> str:
        """The process id of the host's process 1."""
        return self.fleet.inside(host, ["true"])[2]

    def shell(self, host: str, script: str, given: str = "") -> str:
        """Run a script inside a host, without ssh; `given` is its standard input."""
        argv = self.fleet.inside(host, ["sh", "-c", script])
        return subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=PATIENCE, check=True
        ).stdout

    def answers(self, host: str) -> bool:
        """Whether the host's sshd greets."""
        address = self.fleet.host(host)
        try:
            with socket.create_connection((address.address, address.port), timeout=2) as link:
                return link.recv(4) == b"SSH-"
        except OSError:
            return False

    def lines(self, host: str) -> list[Line]:
        """The host's journal."""
        return journal(self.on(host))

    def failures(self, host: str) -> int:
        """Return how many acts have failed on a host."""
        return sum(line.what == "fail" for line in self.lines(host))

    def slow(self, act: str) -> None:
        """Let each host's next one of an act take its time."""
        for host in WEB:
            (self.on(host) / f"slow-{act}").touch()

    def moment(self) -> str:
        """Return the type of the log's last event: where in its way a run is."""
        last = max((self.root / ".itmp/log/.state").glob("journal*"), key=lambda path: path.stat().st_mtime)
        found = re.findall(rb'"type":"([a-z._-]+)"', last.read_bytes())
        return found[-1].decode() if found else ""

    def fill(self, host: str, *folders: str) -> None:
        """Lay a small full disk over each folder of a host, with what is there on it; the disk of the play comes empty."""
        for folder in folders:
            keep = f"cp -a {folder}/. /mnt/full" if folder != f"{HOME}/disk" else ":"
            self.shell(
                host,
                f"mkdir -p /mnt/full && mount -t tmpfs -o mode=$(stat -c %a {folder}),size={FULL_SIZE} full /mnt/full"
                f" && {{ {keep} 2>/dev/null; cat /dev/zero >> /mnt/full/fill 2>/dev/null; true; }}"
                f" && mount --move /mnt/full {folder}",
            )

    def free(self, host: str, *folders: str) -> None:
        """Take the full disks away again."""
        for folder in folders:
            self.shell(host, f"umount -l {folder} || ! mountpoint -q {folder}")  # a power cut empties it too

    def quiet(self, host: str) -> None:
        """Wait until nothing acts on the host any more, as a person who looks there would."""
        wait_for(lambda: not self.acts(host), f"{host} to be quiet")

    def acts(self, host: str) -> bool:
        """Whether any act is at work on a host."""
        return bool(self.shell(host, "pgrep -f srv/w/[a]ct || true").strip())

    def grown(self) -> int:
        """How many bytes of events the log's journal holds."""
        return sum(path.stat().st_size for path in (self.root / ".itmp/log/.state").glob("journal*"))

    def connected(self, host: str, *, up: bool) -> None:
        """Plug the host's cable in or out, inside the lab's own network."""
        number = WEB.index(host) + 1
        _do(
            "nsenter",
            "-t",
            str(self.fleet.hub),
            "-n",
            "ip",
            "link",
            "set",
            f"v{number}",
            "up" if up else "down",
        )


def pause(seconds: float) -> None:
    """Let time pass: a moment is part of a harm."""
    time.sleep(seconds)


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


def is_root() -> bool:
    return os.getuid() == 0
