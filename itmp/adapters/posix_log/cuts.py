"""Torn tails that were cut, kept as files until the log has recorded each one.

Rules kept here: the bytes are durable before the journal loses them; a cut is forgotten only when told
so; what lies in the folder under another name is refused, not skipped.
"""

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable
from itmp.audit import Cut
from itmp.errors import EvidenceInvalidError

_NAME: Final = re.compile(r"(0|[1-9]\d{0,18})-([0-9a-f]{64})\Z", re.ASCII)
_MAX: Final = 64 * 1024 * 1024


class Cuts:
    """The folder `cuts` of the log's state: `<whole leaves before>-<sha256 of the bytes>`."""

    def __init__(self, state: Path) -> None:
        self._state, self._folder = state, state / "cuts"

    def keep(self, cut: Cut) -> None:
        """Durably keep a cut."""
        durable.place(self._path(cut), cut.data, temporary=durable.temporary(self._state))

    def pending(self) -> Cut | None:
        """Return one cut that was not forgotten."""
        with durable.unavailable("read", self._folder):
            names = os.listdir(self._folder)  # noqa: PTH208 - names are enough
        return self._read(min(names)) if names else None

    def forget(self) -> None:
        """Durably drop what `pending` returns."""
        cut = self.pending()
        if cut is None:
            return
        with durable.unavailable("changed", self._folder):
            self._path(cut).unlink(missing_ok=True)
            durable.sync_folder(self._folder)

    def _path(self, cut: Cut) -> Path:
        return self._folder / f"{cut.size}-{sha256(cut.data).hexdigest()}"

    def _read(self, name: str) -> Cut:
        match = _NAME.match(name)
        data = durable.read_file(self._folder / name, _MAX)
        if not match or data is None or sha256(data).hexdigest() != match[2]:
            raise EvidenceInvalidError("not the record of a cut", where=str(self._folder / name))
        return Cut(data=data, size=int(match[1]))
