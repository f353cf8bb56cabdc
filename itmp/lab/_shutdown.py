"""Shutdown, reboot, poweroff and halt of a namespace host: reboot(2) ends its process namespace alone.

Rules kept here: the call acts only on the namespace it is made in (process 1 dies by SIGHUP for a restart, by
SIGINT for power off), and it is refused where this process' namespace is the machine's own.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

_RESTART = 0x01234567
_POWER_OFF = 0x4321FEDC
_GRACE = 0.3  # seconds, so that the caller's connection ends before the host does


def main() -> None:
    """Fork, answer the caller at once, then end the namespace."""
    name, args = Path(sys.argv[0]).name, sys.argv[1:]
    if not Path("/etc/itmp-lab-host").exists():
        sys.exit("refused: this is no lab host")
    off = name in {"poweroff", "halt"} or bool({"-h", "-P", "-H"} & set(args))
    minutes = next((int(arg.lstrip("+")) for arg in args if arg.lstrip("+").isdigit()), 0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the caller's terminal may close before setsid()
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(minutes * 60 + _GRACE)
    os.sync()
    ctypes.CDLL(None).reboot(_POWER_OFF if off else _RESTART)


if __name__ == "__main__":
    main()
