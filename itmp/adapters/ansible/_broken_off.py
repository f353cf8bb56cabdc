"""Says which hosts a play was broken off for although nothing had failed there. Imports nothing of Ansible.

Rules kept here: Ansible ends a play for hosts on which all went well where another's failure counts for all of them
(a task that runs once for all, `any_errors_fatal`, `max_fail_percentage`), and it begins no further batch and no
further play once a whole batch has failed. Such a host has not got through, and its own results do not say so. Batches
that `meta: end_play` leaves out were meant to be. A host that has done nothing yet is left out: silence says that
already. The functions take Ansible's own objects.
"""

from collections.abc import Iterator
from typing import Any


class Plays:
    """Which hosts each play of a playbook has begun for, in whatever batches."""

    def __init__(self) -> None:
        self._plays: list[Any] = []
        self._begun: dict[str, set[str]] = {}
        self._ended: set[str] = set()
        self._walk: Any = None

    def read(self, playbook: Any) -> None:
        """Take note of what the playbook consists of."""
        self._plays = list(playbook.get_plays())

    def begin(self, play: Any, manager: Any) -> None:
        """Take note that a play begins for the batch that `manager` (Ansible's) holds now."""
        hosts = manager._inventory.get_hosts(play.hosts)  # noqa: SLF001 -- Ansible tells callbacks of no batch
        self._begun.setdefault(_id(play), set()).update(host.name for host in hosts)

    def watch(self, iterator: Any) -> None:
        """Take note of what walks the batch that is under way: in the end it says whether the whole play was to end."""
        if iterator is not self._walk:
            self._look()
            self._walk = iterator

    def _look(self) -> None:
        if self._walk is not None and self._walk.end_play:
            self._ended.add(_id(self._walk._play))  # noqa: SLF001 -- as above

    def left(self, manager: Any) -> Iterator[str]:
        """Yield hosts within reach for which a play or batch was yet to begin when the playbook broke off."""
        gone = manager._unreachable_hosts  # noqa: SLF001 -- as above
        if not (manager._failed_hosts or gone):  # noqa: SLF001 -- as above
            return  # whatever was not begun was not meant to be
        self._look()
        for play in self._plays:
            if _id(play) in self._ended or "{{" in str(play.hosts):  # nobody knows before the play begins
                continue
            meant = manager._inventory.get_hosts(play.hosts, ignore_restrictions=True)  # noqa: SLF001 -- as above
            begun = {*self._begun.get(_id(play), ()), *gone}
            yield from (host.name for host in meant if host.name not in begun)


def _id(play: Any) -> str:
    """Return what a play and its copy for each batch have in common, and two imports of one file have not."""
    return str(play._uuid)  # noqa: SLF001 -- as above


def failed(iterator: Any, manager: Any) -> list[str]:
    """Return the hosts for which a play is over as failed, without those that cannot be reached."""
    names = iterator.get_failed_hosts() if iterator is not None else ()
    return [name for name in names if name not in manager._unreachable_hosts]  # noqa: SLF001 -- as above


def is_manager(found: Any) -> bool:
    """Tell whether an object is Ansible's task queue manager."""
    return hasattr(found, "_failed_hosts") and hasattr(found, "_unreachable_hosts")


def is_iterator(found: Any) -> bool:
    """Tell whether an object walks a play's tasks, host by host."""
    return hasattr(found, "get_failed_hosts") and hasattr(found, "end_play")
