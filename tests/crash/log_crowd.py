"""One process of a crowd on one log. Arguments: root, what to do, its number, how often.

`append`: independent events. `compare`: events of one shared change, each on the head that was read before; one line per
event with how often the head had moved. `publish`: checkpoints. Each says `ready` and waits for a line. `hold` and a lock's
name: stop with that lock held, then append.
"""

import os
import signal
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock
from itmp.audit import Event, Expect, HeadMovedError, Log

SHARED = "CHG-00000000ff"


def event(writer: int, n: int, change: str, **fields: object) -> Event:
    actor = {"kind": "machine", "id": f"writer-{writer}"}
    return Event(id=f"{writer:016x}{n:016x}", type="check.finished", actor=actor, change=change, **fields)


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())


def compare(log: Log, writer: int, n: int) -> None:
    moved = 0
    while True:
        head, seen = log.head_of(SHARED), len(log.of_change(SHARED))
        time.sleep(0.002)  # time for the others to move it
        try:
            log.append(event(writer, n, SHARED, data={"seen": seen}), expect=Expect(change=SHARED, head=head))
        except HeadMovedError:
            moved += 1
        else:
            say(f"moved {moved}")
            return


def held(root: Path, name: str) -> AbstractContextManager[object]:
    """Return a lock of the log, to be held for a block."""
    store = posix_log.PosixStore(root, boot=SystemClock().boot())
    return {
        "append": store.journal.exclusive,
        "sync": lambda: store.journal._sync_lock,
        "publish": store.publishing,
    }[name]()


def hold(root: Path, name: str, writer: int) -> None:
    with held(root, name):
        say("held")
        os.kill(os.getpid(), signal.SIGSTOP)
    posix_log.open_log(root).append(event(writer, 0, f"CHG-{writer:010x}"))
    say("done")


def main() -> None:
    root, act, writer, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if act.startswith("hold "):
        hold(root, act.removeprefix("hold "), writer)
        return
    log = posix_log.open_log(root)
    say("ready")
    sys.stdin.readline()  # all begin at once
    for n in range(count):
        if act == "append":
            receipt = log.append(event(writer, n, f"CHG-{writer:010x}"))
            say(f"ack {receipt.leaf.event.id} {receipt.index} {receipt.hash}")
        elif act == "compare":
            compare(log, writer, n)
        else:
            signed = log.checkpoint().checkpoint
            say(f"signed {signed.size} {signed.root.hex()}")


if __name__ == "__main__":
    main()
