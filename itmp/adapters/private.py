"""Contents that leaves only commit to: files below `.itmp/private/`, never inside the log.

Rules kept here: one file for each commitment, in the folder of the month in which it was made; it is durable before
its leaf is written; only the executor's account can read it; destroying overwrites, syncs, unlinks and syncs the
folder, in that order, so that a crash leaves a content whole, overwritten or gone, and never a copy beside it.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from itmp.adapters.posix_log import durable
from itmp.audit.commitments import MAX_VALUE, SALT, Opening
from itmp.canonical import Digest, of_raw

PRIVATE: Final = "private"
PREVIEW: Final = "preview-"
"""How the files of previews begin, which lie beside the store's own folders, each with its salt."""
_HEX: Final = 64
_ID: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_SHARD: Final = "%Y-%m"
_TEMPORARY: Final = ".tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file of the store: `commitment` is None for what an interrupted write left; `age` is in seconds."""

    path: Path
    shard: str
    commitment: Digest | None
    age: float


class PrivateStore:
    """The contents of one workspace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, pointer: str, value: Any, *, now: datetime) -> Digest:
        """Keep a JSON value under a fresh salt, durably; return its commitment for `pointer`."""
        opening = Opening.of(value, salt=secrets.token_bytes(SALT))
        name = opening.commitment(pointer)
        target = self._folder / now.strftime(_SHARD) / name.removeprefix("sha256:")
        temporary = self._folder / _TEMPORARY / secrets.token_hex(16)
        with durable.unavailable("written", target):
            for folder in (target.parent, temporary.parent):
                durable.make_folder(folder, mode=0o700)
            durable.place(target, opening.to_bytes(), temporary=temporary, mode=0o600)
        return name

    def get(self, commitment: Digest) -> Opening | None:
        """Return what opens `commitment` as far as it is here; raise `EvidenceInvalidError` for no content."""
        for path in self._paths(commitment):
            data = durable.read_file(path, SALT + MAX_VALUE)
            if data is not None:
                return Opening.from_bytes(data)
        return None

    def destroy(self, commitment: Digest) -> bool:
        """Destroy every file of `commitment`; return whether there was one."""
        return sum(destroy(path) for path in self._paths(commitment)) > 0  # each of them, so no any()

    def kept(self) -> Iterator[Kept]:
        """Yield every file of the store, also those that no leaf speaks of."""
        for folder in sorted(self._shards()):
            for path in sorted(folder.iterdir()):
                try:
                    age = time.time() - path.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue
                yield Kept(path=path, shard=folder.name, commitment=_commitment(path), age=age)

    def previews(self) -> Iterator[Kept]:
        """Yield the file of every preview; nothing but its event speaks of it, so that none is missed."""
        for path in sorted(self._folder.glob(f"{PREVIEW}*")):
            try:
                at = path.stat(follow_symlinks=False).st_mtime
            except FileNotFoundError:  # dropped meanwhile
                continue
            shard = time.strftime(_SHARD, time.gmtime(at))
            yield Kept(path=path, shard=shard, commitment=None, age=time.time() - at)

    def previews_of(self, plan: str) -> Iterator[Path]:
        """Yield the file of each preview of a plan; one whose plan cannot be read may be of any."""
        for file in self.previews():
            try:
                with file.path.open("rb") as opened:
                    value = json.loads(opened.read()[SALT:])
            except FileNotFoundError:  # dropped meanwhile
                continue
            except (OSError, ValueError):
                value = {}
            if not isinstance(value, dict) or value.get("plan", plan) == plan:
                yield file.path

    def _paths(self, commitment: Digest) -> list[Path]:
        name = commitment.removeprefix("sha256:")
        return [path for folder in self._shards() if os.path.lexists(path := folder / name)]

    def _shards(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if path.is_dir() and not path.is_symlink()]


def is_id(name: str) -> bool:
    """Whether `name` can be that of an event, and so of its preview."""
    return bool(_ID.match(name))


def destroy(path: Path) -> bool:
    """Overwrite and remove a file so that a crash leaves no other copy; return whether it was there."""
    with durable.unavailable("destroyed", path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            durable.write_all(descriptor, bytes(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink(missing_ok=True)
        durable.sync_folder(path.parent)
    return True


def _commitment(path: Path) -> Digest | None:
    if path.parent.name == _TEMPORARY or len(path.name) != _HEX:
        return None
    try:
        return of_raw(bytes.fromhex(path.name))
    except ValueError:
        return None


__all__ = ["PREVIEW", "PRIVATE", "Kept", "PrivateStore", "destroy", "is_id"]
