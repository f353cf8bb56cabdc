"""Packages of Debian itself for hosts that reach nothing but the lab's repository: fetched once by apt, then published there.

Rules kept here: none of them is part of this project; they are of the suite that the hosts are made of, and apt settles
which more they need there; once they are in the cache, nothing is fetched.
"""

import hashlib
import subprocess
import tempfile
from email.utils import formatdate
from pathlib import Path
from typing import Final

from collections_of_others import made

from itmp.lab import _base

_WANTED: Final = ("acl", "cron")
_MIRROR: Final = "http://deb.debian.org/debian"
_PATIENCE: Final = 600


def publish(repository: Path) -> None:
    """Add them to a lab's flat repository and renew its index."""
    index = (repository / "Packages").read_text()
    for package in sorted(_cache().glob("*.deb")):
        (repository / package.name).write_bytes(package.read_bytes())
        index += f"\n{_entry(package)}"
    data = index.encode()
    listed = f" {hashlib.sha256(data).hexdigest()} {len(data)} Packages\n"
    (repository / "Packages").write_bytes(data)
    (repository / "Release").write_text(f"Suite: lab\nDate: {formatdate(usegmt=True)}\nSHA256:\n{listed}")


def _entry(package: Path) -> str:
    told = subprocess.run(
        ["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True, timeout=_PATIENCE
    )
    data = package.read_bytes()
    return (
        f"{told.stdout}Filename: ./{package.name}\nSize: {len(data)}\n"
        f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
    )


def _cache() -> Path:
    key = hashlib.sha256(" ".join((_base.recipe(), *_WANTED)).encode()).hexdigest()[:12]
    return made(f"packages-{key}", _fetch)


def _fetch(folder: Path) -> None:
    system = _base.base(lambda _: None)
    mirror = (*_base._mirror(), _MIRROR)[0]  # the one that the hosts' system came from
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch, "sources.list")
        sources.write_text(f"deb {mirror} {_base.SUITE} main\n")
        Path(scratch, "archives/partial").mkdir(parents=True)
        options = {
            "Dir::State": scratch,
            "Dir::State::status": system / "var/lib/dpkg/status",
            "Dir::Cache": scratch,
            "Dir::Cache::archives": f"{scratch}/archives",
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
        asked = ["--yes", "--no-install-recommends", "--download-only", "install", *_WANTED]
        for command in (["update"], asked):
            subprocess.run([*apt, *command], check=True, timeout=_PATIENCE)
        for package in Path(scratch, "archives").glob("*.deb"):
            (folder / package.name).write_bytes(package.read_bytes())
