"""Where the logs of one workspace lie: the current one in the state folder, those before it in `periods/`.

Rules kept here: a rotation is prepared in `rotation/`; once `rotation/switch` is durable the new log is complete and
the old one has ended, and moving them is all that is left; each move is a rename that is done again harmlessly, so that
whoever opens the workspace next finishes what a crash interrupted; the old log is moved under its publisher's lock, so
that nobody places a file in one log that is meant for the other; the old private key is overwritten before the new one
takes its place.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, spare
from itmp.adapters.posix_log.locks import locked
from itmp.adapters.posix_log.reading import HEAD, KEY, LOG, PUBLISHING, RETIRED, SNAPSHOT
from itmp.errors import InvalidInputError, LogUnavailableError

PERIODS: Final = "periods"
ROTATION: Final = "rotation"
NEXT: Final = "next"
_SWITCH: Final = "switch"
_DONE: Final = "rotation.done"
_INDEX: Final = "index.sqlite"
_MAX: Final = 4096


@contextmanager
def rotating(state: Path) -> Iterator[None]:
    """Hold the right to change which log is the current one."""
    with locked(state / "rotation.lock"):
        yield


def pending(state: Path) -> Path | None:
    """Return the folder of a rotation that was begun; None when there is none."""
    folder = state / ROTATION
    return folder if folder.is_dir() else None


def mark(state: Path, *, period: str, vkey: str) -> None:
    """Write, durably, that the log of `period` has ended and the one in `rotation/next` takes its place."""
    folder = state / ROTATION
    data = json.dumps({"period": period, "vkey": vkey}, sort_keys=True).encode()
    with durable.unavailable("written", folder):
        durable.replace(folder / _SWITCH, data)


def marked(state: Path) -> bool:
    """Whether the moves of a rotation have begun, or may begin."""
    return (state / ROTATION / _SWITCH).is_file()


def standing(state: Path) -> Path:
    """Return where the current log lies for who only reads: between two moves of a rotation, where the new was made."""
    new = state / ROTATION / NEXT
    between = marked(state) and (new / LOG).is_dir() and not (state / LOG).is_dir()
    return new if between else state


def record_of(root: Path) -> Path:
    """Return the head record of the log below `root`, which a rotation that was cut short may have moved before it."""
    record = root / HEAD
    state = root.parents[1] if root.name == NEXT else root
    found = _marked(state / ROTATION) if spare.gone(record) else None
    if found is None:
        return record
    return state / HEAD if root.name == NEXT else state / PERIODS / found[0] / HEAD


def switch(state: Path) -> bool:
    """Move the logs as marked, from wherever it was interrupted; False when nothing is marked."""
    with durable.unavailable("moved", state):
        shutil.rmtree(state / _DONE, ignore_errors=True)
        marked = _marked(state / ROTATION)
        if marked is None:
            return False
        period, vkey = marked
        folder = state / PERIODS / period
        durable.make_folder(folder, mode=0o700)
        if not (folder / RETIRED).is_file():
            durable.replace(folder / RETIRED, vkey.encode() + b"\n")
        _retire(state, folder)
        _take_up(state / ROTATION / NEXT, state)
        if (state / ROTATION / KEY.name).exists():
            _overwrite(state / ROTATION / KEY.name)  # the new key lies in its place now
        (state / ROTATION).rename(state / _DONE)
        durable.sync_folder(state)
        shutil.rmtree(state / _DONE, ignore_errors=True)
    return True


def _retire(state: Path, folder: Path) -> None:
    """Move the old log's parts; its search index is made anew where it is needed."""
    if (folder / LOG).exists() or not (state / LOG).exists():
        return
    for path in state.glob(f"{_INDEX}*"):
        path.unlink(missing_ok=True)
    spare.drop(state / HEAD)  # it would be taken for the new log's
    with locked(state / PUBLISHING):  # whoever places files in the log finds it where it was, or another
        for part in (SNAPSHOT, HEAD, LOG):
            if (state / part).exists() and not (folder / part).exists():
                _move(state / part, folder / part)


def _take_up(new: Path, state: Path) -> None:
    """Move the new log's parts to the old ones' place, the log last."""
    if (new / KEY).exists():
        if (state / KEY).exists():
            _overwrite(state / KEY)
        _move(new / KEY, state / KEY)
    for part in (HEAD, LOG):
        if (new / part).exists():
            _move(new / part, state / part)


def _move(source: Path, target: Path) -> None:
    source.rename(target)
    durable.sync_folder(source.parent)
    durable.sync_folder(target.parent)


def _overwrite(path: Path) -> None:
    """Destroy a private key: its bytes first, so that no copy is left on the disk where the file system allows."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
        file.flush()
        durable.sync_file(file.fileno())
    path.unlink()


def _marked(folder: Path) -> tuple[str, str] | None:
    data = durable.read_file(folder / _SWITCH, _MAX)
    if data is None:
        return None
    try:
        value = json.loads(data)
        return check_period(value["period"]), str(value["vkey"])
    except (ValueError, KeyError, TypeError) as error:
        raise LogUnavailableError(
            "the mark of a rotation cannot be read",
            where=str(folder / _SWITCH),
            do="Restore the state folder.",
        ) from error


def check_period(name: str) -> str:
    """Return the name of a period if it can be a folder's."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isascii() or not plain.isalnum() or name[:1] in ".-_" or ".." in name:
        raise InvalidInputError(
            f"{name!r:.40} cannot name a period", do="Use letters, digits, - and _: 2027 or 2026-2."
        )
    return name


def names(state: Path) -> list[str]:
    """Return the periods before the current one, in no particular order."""
    folder = state / PERIODS
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if (path / RETIRED).is_file())
