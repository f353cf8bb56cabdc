# Attacks speak the system's own calls, and answer on standard output:
# ruff: noqa: PTH208, PTH123, PTH116, T201
"""What a hostile play could try: `custody_attacks.py STATE EXECUTOR_PID ALIAS`, a JSON object {attack: what it got}.

`denied` or the error's name where an attack came to nothing; what begins with `STOLEN` is the log's key.
"""

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MARK = "PRIVATE+KEY+itmp"
state, executor, alias = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
key = state / "keys" / "log.key"
scratch = Path.cwd()
top = state.parents[1]
ATTACKS: dict[str, Callable[[], str]] = {}


def attack(function: Callable[[], str]) -> Callable[[], str]:
    ATTACKS[function.__name__] = function
    return function


def check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def program(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout + done.stderr


@attack
def path() -> str:
    return key.read_text()


@attack
def list_state() -> str:
    return f"{MARK} listed" if (state / "keys").exists() and os.listdir(state / "keys") else "denied"


@attack
def write_log() -> str:
    (state / "log" / "journal").open("ab").write(b"forged")
    return f"{MARK} log written"


@attack
def index() -> str:
    return f"{MARK} {(state / 'head.sqlite').read_text()}"


@attack
def symlink() -> str:
    (scratch / "sym").symlink_to(key)
    return (scratch / "sym").read_text()


@attack
def hard_link() -> str:
    os.link(key, scratch / "hard")
    return (scratch / "hard").read_text()


@attack
def dots() -> str:
    number = os.open("../keys/log.key", os.O_RDONLY, dir_fd=os.open(state / "runs", os.O_PATH))
    return os.read(number, 4096).decode()


@attack
def dots_of_cwd() -> str:
    return os.read(os.open("../../keys/log.key", os.O_RDONLY), 4096).decode()


@attack
def second_mount() -> str:
    return (alias / key.relative_to(state.parent)).read_text()


@attack
def proc_root() -> str:
    return Path(f"/proc/{executor}/root{key}").read_text()


@attack
def proc_cwd() -> str:
    return Path(f"/proc/{executor}/cwd/{state.name}/keys/log.key").read_text()


@attack
def init_root() -> str:
    return Path(f"/proc/1/root{key}").read_text()


@attack
def proc_fd() -> str:
    for name in os.listdir(f"/proc/{executor}/fd"):
        file = Path(f"/proc/{executor}/fd/{name}")
        if file.is_file() and MARK in file.read_text(errors="replace"):
            return file.read_text()
    return "denied"


@attack
def proc_mem() -> str:
    with open(f"/proc/{executor}/mem", "rb") as file:
        return f"{MARK} {file.fileno()}"


@attack
def ptrace() -> str:
    check(LIBC.ptrace(0x4206, int(executor), 0, 0))  # PTRACE_SEIZE: it does not stop it
    return f"{MARK} attached"


@attack
def read_memory() -> str:
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    there = (ctypes.c_size_t * 2)(0x400000, 8)
    check(LIBC.process_vm_readv(int(executor), vector, 1, there, 1, 0))
    return f"{MARK} memory"


@attack
def descriptor() -> str:
    number = os.pidfd_open(int(executor))
    for other in range(3, 40):
        with contextlib.suppress(OSError):
            taken = check(LIBC.syscall(438, number, other, 0))
            with contextlib.suppress(OSError, UnicodeDecodeError):
                text = os.pread(taken, 4096, 0).decode()
                if MARK in text:
                    return text
    return "denied"


@attack
def umount() -> str:
    check(LIBC.umount2(os.fsencode(state), 2))
    return key.read_text()


@attack
def bind() -> str:
    bound = scratch / "bound"
    bound.mkdir()
    check(LIBC.mount(os.fsencode(state.parent), os.fsencode(bound), None, ctypes.c_ulong(4096), None))
    try:
        return (bound / state.name / "keys" / "log.key").read_text()
    finally:
        check(LIBC.umount2(os.fsencode(bound), 2))


@attack
def open_tree() -> str:
    number = check(LIBC.syscall(428, -100, os.fsencode(state.parent), 1))
    return os.read(os.open(f"{state.name}/keys/log.key", os.O_RDONLY, dir_fd=number), 4096).decode()


@attack
def own_namespaces() -> str:
    return program("unshare", "-Urm", "sh", "-c", f"umount -l '{state}'; cat '{key}'")


@attack
def enter() -> str:
    return program("nsenter", "-t", executor, "-m", "cat", str(key))


@attack
def enter_init() -> str:
    return program("nsenter", "-t", "1", "-m", "cat", str(key))


@attack
def outside_chroot() -> str:
    return program("chroot", f"/proc/{executor}/root", "cat", str(key))


@attack
def by_handle() -> str:
    """Inode numbers are no secret: every handle near a known one is tried."""
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.cast(handle, ctypes.POINTER(ctypes.c_uint))[0] = 128
    mount = ctypes.c_int()
    at = os.open(state.parent, os.O_RDONLY)
    check(LIBC.name_to_handle_at(at, b"", handle, ctypes.byref(mount), 0x1000))
    check(LIBC.open_by_handle_at(at, handle, os.O_RDONLY))
    return f"{MARK} opened by handle"


@attack
def disk() -> str:
    for name in devices():
        with open(name, "rb") as file:
            if file.read(4096):
                return f"{MARK} {name} read"
    return "denied"


@attack
def own_node() -> str:
    number = os.stat(state.parent).st_dev
    os.mknod(scratch / "disk", 0o60600, number)
    with (scratch / "disk").open("rb") as file:
        return f"{MARK} {len(file.read(4096))}"


@attack
def other_run() -> str:
    return (state / "runs" / "r2" / "vars.json").read_text()


@attack
def into_other_run() -> str:
    """Other bytes for a run that is being laid out."""
    with (state / "runs" / "r2" / "vars.json").open("r+b") as file:
        file.write(MARK.encode())
    return f"{MARK} written into another run"


@attack
def stack_secrets() -> str:
    return (state / "pulumi" / "passphrase").read_text()


@attack
def other_sockets() -> str:
    """The folder in which another run keeps its ssh configuration and its open connections."""
    return (top / "shelter" / "other" / "ssh_config").read_text()


@attack
def agent() -> str:
    """The user's own agent, found by its path."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(str(top / "agent" / "s"))
        return link.recv(100).decode()


@attack
def replace() -> str:
    (scratch / "other").write_text("forged")
    (scratch / "other").rename(state / "log" / "spare")
    return f"{MARK} replaced"


@attack
def unlink() -> str:
    (state / "log" / "spare").unlink()
    return f"{MARK} removed"


@attack
def moved() -> str:
    (state / "keys").rename(scratch / "keys")
    text = (scratch / "keys" / "log.key").read_text()
    (scratch / "keys").rename(state / "keys")
    return text


def devices() -> Iterator[str]:
    number = os.stat(state.parent).st_dev
    for name in os.listdir("/dev"):
        with contextlib.suppress(OSError):
            if os.stat(f"/dev/{name}").st_rdev == number:
                yield f"/dev/{name}"


def main() -> None:
    found = {}
    for name, function in ATTACKS.items():
        try:
            got = function()
            found[name] = f"STOLEN {got}" if MARK in got else "denied"
        except Exception as error:  # noqa: BLE001 - each kind of refusal is an answer
            found[name] = repr(error)
    for name in ("new", "linked"):
        (scratch / name).unlink(missing_ok=True)
    (scratch / "new").write_text("new")
    os.link(scratch / "new", scratch / "linked")
    found["elsewhere"] = (scratch / "linked").read_text()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
