"""A writer process for the crash tests: append numbered events, say which were acknowledged, publish now and then.

Arguments: root, writer's number, number of its next event, how many to append. One line `<n> <index> <hash>` on stdout per
acknowledged event, written at once, so that the parent knows it before any kill.
"""

import os
import sys
from pathlib import Path

from itmp.adapters import posix_log
from itmp.audit import Event


def name_of(writer: int, n: int) -> str:
    return f"{writer:016x}{n:016x}"


def main() -> None:
    root, writer, start, count = Path(sys.argv[1]), *(int(text) for text in sys.argv[2:5])
    log = posix_log.open_log(root)
    for n in range(start, start + count):
        actor = {"kind": "machine", "id": f"writer-{writer}"}
        event = Event(
            id=name_of(writer, n), type="check.finished", actor=actor, change=f"CHG-{writer:010x}", rc=n
        )
        receipt = log.append(event)
        os.write(1, f"{n} {receipt.index} {receipt.hash}\n".encode())
        if n % 7 == writer % 7:
            log.checkpoint()


if __name__ == "__main__":
    main()
