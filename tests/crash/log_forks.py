"""A process whose threads use one log, and that forks in the middle of it. Arguments: root, act, how many children.

`inside`: a thread is stopped within its append, holding the log; the child then asks what it inherited, and opens anew.
`storm`: two threads append, one publishes, and meanwhile children are forked. A child that has not ended in time is
killed by its own alarm. Each promise is said at once, as one line; a refusal as `refused`; a child's end as `ended`.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from log_crowd import event, say

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock
from itmp.audit import Log
from itmp.errors import LogUnavailableError

PATIENCE = 110


class StoppingClock(SystemClock):
    """This machine's clock; a thread that asks it the time stops until it may go on, once `stop` was called."""

    __slots__ = ("inside", "may_go")

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.may_go = threading.Event(), threading.Event()
        self.may_go.set()

    def now(self) -> datetime:
        if not self.may_go.is_set():
            self.inside.set()
            self.may_go.wait(PATIENCE)
        return super().now()


def append(log: Log, writer: int, n: int) -> None:
    receipt = log.append(event(writer, n, f"CHG-{writer:010x}", data={"text": "x" * 3000}))
    say(f"ack {receipt.leaf.event.id} {receipt.index} {receipt.hash}")


def publish(log: Log) -> None:
    signed = log.checkpoint().checkpoint
    say(f"signed {signed.size} {signed.root.hex()}")


def forked(act: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.alarm(PATIENCE)
        act()
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what went wrong
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(code)


def use(log: Log, root: Path, writer: int) -> None:
    """In a child: append by the log that was inherited, else by one that is opened anew, as its error says."""
    try:
        append(log, writer, 0)
    except LogUnavailableError as error:
        if "when this process was forked" not in str(error):
            raise
        say("refused")
        log = posix_log.open_log(root)
        append(log, writer, 0)
    append(log, writer, 1)
    publish(log)


def ended(child: int) -> None:
    say(f"ended {os.waitpid(child, 0)[1]}")


def inside(root: Path, count: int) -> None:
    clock = StoppingClock()
    log = posix_log.open_log(root, clock=clock)
    append(log, 1, 0)
    for n in range(1, count + 1):
        clock.may_go.clear()
        thread = threading.Thread(target=append, args=(log, 1, n))
        thread.start()
        clock.inside.wait(PATIENCE)
        heard, tells = os.pipe()

        def act(n: int = n, tells: int = tells) -> None:
            try:
                log.append(event(1 + n, 9, "CHG-00000000aa"))
            except LogUnavailableError as error:
                say(f"refused {error}")
            os.write(tells, b"x")
            use(posix_log.open_log(root), root, 1 + n)

        child = forked(act)
        os.close(tells)
        os.read(heard, 1)  # refused, or dead: nobody waits for our thread
        clock.inside.clear()
        clock.may_go.set()
        thread.join(PATIENCE)
        ended(child)


def storm(root: Path, count: int) -> None:
    log, over = posix_log.open_log(root), threading.Event()

    def work(writer: int) -> None:
        n = 0
        while not over.is_set():
            append(log, writer, n)
            n += 1

    def show() -> None:
        while not over.is_set():
            publish(log)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in (1, 2)]
    threads.append(threading.Thread(target=show))
    for thread in threads:
        thread.start()
    children = [forked(lambda n=n: use(log, root, 3 + n)) for n in range(count)]
    over.set()  # what a fork meets is held here; how soon one of a crowd has its turn is `benchmarks/crowd.py`'s question
    for child in children:
        ended(child)
    for thread in threads:
        thread.join(PATIENCE)


if __name__ == "__main__":
    {"inside": inside, "storm": storm}[sys.argv[2]](Path(sys.argv[1]), int(sys.argv[3]))
