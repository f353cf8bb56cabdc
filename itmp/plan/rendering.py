"""Inline tasks become a play, as bytes.

Rules kept here: the same value gives the same bytes with every library version, so the emitter is our own;
every text is quoted, so no YAML reader can take a word for a boolean or a number; one task's first key
stands on a line of its own, so that `path:line` names it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_RESERVED: Final = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"])
_AWKWARD: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def render_play(
    name: str, hosts: str, tasks: Sequence[Mapping[str, Any]], *, gather_facts: bool = False
) -> bytes:
    """Return a playbook of one play that runs `tasks` on the pattern `hosts`."""
    play = {"name": name, "hosts": hosts, "gather_facts": gather_facts, "tasks": list(tasks)}
    return render([play])


def render(value: Any) -> bytes:
    """Return a JSON value as block YAML; texts are double-quoted, keys in the order given."""
    return ("\n".join(["---", *_block(value, "")]) + "\n").encode()


def _block(value: Any, pad: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{pad}{_key(str(key))}:", item, pad + "  ")
    else:
        for item in value:
            if _flat(item):
                yield f"{pad}- {_scalar(item)}"
            else:
                lines = list(_block(item, pad + "  "))
                yield f"{pad}- {lines[0][len(pad) + 2 :]}"
                yield from lines[1:]


def _entry(head: str, item: Any, pad: str) -> Iterator[str]:
    if _flat(item):
        yield f"{head} {_scalar(item)}"
    else:
        yield head
        yield from _block(item, pad)


def _flat(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple) or not value


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return "{}" if isinstance(value, Mapping) else "[]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _key(key: str) -> str:
    return key if _WORD.fullmatch(key) and key.lower() not in _RESERVED else _quoted(key)


def _quoted(text: str) -> str:
    return _AWKWARD.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
