"""The Debian system that all namespace hosts share, read-only: built once, kept in the user's cache.

Rules kept here: the name holds a digest of the whole recipe, so a changed recipe builds a new base and never
mixes with an old one; a base appears under its name only when it is complete; one builder at a time.
The mirror is the one this machine's own apt uses for the same suite, else Debian's own.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from itmp.lab import _packages as packages
from itmp.lab._keeping import LabError

SUITE: Final = "bookworm"
_INCLUDE: Final = (
    "openssh-server",
    "inetutils-syslogd",
    "python3-minimal",
    "python3-apt",
    "iproute2",
    "procps",
    "sudo",
)
_OPTIONS: Final = (
    "--variant=minbase",
    f"--include={','.join(_INCLUDE)}",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    '--aptopt=Acquire::Languages "none"',
)
_SSHD: Final = "UseDNS no\nUsePAM no\nPasswordAuthentication no\nLogLevel VERBOSE\nMaxStartups 100\n"
_SYSLOG: Final = """\
auth,authpriv.*\t/var/log/auth.log
auth.*\t/var/log/sshd.log
*.*;auth,authpriv.none\t/var/log/syslog
"""
"""As Debian's own, and sshd's lines in a file of their own besides: the lab counts connections there."""
_KEPT_OFF: Final = "#!/bin/sh\nexit 101\n"  # no package may start a service: there is no service manager
_HERE: Final = Path(__file__).parent
_LAST_LINES: Final = 15

Report = Callable[[str], None]


def recipe() -> str:
    """Return the digest that names the base: all that decides its content, but for the mirror."""
    parts = [os.uname().machine]
    sources = ("_base.py", "_init.sh", "_packages.py", "_shutdown.py")
    parts += [(_HERE / name).read_text(encoding="utf-8") for name in sources]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def base(report: Report) -> Path:
    """Return the folder of the base, built now when it is not there (about half a minute, 190 MB)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "itmp" / "lab"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"base-{SUITE}-{recipe()}"
    if not folder.exists():
        with _alone(cache / "lock"):
            if not folder.exists():
                _build(folder, report)
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path, report: Report) -> None:
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    report(f"Building the hosts' Debian {SUITE} once, about half a minute, into {folder}")
    command = ["mmdebstrap", *_OPTIONS, *_proxies(), SUITE, str(unfinished), *_mirror()]
    lines: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as child:
        assert child.stderr is not None  # noqa: S101 — PIPE was asked for
        for line in child.stderr:
            lines.append(line.rstrip())
            if line.startswith(("I:", "E:")):
                report(line[2:].strip())
    if child.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        tail = "\n  ".join(lines[-_LAST_LINES:])
        raise LabError(
            f"the hosts' base could not be built (mmdebstrap ended with {child.returncode}):\n  {tail}",
            do="Check that this machine's apt reaches its mirror, then try again.",
        )
    _furnish(unfinished)
    unfinished.rename(folder)


def _furnish(root: Path) -> None:
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for source in [root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").iterdir()]:
        source.unlink(missing_ok=True)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text(_SSHD, encoding="utf-8")
    (root / "etc/syslog.conf").write_text(_SYSLOG, encoding="utf-8")
    (root / "etc/itmp-lab-host").write_text("", encoding="utf-8")
    _program(root / "usr/sbin/policy-rc.d", _KEPT_OFF)
    _install(root)
    _program(root / "sbin/lab-init", (_HERE / "_init.sh").read_text(encoding="utf-8"))
    shutdown = (_HERE / "_shutdown.py").read_text(encoding="utf-8")
    _program(root / "sbin/shutdown", "#!/usr/bin/python3\n" + shutdown)
    for name in ("reboot", "poweroff", "halt"):
        (root / "sbin" / name).unlink(missing_ok=True)
        (root / "sbin" / name).symlink_to("shutdown")


def _install(root: Path) -> None:
    """Install the first version of the lab's packages, so that there is something to patch."""
    files = [f"{name}_{packages.OLD}_all.deb" for name in packages.NAMES]
    for name, file in zip(packages.NAMES, files, strict=True):
        (root / file).write_bytes(packages.build(name, packages.OLD))
    command = ["chroot", str(root), "dpkg", "--install", *(f"/{file}" for file in files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f"the lab's packages could not be installed: {done.stderr.strip()[-300:]}")
    for file in files:
        (root / file).unlink()


def _program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _mirror() -> list[str]:
    """Return the mirror that this machine's apt uses for the suite, or nothing for mmdebstrap's default."""
    line = [
        "apt-get",
        "indextargets",
        "--format",
        "$(CODENAME) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    ]
    try:
        listed = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [entry.split()[2] for entry in listed.splitlines() if entry.split()[:2] == [SUITE, "main"]][:1]


def _proxies() -> list[str]:
    """Return the proxies of this machine's apt as options for the new system's apt."""
    try:
        listed = subprocess.run(
            ["apt-config", "dump"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [f"--aptopt={line.rstrip(';')}" for line in listed.splitlines() if "::Proxy " in line]
