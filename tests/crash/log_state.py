"""Whether two harmed logs are the same to whoever opens them next: then one of them is judged, and not the other.

What may differ without a difference to the next opening is left out: inode numbers, the random names of temporary files,
what the children said besides their promises. SQLite's own journal holds random numbers: a state with one equals none.
"""

import hashlib
import os
from pathlib import Path

from promises import PROMISES, SAID, Said

from itmp.adapters.clock import SystemClock
from itmp.adapters.posix_log.files import segments
from itmp.adapters.posix_log.marks import owner_of

_OURS = {SAID, "trace"}
_NUMBERS = slice(128, 4096)


def state_of(root: Path, said: Said) -> bytes:
    """Return a digest of all that the next opening, and the judgement of the promises, can depend on."""
    parts = [repr([words for words in said if words[0] in PROMISES]).encode()]
    for folder, _, names in os.walk(root):
        place = os.path.relpath(folder, root)
        parts += [_part(Path(folder, name), place, name) for name in {*names, ""} - _OURS]
    return hashlib.sha256(b"\n".join(sorted(parts))).digest()


def _part(path: Path, place: str, name: str) -> bytes:
    """Return a digest of one file (of the folder itself, when `name` is empty), its place and who may read it."""
    status, name = path.lstat(), "" if place.endswith(".state/tmp") else name
    if not path.is_file():
        content = b""
    elif path.parent.name == "spare" and _same(path, path.parents[1] / path.name):
        content = b"the same file"
    elif path.name == "marks":
        content = _marks(path)
    elif path.name == "reserve":
        content = str((status.st_size, status.st_blocks)).encode()
    elif path.name.endswith("-journal"):
        content = os.urandom(16)
    else:
        content = path.read_bytes()
    said = f"{place}\0{name}\0{status.st_mode}\0".encode()
    return hashlib.sha256(said + content).digest()


def _same(spare: Path, path: Path) -> bool:
    return path.exists() and path.samefile(spare)


def _marks(path: Path) -> bytes:
    """Return the numbers, and whether they are those of this boot, and of the newest segment."""
    data, found = path.read_bytes(), segments(path.parent)
    owners = [SystemClock().boot().encode()]
    for start, segment in found[-1:]:
        status = segment.stat()
        owners += [owner_of(SystemClock().boot(), (status.st_dev, status.st_ino, start))]
    return str([data.startswith(owner) for owner in owners]).encode() + data[_NUMBERS]
