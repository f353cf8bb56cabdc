"""`python -m itmp.adapters.ansible.listing FILE ARGUMENTS`: as `ansible-inventory ARGUMENTS`, and FILE tells the rest.

Ansible warns of a source that no plugin reads and goes on, with the words of a terminal; what it did not read is known
where it reads. FILE gets `{sources: [text], files: [text]}`: sources of the command line of which nothing was read, and
files inside of folders.

What files beside the sources say (group_vars, host_vars) is no part of the listing: a plan keeps them as they are. A
source that makes groups of it (`use_vars_plugins` of `constructed`) reads them all the same, as for bare Ansible.
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


def keep_to_sources(*modules: Any) -> None:
    """Have `modules` of Ansible, which list and merge what was read, look into no file beside a source."""
    for module in modules:
        module.get_vars_from_inventory_sources = module.get_vars_from_path = lambda *_: {}


def main() -> None:
    """Run the command; tell what was not read, however it ends."""
    file, *arguments = sys.argv[1:]
    _sooner.start_sooner()
    from ansible.cli import inventory  # noqa: PLC0415 -- Ansible is imported in children alone
    from ansible.inventory import manager  # noqa: PLC0415 -- as above

    listing = Listing()
    listing.watch(manager.InventoryManager)
    keep_to_sources(inventory, manager)
    try:
        inventory.main(["ansible-inventory", *arguments])
    finally:
        Path(file).write_text(json.dumps({"sources": listing.sources, "files": listing.files}))


if __name__ == "__main__":
    main()
