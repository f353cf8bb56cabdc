"""Starts Ansible sooner, in the programs that import it (`start`, `inspect`, `listing`).

At each start ansible-core reads two tables of its own: where its plugins have moved to, ten thousand lines, and its
settings. They take a fifth of the start. It lets whoever loads it put another reader there for the first one, to keep
what was read; the second one is read in one place.

Rules kept here: what is kept is what Ansible's own reader gave, under the digest of the very bytes; for other bytes,
and where nothing is kept, Ansible reads by itself. It lies beside our compiled modules and is trusted as they are:
whoever may write there writes our code. `python -m itmp.adapters.ansible._sooner` (`make setup`) keeps it; no program
that serves a plan or a run writes it.
"""

import gc
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

KEPT: Final = Path(__file__).parent / "__pycache__"
BUILTIN: Final = "ansible.builtin"
_PREFIX: Final = "ansible-"
_GARBAGE: Final = 10_000
"""Objects between two searches for cycles; at Python's 700, a start searches 160 times, and finds nothing."""


def start_sooner(folder: Path = KEPT) -> None:
    """Search less for cycles; let Ansible know the tables that are kept in `folder`."""
    gc.set_threshold(_GARBAGE)
    from ansible.config import manager  # noqa: PLC0415 -- Ansible is imported in children alone
    from ansible.utils.collection_loader import _collection_finder as finder  # noqa: PLC0415 -- as above

    if moved := getattr(finder, "_meta_yml_to_dict", None):  # it says that others may replace it
        finder._meta_yml_to_dict = _known_moved(moved, folder)  # noqa: SLF001 -- as it says
    if settings := getattr(manager, "yaml_load", None):  # an image may have another ansible-core
        manager.yaml_load = _known_settings(settings, folder)


def _known_moved(read: Callable[[bytes, Any], Any], folder: Path) -> Callable[[bytes, Any], Any]:
    def known(raw: bytes, content: Any) -> Any:
        found = recalled(raw, folder) if content[0] == BUILTIN else None
        return read(raw, content) if found is None else found

    return known


def _known_settings(read: Callable[[bytes], Any], folder: Path) -> Callable[[IO[bytes]], Any]:
    def known(file: IO[bytes]) -> Any:
        raw = file.read()
        found = recalled(raw, folder)
        return read(raw) if found is None else found

    return known


def recalled(raw: bytes, folder: Path) -> dict[str, Any] | None:
    """Return what is kept for these bytes."""
    try:
        value = json.loads(_file(raw, folder).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def keep(tables: Mapping[bytes, Any], folder: Path) -> None:
    """Keep what these bytes were read as, each whole or not at all, and nothing else of its kind."""
    folder.mkdir(exist_ok=True)
    texts = {_file(raw, folder): json.dumps(value) for raw, value in tables.items() if _comes_back(value)}
    for old in {*folder.glob(f"{_PREFIX}*")} - texts.keys():
        old.unlink()
    for file, text in texts.items():
        new = folder / f".{_PREFIX}{os.getpid()}"
        new.write_text(text)
        new.replace(file)


def _comes_back(value: Any) -> bool:
    return bool(json.loads(json.dumps(value)) == value)


def _file(raw: bytes, folder: Path) -> Path:
    return folder / f"{_PREFIX}{hashlib.sha256(raw).hexdigest()}.json"


def tables() -> dict[bytes, Any]:
    """Return both tables of the ansible-core that is installed here, as it reads them."""
    from ansible.config.manager import yaml_load  # noqa: PLC0415 -- as in start_sooner
    from ansible.utils.collection_loader._collection_meta import _meta_yml_to_dict  # noqa: PLC0415 -- as above

    found = find_spec("ansible")
    [place] = found.submodule_search_locations or [] if found else []
    moved, settings = (
        (Path(place) / "config" / name).read_bytes() for name in ("ansible_builtin_runtime.yml", "base.yml")
    )
    return {moved: _meta_yml_to_dict(moved, (BUILTIN, "runtime.yml")), settings: yaml_load(settings)}


if __name__ == "__main__":
    keep(tables(), KEPT)
