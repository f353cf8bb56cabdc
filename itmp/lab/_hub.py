"""The hub of a namespace lab: one process that holds the lab's network, disks and package repository.

Rules kept here:
- It is run by path, as root, and needs the standard library and `ip`. Its network namespace, those of the
  hosts and its mount namespace have no name: they exist while this process lives and vanish with it, links
  and all.
- The only thing outside is one end of a veth pair in the namespace it was started from, `itmp-lab<N>` with
  10.77.N.254/24. Creating that link is what claims the subnet: the kernel allows the name once.
- Hosts have no default route: they reach each other, the hub (10.77.N.1) and 10.77.N.254, nothing else.
"""

import ctypes
import http.server
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

NETWORK: Final = "10.77"
PORT: Final = 8080
LINK: Final = "itmp-lab"
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWNS: Final = 0x00020000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _ip(*commands: str) -> None:
    """Run several `ip` commands in this process' current network namespace."""
    subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True, capture_output=True
    )


def _new_namespace() -> int:
    """Move into a fresh network namespace and return a descriptor that holds it."""
    _call("unshare", _CLONE_NEWNET)
    held = os.open("/proc/self/ns/net", os.O_RDONLY)
    _ip("link set lo up")
    return held


def _enter(held: int) -> None:
    _call("setns", held, _CLONE_NEWNET)


def _claim(outside: int, hub: int) -> int:
    """Return the number of a free subnet, claimed by its link in the namespace outside."""
    _enter(outside)
    command = ["ip", "-o", "route", "show", "table", "all"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _enter(hub)
    start = os.getpid() % 250
    for number in ((start + offset) % 250 + 1 for offset in range(250)):
        if f"{NETWORK}.{number}." in listed:
            continue
        try:
            _ip(f"link add outside type veth peer name {LINK}{number} netns /proc/{os.getpid()}/fd/{outside}")
        except subprocess.CalledProcessError:
            continue
        return number
    raise OSError(f"no free subnet in {NETWORK}.0.0/16")


def _wire(count: int) -> tuple[int, list[int]]:
    """Build hub, hosts and the link outside; return the subnet's number and each host's namespace."""
    outside = os.open("/proc/self/ns/net", os.O_RDONLY)
    hub = _new_namespace()
    number = _claim(outside, hub)
    net = f"{NETWORK}.{number}"
    _ip(
        "link add br0 type bridge forward_delay 0",
        f"addr add {net}.1/24 dev br0",
        "link set br0 up",
        "link set outside master br0 up",
    )
    hosts = []
    for index in range(1, count + 1):
        held = _new_namespace()
        hosts.append(held)
        _enter(hub)
        _ip(
            f"link add v{index} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{held}",
            f"link set v{index} master br0 up",
        )
        _enter(held)
        _ip(f"addr add {net}.{10 + index}/24 dev eth0", "link set eth0 up")
    _enter(outside)
    _ip(f"addr add {net}.254/24 dev {LINK}{number}", f"link set {LINK}{number} up")
    _enter(hub)
    os.close(outside)
    return number, hosts


def _disks(folder: Path) -> None:
    """Mount memory for the hosts' disks, in a mount namespace of our own."""
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", b"/", None, _MS_REC_PRIVATE, None)
    (folder / "disks").mkdir(exist_ok=True)
    _call("mount", b"itmp-lab", os.fsencode(folder / "disks"), b"tmpfs", 0, b"mode=755")


class _Repository(http.server.SimpleHTTPRequestHandler):
    """Serves the package repository, each time afresh: a 304 within the same second would hide a release."""

    def send_head(self) -> Any:
        del self.headers["If-Modified-Since"]
        return super().send_head()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the base class names it so
        sys.stdout.write(f"{self.address_string()} {format % args}\n")
        sys.stdout.flush()


def main() -> None:
    """Run as `_hub.py FOLDER COUNT`; when all stands, `hub.json` appears in FOLDER."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    number, hosts = _wire(count)
    _disks(folder)
    server = http.server.ThreadingHTTPServer(
        (f"{NETWORK}.{number}.1", PORT),
        lambda *args: _Repository(*args, directory=str(folder / "repo")),
    )
    ready = folder / "hub.json.new"
    facts = {"pid": os.getpid(), "subnet": number, "hosts": hosts}
    ready.write_text(json.dumps(facts), encoding="utf-8")
    ready.rename(folder / "hub.json")
    server.serve_forever()


if __name__ == "__main__":
    main()
