"""Tells what a Debian host is, as one JSON object; it runs on the host, by the host's own Python and programs.

Rules kept here: whatever can be read is told, so that nobody has to think of it first: packages, accounts, services,
processes, open ports, and every file of the disk. Left out is only what names a moment: the days of a password's age,
a crontab's `STAMP`, and the content of the files in `TIMED`, whose presence, mode and owner are told all the same.
"""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

TIMED = re.compile(
    r"/run/.*"  # process ids, sockets
    r"|/var/log/(apt/.*|alternatives\.log|auth\.log|boots|btmp|dpkg\.log|faillog|lastlog|sshd\.log|syslog|wtmp)"
    r"|/var/cache/(apt|debconf|ldconfig)/.*"  # hold inode numbers and times
    r"|/var/lib/apt/.*"
    r"|(/var/tmp|/home/\w+/\.ansible/tmp)/ansible-tmp-.*/.*|/home/\w+/\.ansible_async/.*"  # hold times and chance names
    r"|/etc/g?shadow-?"  # told line by line, but for the days
)
CRONTABS = "/var/spool/cron/crontabs/"
STAMP = re.compile(rb"(?m)^# \(.* installed on .*\)\n")  # what crontab writes above the entries
NOT_THE_DISK = {"/dev", "/proc", "/sys"}
TOLD_WHOLE = 400
MADE = float(sys.argv[1])
"""When the system that all hosts share was complete; whatever a host writes or takes over is of its own disk, and later."""
SETTLED = 20.0
ENDING = re.compile(r"process \d+ (sshd: (?!/usr/sbin/sshd \[listener\])|.*/async_wrapper\.py )")
"""Logins, and what has watched over work in the background: it ends some seconds after the work."""
MASKS = "0123456S"


def main():
    state = {}
    for part in (packages, accounts, services, processes, ports, files):
        state.update(part())
    json.dump(state, sys.stdout)


def told(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def packages():
    form = "${Package}\\t${Version} ${Architecture}, ${Status}\\n"
    lines = told("dpkg-query", "-W", "-f", form).stdout.splitlines()
    automatic = set(told("apt-mark", "showauto").stdout.split())
    found = {}
    for name, state in (line.split("\t") for line in lines):
        found[f"package {name}"] = state + (", automatic" if name in automatic else "")
    return found


def accounts():
    found = {}
    for kind, file in (("user", "passwd"), ("group", "group"), ("group password", "gshadow")):
        for line in Path("/etc", file).read_text().splitlines():
            name, _, rest = line.partition(":")
            found[f"{kind} {name}"] = rest
    for line in Path("/etc/shadow").read_text().splitlines():
        name, password, _days, *ages = line.split(":")
        found[f"password {name}"] = ":".join((password, *ages))
    return found


def services():
    """Return for each script of init: what its `status` ends with, and at which run levels it starts."""
    found = {}
    for script in sorted(Path("/etc/init.d").iterdir()):
        levels = [level for level in MASKS if [*Path(f"/etc/rc{level}.d").glob(f"S??{script.name}")]]
        runs = told(str(script), "status").returncode
        found[f"service {script.name}"] = f"status {runs}, starts at {''.join(levels) or 'no level'}"
    return found


def processes():
    """Return owner and command line of every process, with the names in its environment, once every login has ended, and what watches work in the background."""
    end = time.monotonic() + SETTLED
    found = _processes()
    while time.monotonic() < end and any(ENDING.match(name) for name in found):
        time.sleep(0.1)
        found = _processes()
    return found


def _processes():
    found = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (
                (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            )
            words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            owner = folder.stat().st_uid
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if line.startswith("sshd: "):
            words = []  # its title lies where its environment was
        if os.getpid() not in {int(folder.name), parent}:
            found[f"process {owner} {line}"].append(
                " ".join(sorted({word.partition("=")[0] for word in words if word}))
            )
    return {name: sorted(environments) for name, environments in found.items()}


def ports():
    found = {}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state in {"0A", "07"}:  # listens; a datagram socket without a peer
                found[f"port {name} {address}"] = "open"
    return found


def files():
    found = {}
    for top, folders, names in os.walk("/"):
        above = top.rstrip("/")
        folders[:] = [one for one in folders if f"{above}/{one}" not in NOT_THE_DISK]
        for path in (f"{above}/{name}" for name in (*folders, *names)):
            try:
                found[f"file {path}"] = file(path)
            except FileNotFoundError:  # of a process that has ended meanwhile
                continue
    return found


def file(path):
    info = os.lstat(path)
    kind, head = stat.S_IFMT(info.st_mode), f"{stat.S_IMODE(info.st_mode):04o} {info.st_uid}:{info.st_gid}"
    if kind == stat.S_IFLNK:
        return f"{info.st_uid}:{info.st_gid} link {Path(path).readlink()}"
    if kind != stat.S_IFREG:
        return f"{head} {'folder' if kind == stat.S_IFDIR else 'special'}"
    if info.st_ctime <= MADE:  # a file of the shared system, which nobody has written to since
        return f"{head} as Debian made it"
    if TIMED.fullmatch(path):
        return f"{head} file"
    data = STAMP.sub(b"", Path(path).read_bytes()) if path.startswith(CRONTABS) else Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        return f"{head} {data.decode() if len(data) <= TOLD_WHOLE else digest}"
    except UnicodeDecodeError:
        return f"{head} {digest}"


main()
