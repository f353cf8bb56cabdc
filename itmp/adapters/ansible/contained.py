"""The first process of a container: `python -m itmp.adapters.ansible.contained KIND ARGUMENTS`, as `start`.

Rules kept here: nothing in the container outlives the executor, whoever the container's parent is: when the executor's
end of the action socket closes, this process exits, and with the first process of its own process namespace the kernel
ends all others. It passes on SIGTERM and takes in processes that lose their parent.
"""

import os
import select
import signal
import sys
from typing import Final

from itmp.adapters.actions import ActionClient, ActionRefusedError

ROLE: Final = "life"
_LOST: Final = 98


def main() -> int:
    """Run Ansible; return its exit code, 128 + n when signal n ended it."""
    try:
        executor = ActionClient.from_environment(ROLE)
    except ActionRefusedError as error:
        sys.stderr.write(f"itmp: {error}\n")
        return _LOST
    signals = _wake_on_signals()
    program = os.fork()
    if program == 0:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        arguments = [sys.executable, "-P", "-m", "itmp.adapters.ansible.start", *sys.argv[1:]]
        os.execv(sys.executable, arguments)  # noqa: S606 -- the executor's own argument list, no shell
    while True:
        ready, _, _ = select.select([executor.fileno(), signals], [], [])
        if executor.fileno() in ready:
            return _LOST
        if signal.SIGTERM in os.read(signals, 64):
            os.kill(program, signal.SIGTERM)
        if (status := _reap(program)) is not None:
            return 128 - status if status < 0 else status


def _wake_on_signals() -> int:
    """Return a descriptor on which each signal is read as one byte."""
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return signals


def _reap(program: int) -> int | None:
    """Take in every ended process; return the program's exit code once it has ended."""
    found = None
    try:
        while True:
            pid, raw = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return found
            if pid == program:
                found = os.waitstatus_to_exitcode(raw)
    except ChildProcessError:
        return found


if __name__ == "__main__":
    sys.exit(main())
