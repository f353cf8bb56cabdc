"""Ansible fact cache `itmp_facts`: facts of a run's earlier slices, and those that this slice gathers.

Rules kept here: what changes is written to one folder, from which the executor takes what may be kept, and never to
that of the earlier slices. An empty file stands for facts that were cleared. Ansible hands every cache plugin texts: a
key that begins with its schema, and a mapping with one JSON text, in which values keep their types and tags.
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.cache import BaseCacheModule

DOCUMENTATION = """
name: itmp_facts
short_description: facts of a run's earlier slices
description: Reads facts of earlier slices of the same run, and writes those that change for later ones.
options:
  _uri:
    description: Unused; the folders come from ITMP_FACTS and ITMP_FACTS_KEPT.
  _prefix:
    description: Unused.
  _timeout:
    description: Unused; facts last as long as their run.
    type: integer
"""


class CacheModule(BaseCacheModule):  # type: ignore[misc]  # Ansible ships no types
    """`_facts` maps a host to its facts, or to `None` where they were cleared or nobody has any."""

    _persistent = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changed, self._kept = Path(os.environ["ITMP_FACTS"]), Path(os.environ["ITMP_FACTS_KEPT"])
        self._facts: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        """Return a host's facts; raise `KeyError` where there are none."""
        if not self.contains(key):
            raise KeyError(key)
        return self._facts[key]

    def set(self, key: str, value: Any) -> None:
        """Remember a host's facts, here and for later slices."""
        self._facts[key] = value
        self._write(key, json.dumps(value))

    def keys(self) -> list[str]:
        """Return the hosts that have facts."""
        names = {path.name for path in self._kept.iterdir()} if self._kept.is_dir() else set()
        return sorted(name for name in {*names, *self._facts} if self.contains(name))

    def contains(self, key: str) -> bool:
        """Tell whether a host has facts."""
        if key not in self._facts:
            self._facts[key] = self._read(key)
        return self._facts[key] is not None

    def delete(self, key: str) -> None:
        """Forget a host's facts."""
        self._facts[key] = None
        self._write(key, "")

    def flush(self) -> None:
        """Forget all facts."""
        for key in self.keys():
            self.delete(key)

    def copy(self) -> dict[str, Any]:
        """Return the facts of all hosts."""
        return {key: self.get(key) for key in self.keys()}

    def _read(self, key: str) -> Any:
        if not _is_name(key):
            return None
        try:
            return json.loads((self._kept / key).read_bytes())
        except (OSError, ValueError):
            return None

    def _write(self, key: str, text: str) -> None:
        if _is_name(key):
            (self._changed / key).write_text(text)


def _is_name(key: str) -> bool:
    """Whether a host's name can name a file: an odd one has its facts for this slice alone."""
    return bool(key) and "/" not in key and "\0" not in key and key not in {".", ".."}
