import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from itmp.adapters import supervisor
from itmp.adapters.supervisor import Supervised
from itmp.errors import Error, ToolMissingError

# Starts a grandchild in a session of its own that outlives its parent, and says its pid.
ESCAPE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
print(child.pid, flush=True)
{then}
"""
EXECUTOR = """
import os, subprocess, sys, time
from itmp.adapters.supervisor import Supervised
child = Supervised([sys.executable, "-c", sys.argv[1]], token=sys.argv[2], environment=dict(os.environ), stdout=sys.stdout)
time.sleep(300)
"""
# An orphan that many others outlive for a moment, and some of them wait for its end to tell of it.
WITNESSES = """
import os, subprocess, sys, time
held, end = os.pipe()
sleep = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]
def orphan(*more, **options):
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen(*more, **options)
        os._exit(0)
    os.wait()
orphan(sleep, pass_fds=(end,))
os.close(end)
for _ in range(50):
    orphan(["sleep", "300"])
for _ in range(8):
    if os.fork() == 0:
        os.read(held, 1)
        open(sys.argv[1], "w").close()
        os._exit(0)
print("ready", flush=True)
time.sleep(300)
"""
LIMIT = 10.0


def gone(pid: int) -> bool:
    """Wait until `pid` is gone (or a zombie that nobody of ours must collect)."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            return True
        if state == b"Z":
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def token():
    value = secrets.token_hex(8)
    yield value
    supervisor.sweep(value)


def told(token: str, script: str, **more) -> tuple[Supervised, str]:
    """Start a program under supervision; return it once it has told a line, with the line."""
    read, write = os.pipe()
    child = Supervised(
        [sys.executable, "-c", script], token=token, environment=dict(os.environ), stdout=write, **more
    )
    os.close(write)
    with os.fdopen(read) as out:
        return child, out.readline()


def start(token: str, then: str, **more) -> tuple[Supervised, int]:
    child, pid = told(token, ESCAPE.format(then=then), **more)
    return child, int(pid)


def test_a_descendant_in_its_own_session_ends_with_the_child(token):
    child, escaped = start(token, "sys.exit(7)")
    with child:
        assert child.wait(LIMIT) == 7
        assert gone(escaped)


def test_end_kills_everything(token):
    child, escaped = start(token, "time.sleep(300)")
    with child:
        assert child.end() == 128 + signal.SIGKILL
        assert gone(escaped)


def test_nobody_lives_to_tell_of_anothers_end(token, tmp_path):
    """Ansible would report as unreachable a host whose connection we have ended before Ansible."""
    for number in range(5):
        seen = tmp_path / f"seen-{number}"
        child, _ = told(token, WITNESSES.replace("sys.argv[1]", repr(str(seen))))
        with child:
            child.end()
        assert not seen.exists()


def test_a_child_that_ignores_the_request_is_killed_after_the_grace_period(token):
    child, escaped = start(
        token,
        "import signal; signal.signal(15, signal.SIG_IGN); time.sleep(300)",
        grace=0.2,
    )
    with child:
        child.stop()
        assert child.wait(LIMIT) is not None
        assert gone(escaped)


def test_a_child_may_end_itself_in_the_grace_period(token):
    script = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(3)); print(flush=True); time.sleep(300)"
    child, _ = told(token, script, grace=LIMIT)  # its handler stands
    with child:
        child.stop()
        assert child.wait(LIMIT) == 3


def test_killing_the_executor_ends_all_its_descendants(token):
    with subprocess.Popen(
        [sys.executable, "-c", EXECUTOR, ESCAPE.format(then="time.sleep(300)"), token],
        stdout=subprocess.PIPE,
        text=True,
    ) as executor:
        assert executor.stdout is not None
        escaped = int(executor.stdout.readline())
        executor.kill()
        executor.wait(LIMIT)
        assert gone(escaped)


def test_killing_the_supervisor_leaves_nothing_either(token):
    child, escaped = start(token, "time.sleep(300)")
    with child:
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(LIMIT) == 128 + signal.SIGKILL
        assert gone(escaped)


def test_sweep_finds_processes_by_token_alone(token):
    stray = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"], env={supervisor.TOKEN: token}
    )
    other = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"], env={supervisor.TOKEN: token + "0"}
    )
    try:
        end = time.monotonic() + LIMIT
        found: tuple[str, ...] = ()
        while not found and time.monotonic() < end:
            found = supervisor.sweep(token)
        assert [int(line.split()[0]) for line in found] == [stray.pid]
        assert stray.wait(LIMIT) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (stray, other):
            process.kill()
            process.wait()


def test_run_passes_input_and_gives_only_the_named_environment(token):
    program = (
        "import os, sys; sys.stdout.write(sys.stdin.read() + os.environ['A'] + str('HOME' in os.environ))"
    )
    done = supervisor.run(
        [sys.executable, "-c", program], token=token, environment={"A": "1"}, data=b"in ", timeout=LIMIT
    )
    assert (done.rc, done.stdout) == (0, b"in 1False")


def test_run_ends_a_child_that_takes_too_long(token):
    with pytest.raises(Error, match="ended after"):
        supervisor.run(
            [sys.executable, "-c", "import time; time.sleep(300)"], token=token, environment={}, timeout=0.3
        )


def test_a_missing_program_is_named(token):
    with pytest.raises(ToolMissingError, match="no-such-program"):
        supervisor.run(["no-such-program"], token=token, environment={}, timeout=LIMIT)
