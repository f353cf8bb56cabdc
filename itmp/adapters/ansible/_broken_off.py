"""Says which hosts a play was broken off for although nothing had failed there. Imports nothing of Ansible.

Rules kept here: Ansible ends a play for hosts on which all went well where another's failure counts for all of them
(a task that runs once for all, `any_errors_fatal`, `max_fail_percentage`), and it begins no further batch and no
further play once a whole batch has failed. Such a host has not got through, and its own results do not say so. A host
that has done nothing yet is left out: silence says that already. The functions take Ansible's own objects.
"""

from collections.abc import Iterator
from typing import Any


class Plays:
    """Which hosts each play of a playbook has begun for, in whatever batches."""

    def __init__(self) -> None:
        self._plays: list[Any] = []
        self._begun: dict[str, set[str]] = {}

    def read(self, playbook: Any) -> None:
        """Take note of what the playbook consists of."""
        self._plays = list(playbook.get_plays())

    def begin(self, play: Any, manager: Any) -> None:
        """Take note that a play begins for the batch that `manager` (Ansible's) holds now."""
        hosts = manager._inventory.get_hosts(play.hosts)  # noqa: SLF001 -- Ansible tells callbacks of no batch
        self._begun.setdefault(str(play.get_path()), set()).update(host.name for host in hosts)

    def left(self, manager: Any) -> Iterator[str]:
        """Yield hosts within reach for which a play or batch was yet to begin when the playbook broke off."""
        gone = manager._unreachable_hosts  # noqa: SLF001 -- as above
        if not (manager._failed_hosts or gone):  # noqa: SLF001 -- as above
            return  # whatever was not begun was not meant to be
        for play in self._plays:
            if "{{" in str(play.hosts):  # nobody knows before the play begins
                continue
            meant = manager._inventory.get_hosts(play.hosts, ignore_restrictions=True)  # noqa: SLF001 -- as above
            begun = {*self._begun.get(str(play.get_path()), ()), *gone}
            yield from (host.name for host in meant if host.name not in begun)


def failed(iterator: Any, manager: Any) -> list[str]:
    """Return the hosts for which a play is over as failed, without those that cannot be reached."""
    names = iterator.get_failed_hosts() if iterator is not None else ()
    return [name for name in names if name not in manager._unreachable_hosts]  # noqa: SLF001 -- as above


def is_manager(found: Any) -> bool:
    """Tell whether an object is Ansible's task queue manager."""
    return hasattr(found, "_failed_hosts") and hasattr(found, "_unreachable_hosts")


def is_iterator(found: Any) -> bool:
    """Tell whether an object walks a play's tasks, host by host."""
    return hasattr(found, "get_failed_hosts") and hasattr(found, "mark_host_failed")
