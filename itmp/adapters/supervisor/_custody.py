"""Closes the executor's state to a child before it is started; loaded by `_main`, and there alone.

Rules kept here: after `close` the program, and whatever it starts, as the same uid or as root, finds at each
closed folder nothing but the parts in `KEPT` and those that it is shown, by every mount of it that this machine has,
and nobody behind a closed socket; it cannot change mounts, look through /proc or a debugger into a process outside,
open files by handle, or read the disk below. What cannot be closed raises `OSError`, and the program is not started.
Nothing else is taken from it: it reads, writes, links and renames elsewhere as before.

- `namespaces`: a mount namespace of its own with covers over the folders. Needs CAP_SYS_ADMIN; that and further
  capabilities which reach around covers are then given up. Where the kernel has Landlock, a domain forbids a second
  time to change mounts and to look into outside processes.
- `user-namespace`: the same without that right. Programs that become root by a set-uid bit do not work in it.
- `landlock`: a Landlock domain alone. What is made after the start beside a folder above a closed one cannot be
  opened, and nothing there removed; set-uid programs do not work. Sockets stay reachable, because Landlock does not
  know them, and so do folders that lie in a shared one (/tmp, /dev/shm), because everybody makes files there.

Standard library only, as `_main`. Kernel interface: landlock(7), mount_namespaces(7), user_namespaces(7).
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence

KEPT = ("lab", "schemas")
"""The parts of the state that every child may use."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 8, 32, 4096
_MS_REC, _MS_SLAVE = 16384, 1 << 19
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_RULE_PATH_BENEATH, _RULESET_VERSION = 1, 1
_WRITE_FILE, _READ_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 2, 1 << 13, 1 << 14
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_OF_FOLDERS = _REFER | _REMOVE_DIR | _REMOVE_FILE
_ABI_REFER, _ABI_TRUNCATE = 2, 3
# CAP_DAC_READ_SEARCH (files by handle), CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_MKNOD,
# CAP_PERFMON, CAP_BPF: each reaches around a cover.
_CAPABILITIES = (2, 16, 17, 19, 21, 27, 38, 39)


def close(level: str, closed: Sequence[str], shown: Sequence[str] = ()) -> None:
    """Close `closed` to this process and all it starts, but for `shown` below; raise `OSError` where `level` fails."""
    if level == "none" or not closed:
        return
    closed = [path for path in map(os.path.realpath, closed) if os.path.exists(path)]  # noqa: PTH110 -- as in _main
    folders = [path for path in closed if os.path.isdir(path)]  # noqa: PTH112 -- as in _main
    parts = {folder: _parts(folder, shown) for folder in folders}
    if level == "landlock":
        own = {folder: names for folder, names in parts.items() if not _shared(os.path.dirname(folder))}  # noqa: PTH120 -- as in _main
        _restrict(_READ_FILE | _WRITE_FILE | _TRUNCATE | _OF_FOLDERS, list(_around(own)))
        with contextlib.suppress(PermissionError):  # who may not give them up does not have them
            _give_up()
        return
    devices = set(_devices(folders)) if level == "namespaces" else set()
    if level == "namespaces":
        _call("unshare", _CLONE_NEWNS)
    else:
        _own_users()
    _mount(None, "/", None, _MS_REC | _MS_SLAVE)
    for folder in folders:
        for other in _aliases(folder):
            _cover(other, ())
        _cover(folder, parts[folder])
    sockets = (path for path in closed if path not in parts)
    for node in (*_nodes(devices), *sockets):
        _mount("/dev/null", node, None, _MS_BIND)
    os.chdir(os.getcwd())  # noqa: PTH109 -- who stands below a cover must not stay there
    try:
        _restrict(_REFER, ["/"])  # a second barrier: mounts and other processes are out of reach already
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    if level == "namespaces":
        _give_up()


def _own_users() -> None:
    """Enter a user namespace in which we have our own ids and may mount."""
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 -- as in _main
            file.write(text)


def _shared(folder: str) -> bool:
    return bool(os.stat(folder).st_mode & stat.S_ISVTX)  # noqa: PTH116 -- as in _main


def _parts(folder: str, shown: Sequence[str]) -> list[str]:
    """Return the parts of `folder` that show through, relative to it."""
    below = [os.path.relpath(path, folder) for path in map(os.path.realpath, shown) if _beneath(path, folder)]
    return [*KEPT, *(path for path in below if path != ".")]


