"""The second ground of foreign projects: whole Debian hosts, on which a play may install, enrol, start and remove.

Rules kept here: both sides find the same hosts with the same names, addresses and keys on disks that were made anew;
what is compared is told by the hosts themselves, past Ansible and past itmp (`whole_host_state.py`).
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from places import PATIENCE, Place
from sidebyside import Found

from itmp.lab import namespaces
from itmp.lab._base import base

HOSTS: Final = ("web1", "web2", "db1")
GROUPS: Final = {"web": ("web1", "web2"), "db": ("db1",)}
PROJECTS: Final = Path(__file__).parent / "whole_hosts"
_KINDS: Final = ("package", "user", "group", "password", "service", "process", "port")
_SALTED: Final = re.compile(r"^(!?\$\w+\$).*?(:.*)")
_CHANCE: Final = re.compile(r"(?<=/ansible-tmp-)[\w.-]+|(?<=/\.ansible_async/j)[\d.]+")
"""How Ansible names folders and background work that it may leave on a host; a run's mark may be in it."""
_READER: Final = Path(__file__).with_name("whole_host_state.py")


class WholeHosts(Place):
    """A workspace over namespace hosts; `host_root` is a folder as the host sees it."""

    fleet: namespaces.NamespaceFleet  # type: ignore[assignment]  # it has all that a place asks of a fleet

    def furnish(self) -> None:
        """Nothing: a host is what Debian made of it."""

    def leave(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)

    def on(self, host: str) -> Path:
        assert host in HOSTS
        return Path("/srv")

    def renew(self) -> None:
        """Give every host a disk that nobody has written to."""
        for host in self.fleet.hosts:
            self.fleet.reset(host.name)

    def shell(self, host: str, script: str) -> str:
        """Run a script inside a host, without ssh."""
        return self._inside(host, ["sh", "-c", script], "")

    def look(self, host: str) -> Found:
        """Return what a host is."""
        made = base(lambda _: None).stat().st_ctime
        told = json.loads(self._inside(host, ["python3", "-I", "-B", "-", str(made)], _READER.read_text()))
        return {f"{host} {_CHANCE.sub('…', name)}": value for name, value in told.items()}

    def _inside(self, host: str, argv: list[str], given: str) -> str:
        done = subprocess.run(
            self.fleet.inside(host, argv), input=given, capture_output=True, text=True, timeout=PATIENCE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{host}: {done.stdout[-2000:]}{done.stderr}"
        return done.stdout


def look(place: Place) -> Found:
    """Return what every host is."""
    assert isinstance(place, WholeHosts)
    with ThreadPoolExecutor() as at_once:
        return {key: value for told in at_once.map(place.look, HOSTS) for key, value in told.items()}


def without_files(found: Found) -> Found:
    """Return what the hosts told, but for their files, and nothing of what the run told."""
    return {key: value for key, value in found.items() if key.split()[1:2] and key.split()[1] in _KINDS}


def unsalted(found: Found, accounts: list[str]) -> Found:
    """Return it with no more of these accounts' passwords than how they are hashed: their salt is chance."""
    salted = {f"{host} password {name}" for host in HOSTS for name in accounts}
    return {key: _SALTED.sub(r"\1…\2", value) if key in salted else value for key, value in found.items()}
