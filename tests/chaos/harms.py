"""The harms: each strikes at one moment of a run, says what it hit, and how it is healed. Every choice comes from the seed.

A harm that finds nothing alive of this run returns `None`: it has not struck. Where only the end of the command can tell
whether a strike met anything (a full disk that nobody wrote to any more), the hit carries its own proof.
"""

import array
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ground import WEB, Ground, pause
from plays import HOME
from prey import below, callbacks_cut, reached, signaled, stopped

Heal = Callable[[], object]
BLOCK: Final = 65536
LOOKS: Final = 5
"""How often a harm looks for a connection before there is one, about."""
RUNNER: Final = "ansible.child"
SUPERVISOR: Final = "supervisor/_main.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a harm hit.

    `proof` is asked with the command's exit code; `due` names a host that the run had not come to yet: it is hit if
    the run comes to it afterwards.
    """

    what: str
    heal: Heal = lambda: None
    proof: Callable[[int], bool] = lambda _: True
    due: str = ""


Harm = Callable[[Ground, "subprocess.Popen[bytes]", random.Random], Hit | None]


def _failed(code: int) -> bool:
    return code != 0


def _hit(what: str) -> Hit | None:
    return Hit(what=what) if what else None


def _target(
    ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random, *, ahead: float = 0.0
) -> tuple[str, str, str] | None:
    """Draw a host: one that the run is connected to, or, as often as `ahead` says, one that it may yet come to.

    Returns the host, what there is to say of it, and the host again if it is yet to come to.
    """
    found = reached(ground, run)
    away = [host for host in WEB if host not in found]
    if away and chance.random() < (ahead if found else ahead / LOOKS):
        host = chance.choice(away)
        return host, f"{host}, not yet come to", host
    if not found:
        return None
    host = chance.choice(list(found))
    return host, f"{host}, connected to by {found[host]}", ""


def kill_cli(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Hit | None:
    if run.poll() is not None:
        return None
    run.kill()
    return Hit(what=f"{run.pid} the command", proof=lambda code: code == -signal.SIGKILL)


def kill_runner(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Hit | None:
    """Kill what runs Ansible, and not its supervisor, whose command line names it too."""
    runners = set(below(run, RUNNER)) - set(below(run, SUPERVISOR))
    return _hit(signaled(runners, signal.SIGKILL))


def kill_ansible(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Hit | None:
    return _hit(signaled(below(run, "ansible.start"), signal.SIGKILL))


def kill_supervisor(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Hit | None:
    return _hit(signaled(below(run, SUPERVISOR), signal.SIGKILL))


def kill_ssh(_: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    """Kill the clients, or also the masters that hold the connections."""
    clients = below(run, "/ssh -F ")
    masters = below(run, "ssh: /") if chance.random() < 0.6 else []
    return _hit(signaled([*clients, *masters], signal.SIGKILL))


def stop_cli(_: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    if run.poll() is not None:
        return None
    run.send_signal(signal.SIGSTOP)
    stood = stopped(run.pid)
    pause(chance.uniform(0.2, 3))
    run.send_signal(signal.SIGCONT)
    return Hit(what=f"{run.pid} the command") if stood else None


def stop_runner(_: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    pids = below(run, "ansible.start")
    hit = signaled(pids, signal.SIGSTOP)
    if not hit or True not in [stopped(pid) for pid in pids]:  # each of them has to stand first
        return None
    pause(chance.uniform(0.2, 3))
    if chance.random() < 0.5:
        run.kill()
    signaled(pids, signal.SIGCONT)
    return Hit(what=hit)


def cut_socket(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Hit | None:
    """Shut the callback's connection down under the executor."""
    count = callbacks_cut(run)
    return Hit(what=f"{count} connections of the callback with {run.pid}") if count else None