def _cover(folder: str, kept: Sequence[str]) -> None:
    """Put an empty read-only folder over `folder`, with the `kept` parts of what is below showing through."""
    held = {}
    for name in kept:
        with contextlib.suppress(OSError):
            held[name] = os.open(
                f"{folder}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=0700,size=64k")
    for name, number in held.items():
        os.makedirs(f"{folder}/{name}", 0o700)  # noqa: PTH103 -- as in _main
        _mount(f"/proc/self/fd/{number}", f"{folder}/{name}", None, _MS_BIND | _MS_REC)
        os.close(number)
    _mount(None, folder, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _mounts() -> Iterator[tuple[str, str, str, str]]:
    """Yield (device, root within it, mount point, source) of every mount, the newest last."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 -- as in _main
        for line in file:
            left, _, right = line.partition(" - ")
            fields = left.split()
            yield fields[2], _plain(fields[3]), _plain(fields[4]), _plain(right.split()[1])


def _plain(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _aliases(folder: str) -> Iterator[str]:
    """Yield where else `folder` can be reached: the same file system mounted in other places."""
    mounts = list(_mounts())
    under = [entry for entry in mounts if _beneath(folder, entry[2])]
    device, root, point, _ = max(enumerate(under), key=lambda item: (len(item[1][2]), item[0]))[1]
    inner = os.path.normpath(os.path.join(root, os.path.relpath(folder, point)))  # noqa: PTH118 -- as in _main
    for entry in mounts:
        if entry[0] == device and _beneath(inner, entry[1]):
            other = os.path.normpath(os.path.join(entry[2], os.path.relpath(inner, entry[1])))  # noqa: PTH118 -- as in _main
            with contextlib.suppress(OSError):
                if other != folder and os.path.samefile(other, folder):  # noqa: PTH121 -- as in _main
                    yield other


def _beneath(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")


def _devices(folders: Sequence[str]) -> Iterator[int]:
    """Yield the block devices that hold `folders`: partitions, their disks, and what they are made of."""
    waiting = [os.stat(folder).st_dev for folder in folders]  # noqa: PTH116 -- as in _main
    sources = {entry[0]: entry[3] for entry in _mounts()}
    for number in tuple(waiting):
        with contextlib.suppress(OSError, KeyError):  # of btrfs and the like: the number is no device's
            waiting.append(os.stat(sources[f"{os.major(number)}:{os.minor(number)}"]).st_rdev)  # noqa: PTH116 -- as above
    seen: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        yield number
        waiting += _below(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")


def _below(place: str) -> Iterator[int]:
    places = [f"{place}/../dev"] if os.path.exists(f"{place}/partition") else []  # noqa: PTH110 -- as in _main
    with contextlib.suppress(OSError):
        places += [f"{place}/slaves/{name}/dev" for name in os.listdir(f"{place}/slaves")]  # noqa: PTH208 -- as in _main
    for path in places:
        with contextlib.suppress(OSError), open(path) as file:  # noqa: PTH123 -- as in _main
            major, _, minor = file.read().strip().partition(":")
            yield os.makedev(int(major), int(minor))


def _nodes(devices: set[int]) -> list[str]:
    """Return the device nodes of `devices`."""
    found = []
    for folder, _, names in os.walk("/dev") if devices else ():
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(f"{folder}/{name}")
                if stat.S_ISBLK(status.st_mode) and status.st_rdev in devices:
                    found.append(f"{folder}/{name}")
    return found


def _around(parts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield everything but the folders of `parts` and what is above them, then those parts of them."""
    spared = set(parts)
    above = {"/"}
    for folder in spared:
        names = folder.split("/")
        above |= {"/".join(names[:count]) or "/" for count in range(1, len(names))}
    for folder in sorted(above):
        with contextlib.suppress(OSError):
            names = os.listdir(folder)  # noqa: PTH208 -- as in _main
            inside = (f"{folder.rstrip('/')}/{name}" for name in names)
            yield from (path for path in inside if path not in above | spared)
    yield from (f"{folder}/{name}" for folder, names in parts.items() for name in names)


def _restrict(handled: int, paths: Sequence[str]) -> None:
    """Enter a Landlock domain that allows the `handled` kinds of access beneath `paths` and nowhere else."""
    version = _syscall(_CREATE_RULESET, None, 0, _RULESET_VERSION)
    if version < _ABI_REFER:
        raise OSError(errno.EOPNOTSUPP, "landlock is too old")
    handled &= ~_TRUNCATE if version < _ABI_TRUNCATE else ~0
    attributes = struct.pack("=Q", handled)
    ruleset = _syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    for path in paths:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            _allow(ruleset, handled, path)
    try:
        _syscall(_RESTRICT_SELF, ruleset, 0)
    except PermissionError:
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, handled: int, path: str) -> None:
    number = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISLNK(mode):
            return
        access = handled if stat.S_ISDIR(mode) else handled & ~_OF_FOLDERS
        _syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", access, number), 0)
    finally:
        os.close(number)


def _give_up() -> None:
    """Let no program started from here have a capability that reaches around covers."""
    for number in _CAPABILITIES:
        try:
            _call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:  # this kernel does not know it
                raise


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = [os.fsencode(text) if text is not None else None for text in (source, target, kind)]
    _call("mount", *texts, ctypes.c_ulong(flags), data.encode() or None, where=target)


def _syscall(number: int, *arguments: object) -> int:
    return _call("syscall", ctypes.c_long(number), *(_wide(one) for one in arguments))


def _wide(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _call(name: str, *arguments: object, where: str = "") -> int:
    result = int(getattr(_LIBC, name)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", where or None)
    return result
