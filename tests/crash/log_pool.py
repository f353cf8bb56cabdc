"""A pool of writers, publishers and one stopped lock holder, forked from one process that kills writers at random.

Arguments: root, seed, how many writers, which lock is held. Each writer appends `EACH` events; a killed one is forked again and repeats what was
not acknowledged. What each was promised stands in `<root>/said/<number>`, one line each, written at once.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from log_crowd import event, held

from itmp.adapters import posix_log

EACH, LIVES = 3, 3
PUBLISHERS = 2


def write(root: Path, writer: int) -> None:
    said = root / "said" / str(writer)
    done = said.read_text().count("\n") if said.exists() else 0
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    log = posix_log.open_log(root)
    for n in range(done, EACH):
        receipt = log.append(event(writer, n, f"CHG-{writer:010x}"))
        os.write(descriptor, f"ack {receipt.leaf.event.id} {receipt.index} {receipt.hash}\n".encode())


def publish(root: Path, number: int) -> None:
    descriptor = os.open(root / "said" / f"p{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    log = posix_log.open_log(root)
    for _ in range(4):
        signed = log.checkpoint().checkpoint
        os.write(descriptor, f"signed {signed.size} {signed.root.hex()}\n".encode())
        time.sleep(0.05)


def hold(root: Path, lock: str) -> None:
    """Stop with a lock in the hand, until somebody lets us go on."""
    with held(root, lock):
        os.kill(os.getpid(), signal.SIGSTOP)


def forked(act: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        act()
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what went wrong
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(code)


class Pool:
    """The living children: each writer with its number and how many lives it has left; the others."""

    def __init__(self, root: Path, dice: random.Random, writers: int, lock: str) -> None:
        self.root, self.dice, self.killed = root, dice, 0
        holder = forked(lambda: hold(root, lock))
        os.waitpid(holder, os.WUNTRACED)
        self.others = {holder, *(forked(lambda n=n: publish(root, n)) for n in range(PUBLISHERS))}
        self.writers = dict(self.born(n, LIVES) for n in range(1, writers + 1))
        time.sleep(0.2)  # all of them stand before the lock
        for child in dice.sample(sorted(self.writers), writers // 4):
            os.kill(child, signal.SIGKILL)
        os.kill(holder, signal.SIGCONT)

    def born(self, number: int, lives: int) -> tuple[int, tuple[int, int]]:
        return forked(lambda: write(self.root, number)), (number, lives)

    def live(self) -> None:
        while self.writers or self.others:
            child, status = os.wait()
            number, lives = self.writers.pop(child, (0, 0))
            if number and status == signal.SIGKILL:
                self.killed += 1
                self.writers.update([self.born(number, lives - 1)])
            else:
                assert status == 0
                self.others.discard(child)
            mortal = [one for one, (_, lives) in self.writers.items() if lives > 1]
            if mortal and self.dice.random() < 0.5:  # a victim in the middle of whatever it does
                os.kill(self.dice.choice(mortal), signal.SIGKILL)


def main() -> None:
    root, seed, writers, lock = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    (root / "said").mkdir()
    pool = Pool(root, random.Random(seed), writers, lock)  # noqa: S311 - a fixed seed; the kernel's scheduling is the random part
    pool.live()
    sys.stdout.write(f"{pool.killed}\n")


if __name__ == "__main__":
    main()
