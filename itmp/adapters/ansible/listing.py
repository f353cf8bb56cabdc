"""`python -m itmp.adapters.ansible.listing FILE ARGUMENTS`: as `ansible-inventory ARGUMENTS`, and FILE tells the rest.

Ansible warns of a source that no plugin reads and goes on, with the words of a terminal; what it did not read is known
where it reads. FILE gets `{sources: [text], files: [text]}`: sources of the command line of which nothing was read, and
files inside of folders.
"""

import json
import sys
from pathlib import Path
from typing import Any

from itmp.adapters.ansible import _sooner


class Listing:
    """Notes what Ansible's reader of inventories could not read, from the outermost source inwards."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.files: list[str] = []
        self._depth = 0

    def watch(self, manager: Any) -> None:
        """Note what `manager`, Ansible's class, reads from now on."""
        read = manager.parse_source

        def noting(this: Any, source: str, *more: Any, **options: Any) -> Any:
            self._depth += 1
            try:
                parsed = read(this, source, *more, **options)
            finally:
                self._depth -= 1
            if not parsed:
                self._note(source)
            return parsed

        manager.parse_source = noting

    def _note(self, source: str) -> None:
        if not self._depth:
            self.sources.append(source)
        elif not Path(source).is_dir():
            self.files.append(source)


def main() -> None:
    """Run the command; tell what was not read, however it ends."""
    file, *arguments = sys.argv[1:]
    _sooner.start_sooner()
    from ansible.cli.inventory import main as run  # noqa: PLC0415 -- Ansible is imported in children alone
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415 -- as above

    listing = Listing()
    listing.watch(InventoryManager)
    try:
        run(["ansible-inventory", *arguments])
    finally:
        Path(file).write_text(json.dumps({"sources": listing.sources, "files": listing.files}))


if __name__ == "__main__":
    main()