def kill_sshd(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    """Kill a host's server with its sessions; half the time another one is there at once."""
    target = _target(ground, run, chance, ahead=0.2)
    if target is None:
        return None
    host, what, due = target
    killed = ground.shell(host, "for p in $(pidof sshd); do kill -9 $p && echo $p; done; true").split()
    start = "pidof -s sshd >/dev/null || /usr/sbin/sshd -E /var/log/sshd.log"
    if not due and chance.random() < 0.5:
        ground.shell(host, start)
    if not killed:
        return None
    return Hit(what=f"{what}: {len(killed)} processes there", heal=lambda: ground.shell(host, start), due=due)


def power_off(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    """Cut a host's power; now and then its cable is out first, so that nobody hears that it ends."""
    target = _target(ground, run, chance, ahead=0.2)
    if target is None:
        return None
    host, what, due = target
    silent = chance.random() < 0.15
    if silent:
        ground.connected(host, up=False)
    ground.fleet.stop_host(host)

    def heal() -> None:
        if silent:
            ground.connected(host, up=True)
        ground.fleet.start_host(host)

    return Hit(what=f"{what}{', silently' if silent else ''}", heal=heal, due=due)


def reboot(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    target = _target(ground, run, chance)
    if target is None:
        return None
    ground.fleet.stop_host(target[0])
    ground.fleet.start_host(target[0])
    return Hit(what=target[1])


def cut_network(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    """Pull a host's cable for some seconds, or, now and then, until the command has given the host up."""
    target = _target(ground, run, chance)
    if target is None:
        return None
    host, what, _ = target
    ground.connected(host, up=False)
    if chance.random() < 0.15:
        return Hit(what=f"{what}, for good", heal=lambda: ground.connected(host, up=True))
    pause(chance.uniform(0.5, 5))
    if chance.random() < 0.4:
        run.kill()
    ground.connected(host, up=True)
    return Hit(what=what)


def fill_host(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    """Fill what the play writes to, or where modules put what they need, or both."""
    target = _target(ground, run, chance, ahead=0.2)
    if target is None:
        return None
    host, what, due = target
    disk, rooms = f"{HOME}/disk", ("/tmp", "/var/tmp", "/root")  # noqa: S108 - a host's own, not this machine's
    folders = chance.choice([(disk,), rooms, (disk, *rooms)])
    before = ground.failures(host)
    ground.fill(host, *folders)
    return Hit(
        what=f"{what}: {' '.join(folders)}",
        heal=lambda: ground.free(host, *folders),
        proof=lambda code: _failed(code) or ground.failures(host) > before,  # which a rescue may have borne
        due=due,
    )


def fill_controller(ground: Ground, run: "subprocess.Popen[bytes]", _: random.Random) -> Hit | None:
    fill = ground.root / ".itmp" / "fill"
    _stuff(fill)
    free = os.statvfs(fill).f_bavail
    if run.poll() is not None or free:
        fill.unlink()
        return None
    return Hit(
        what=f"{fill.stat().st_size} bytes beside the log, none free",
        heal=lambda: fill.unlink(missing_ok=True),
        proof=_failed,
    )


def fill_temporary(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Hit | None:
    """Fill the temporary folders of a command that was started apart; half the time no name is left in them either."""
    rooms = [Path(f"/proc/{run.pid}/root{folder}") for folder in ground.temporary]
    named = chance.random() < 0.5
    try:
        if any(
            room.stat().st_dev == ours.stat().st_dev
            for room, ours in zip(rooms, ground.temporary, strict=True)
        ):
            return None  # not laid yet
        for room in rooms:
            _stuff(room / "fill")
            _crowd(room, os.statvfs(room).f_favail if named else 0)
    except OSError:  # the command has ended
        return None
    return Hit(what=f"{' '.join(map(str, rooms))}{', names too' if named else ''}", proof=_failed)


def _stuff(fill: Path) -> None:
    """Write to a file until its disk is full."""
    for size in (BLOCK, 16):
        block = array.array("B", bytes(size)).tobytes()
        with contextlib.suppress(OSError), fill.open("ab", buffering=0) as file:
            while file.write(block):
                pass


def _crowd(folder: Path, count: int) -> None:
    """Make `count` empty files, or fewer where others take the last names."""
    with contextlib.suppress(OSError):
        for number in range(count):
            (folder / f"fill{number}").touch()


def read_only(ground: Ground, run: "subprocess.Popen[bytes]", _: random.Random) -> Hit | None:
    log, aside = str(ground.root / ".itmp" / "log"), str(ground.root.parent / "log-aside")
    Path(aside).mkdir(exist_ok=True)
    # It is made read-only where nobody can open a file for writing meanwhile, which would keep it writable.
    subprocess.run(["mount", "--bind", log, aside], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", aside], check=True)
    subprocess.run(["mount", "--bind", aside, log], check=True)
    subprocess.run(["umount", "-l", aside], check=True)
    return Hit(
        what=f"the log of {run.pid}",
        heal=lambda: subprocess.run(["umount", "-l", log], check=True),
        proof=_failed,
    )


HARMS: Final[Mapping[str, Harm]] = {
    harm.__name__: harm
    for harm in (
        kill_cli, kill_runner, kill_ansible, kill_supervisor, kill_ssh, stop_cli, stop_runner, cut_socket,
        kill_sshd, power_off, reboot, cut_network, fill_host, fill_controller, fill_temporary, read_only,
    )
}  # fmt: skip
