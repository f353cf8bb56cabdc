"""Which handlers a result notifies, and which an earlier passage still owes to a host.

Rules kept here: a notification is recorded with the result that made it, by the handlers' titles, resolved as Ansible
resolves it; what it names nowhere is recorded as written. What a host is owed is notified again when a task that calls
for it has run there again, changed or not, so that the play's own next flush runs it, once. Imports nothing of Ansible.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import _tasks

FILE: Final = "owed.json"


def read(root: Path) -> dict[str, list[str]]:
    """Return the titles of the handlers that each host is owed, from the layout in `root`."""
    owed: dict[str, list[str]] = json.loads((root / FILE).read_bytes())
    return owed


def of_play(play: Any) -> list[Any]:
    """Return the play's handlers, those of its roles included; the last one of a name wins, so it comes first."""
    return [handler for block in reversed(play.handlers) for handler in block.block]


def resolve(handlers: Iterable[Any], notifications: Iterable[str]) -> list[str]:
    """Return the titles of what `notifications` (names and topics) call for."""
    known, found = list(handlers), dict[str, None]()
    for text in map(str, notifications):
        found |= dict.fromkeys([_tasks.title(handler) for handler in _meant(known, text)] or [text])
    return list(found)


def notify_again(
    handlers: Iterable[Any], notifications: Iterable[str], host: Any, owed: dict[str, list[str]]
) -> None:
    """Notify those of the handlers that `notifications` call for and `host` is owed; they are owed no longer."""
    known = list(handlers)
    for handler in [found for text in map(str, notifications) for found in _meant(known, text)]:
        title, mine = _tasks.title(handler), owed.get(host.name, [])
        if title in mine:
            handler.notify_host(host)
            mine.remove(title)


def write(owed: Mapping[str, Iterable[str]]) -> bytes:
    """Return the file that `read` reads."""
    return json.dumps({host: list(titles) for host, titles in owed.items()}).encode()


def _meant(known: list[Any], text: str) -> list[Any]:
    named = next((handler for handler in known if text in _names(handler)), None)
    return [*([named] if named else []), *(handler for handler in known if text in handler.listen)]


def _names(handler: Any) -> set[str]:
    short, full = (handler.get_name(include_role_fqcn=fqcn) for fqcn in (False, True))
    return {str(handler.name), short, full}
