"""Starts Ansible sooner, in the programs that import it (`start`, `inspect`, `plain`).

At each start ansible-core reads where its own plugins have moved to, a table of ten thousand lines: a sixth of the
start. It lets whoever loads it put another reader there, to keep what was read.

Rules kept here: what is kept is what Ansible's own reader gave, under the digest of the very bytes; for other bytes,
and where nothing is kept, Ansible reads by itself. It lies beside our compiled modules and is trusted as they are:
whoever may write there writes our code. `python -m itmp.adapters.ansible._sooner` (`make setup`) keeps it; no program
that serves a plan or a run writes it.
"""

import gc
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

KEPT: Final = Path(__file__).parent / "__pycache__"
BUILTIN: Final = "ansible.builtin"
_PREFIX: Final = "ansible-builtin-"
_GARBAGE: Final = 50_000
"""Objects between two searches for cycles; at Python's 700, a tenth of Ansible's start is spent in searching."""


def start_sooner(folder: Path = KEPT) -> None:
    """Search less for cycles; let Ansible know the table that is kept in `folder`."""
    gc.set_threshold(_GARBAGE)
    from ansible.utils.collection_loader import _collection_finder as finder  # noqa: PLC0415 -- in children alone

    read = finder._meta_yml_to_dict  # noqa: SLF001 -- it says that others may put another one here

    def known(raw: bytes, content: Any) -> Any:
        found = recalled(raw, folder) if content[0] == BUILTIN else None
        return read(raw, content) if found is None else found

    finder._meta_yml_to_dict = known  # noqa: SLF001 -- as above


def recalled(raw: bytes, folder: Path) -> dict[str, Any] | None:
    """Return what is kept for these bytes."""
    try:
        value = json.loads(_file(raw, folder).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def keep(raw: bytes, value: Any, folder: Path) -> None:
    """Keep what these bytes were read as, and nothing else of its kind."""
    text = json.dumps(value)
    if json.loads(text) != value:
        return
    folder.mkdir(exist_ok=True)
    for old in folder.glob(f"{_PREFIX}*"):
        old.unlink()
    new = folder / f".{_PREFIX}{os.getpid()}"
    new.write_text(text)
    new.replace(_file(raw, folder))


def _file(raw: bytes, folder: Path) -> Path:
    return folder / f"{_PREFIX}{hashlib.sha256(raw).hexdigest()}.json"


def main() -> None:
    """Keep the table of the ansible-core that is installed here."""
    import ansible  # noqa: PLC0415 -- in this program alone
    from ansible.utils.collection_loader._collection_meta import _meta_yml_to_dict  # noqa: PLC0415 -- as above

    raw = (Path(ansible.__file__).parent / "config" / "ansible_builtin_runtime.yml").read_bytes()
    keep(raw, _meta_yml_to_dict(raw, (BUILTIN, "runtime.yml")), KEPT)


if __name__ == "__main__":
    main()
