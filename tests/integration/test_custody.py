"""What a child of the executor can reach of its state: nothing, by any way we know, on each means of closing it."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import itmp

ATTACKS = Path(__file__).with_name("custody_attacks.py")
HOME = str(Path(itmp.__file__).parents[1])
KEY = "PRIVATE+KEY+itmp+0badc0de"
# The executor: it holds the key open, stands in its workspace, and starts the attacks as its child.
EXECUTOR = """
import os, subprocess, sys
from pathlib import Path
from itmp.adapters import supervisor
from itmp.adapters.supervisor import custody
state, attacks, alias, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
top = state.parents[1]
os.chdir(state.parent)
key = (state / "keys" / "log.key").open()
closed = (state, top / "shelter", top / "agent" / "s")
for path in closed if how == "closed" else ():
    custody.close(path)
argv = [sys.executable, attacks, str(state), str(os.getpid()), alias]
folder, environment = state / "runs" / "r1", dict(os.environ)
if how in {"closed", "open"}:
    pipe = subprocess.PIPE
    with supervisor.Supervised(
        argv, token="attack", environment=environment, folder=folder, shown=(folder, top / "shelter" / "mine"),
        stdin=pipe, stdout=pipe, stderr=pipe,
    ) as child:
        done = child.communicate(b"", 60)
    how, out, err = custody.means(), done.stdout, done.stderr
else:
    life, _ = os.pipe()
    named = [str(len(closed)), *map(str, closed), "1", str(folder)]
    argv = [sys.executable, "-I", "-S", custody.MAIN, str(life), "1", how, *named, *argv]
    done = subprocess.run(argv, cwd=folder, pass_fds=(life,), capture_output=True, timeout=60)
    out, err = done.stdout, done.stderr
print(how + "\\n" + out.decode())
sys.stderr.write(err.decode())
sys.exit(0 if out else 1)
"""
ROOT = os.geteuid() == 0
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups") if ROOT else ()
ROOM = ("unshare", "-m") if ROOT else ("unshare", "-Urm")  # mounts made by an attack end with it


@pytest.fixture
def state() -> Iterator[Path]:
    top = Path(tempfile.mkdtemp())
    made = top / "ws" / ".itmp"
    for name in ("keys", "log", "runs/r1", "runs/r2", "pulumi"):
        (made / name).mkdir(parents=True)
    for name in ("shelter/mine", "shelter/other", "agent"):
        (top / name).mkdir(parents=True)
    (made / "runs/r2/vars.json").write_text(KEY)
    (made / "pulumi/passphrase").write_text(KEY)
    (top / "shelter/other/ssh_config").write_text(KEY)
    (made / "keys" / "log.key").write_text(KEY)
    (made / "log" / "journal").write_text("leaves")
    (made / "log" / "spare").write_text("may be neither replaced nor removed")
    (made / "head.sqlite").write_text("head")
    (top / "alias").mkdir()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(top / "agent/s"))
        (top / "agent/s").chmod(0o777)
        agent.listen()
        threading.Thread(target=talk, args=(agent,), daemon=True).start()
        yield made
        agent.shutdown(socket.SHUT_RDWR)
    shutil.rmtree(top)


def talk(agent: socket.socket) -> None:
    """Stand for the user's agent: whoever reaches it has what it holds."""
    with contextlib.suppress(OSError):
        while True:
            with agent.accept()[0] as link:
                link.sendall(KEY.encode())


def attacked(
    state: Path, how: str, *, before: tuple[str, ...] = (), python: str = sys.executable, setup: str = ""
) -> tuple[str, Mapping[str, str]]:
    """Run the attacks under a real executor, itself under `before`; return its means and what each attack got."""
    alias = state.parents[1] / "alias"
    script = f'{setup.format(ws=state.parent, alias=alias)}\nexec "$@"'
    argv = [python, "-c", EXECUTOR, str(state), str(ATTACKS), str(alias), how]
    done = subprocess.run(
        [*before, "sh", "-ec", script, "sh", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": HOME, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    means, _, found = done.stdout.partition("\n")
    return means, json.loads(found)


def stolen(found: Mapping[str, str]) -> dict[str, str]:
    return {name: got for name, got in found.items() if got.startswith("STOLEN")}


def hand_over(state: Path) -> str:
    """Give the workspace to a person without rights; return an interpreter that they can start."""
    for path in (state.parents[1], *state.parents[1].rglob("*")):
        if ROOT:
            os.chown(path, 65534, 65534)
        path.chmod(path.stat().st_mode | stat.S_IRUSR | stat.S_IWUSR)
    return "/usr/bin/python3" if ROOT else sys.executable


def test_without_custody_the_attacks_succeed(state):
    """The attacks are real: each takes the key, or opens the way to it, from an executor that closes nothing."""
    means, found = attacked(state, "open", before=ROOM, setup="mount --bind {ws} {alias}")
    taken = stolen(found).keys()
    assert means == "none"
    assert {
        "path",
        "list_state",
        "write_log",
        "index",
        "symlink",
        "hard_link",
        "dots",
        "dots_of_cwd",
    } <= taken
    assert {"second_mount", "proc_root", "proc_cwd", "proc_fd", "proc_mem", "ptrace", "descriptor"} <= taken
    assert {"bind", "open_tree", "own_namespaces", "enter", "outside_chroot", "moved"} <= taken
    assert {
        "other_run",
        "into_other_run",
        "stack_secrets",
        "other_sockets",
        "agent",
        "unlink",
        "replace",
    } <= taken
    assert not ROOT or "by_handle" in taken


def test_root_in_namespaces_reaches_nothing(state):
    """With every capability; the state is mounted in a second place too."""
    means, found = attacked(state, "closed", before=ROOM, setup="mount --bind {ws} {alias}")
    assert (means, stolen(found), found["elsewhere"]) == ("namespaces", {}, "new")
    assert (state / "log" / "journal").read_text() == "leaves"


def test_a_person_without_rights_is_held_in_a_user_namespace(state):
    python = hand_over(state)
    means, found = attacked(state, "closed", before=NOBODY, python=python)
    assert (means, stolen(found), found["elsewhere"]) == ("user-namespace", {}, "new")
    assert (state / "log" / "journal").read_text() == "leaves"


@pytest.mark.parametrize("before", [ROOM, NOBODY], ids=["root", "nobody"])
def test_landlock_alone_keeps_the_key(state, before):
    python = hand_over(state)
    _, found = attacked(state, "landlock", before=before, python=python, setup="")
    assert stolen(found).keys() <= {"list_state", "agent"}  # names are no secret; Landlock knows no sockets
    assert found["elsewhere"] == "new"
    assert (state / "log" / "journal").read_text() == "leaves"


def test_a_child_is_not_started_where_custody_cannot_be_held(state):
    python = hand_over(state)
    with pytest.raises(AssertionError, match="custody cannot be held"):
        attacked(state, "namespaces", before=NOBODY, python=python)


def test_what_reads_the_users_ssh_configuration_finds_the_state_closed(state: Path) -> None:
    seen = state.parents[1] / "seen"
    script = (
        "import sys; from pathlib import Path; from itmp.adapters.ansible import _ssh_files;"
        "from itmp.adapters.supervisor import custody; custody.close(Path(sys.argv[1]));"
        "_ssh_files._ask('web1', f'Match exec \"cat {sys.argv[1]}/keys/log.key > {sys.argv[2]} || true\"\\n  User x\\n')"
    )
    argv = [sys.executable, "-c", script, str(state), str(seen)]
    subprocess.run(argv, check=True, timeout=60, env={**os.environ, "PYTHONPATH": HOME})
    assert seen.read_text() == ""
