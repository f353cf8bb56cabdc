"""Names what plays and tasks, as written, need of collections besides modules and roles, which Ansible's parser finds.

Runs in the `inspect` child, but for `of_text`, which needs no Ansible. Rules kept here: fully qualified names alone are
read, of connections, ways to become another, lookups, filters and tests; whether one is there is asked without loading
it, because plugins are code of the project; what a template or a variable names is known at the run alone.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

from itmp.adapters.ansible import _outside

Kind: TypeAlias = Literal["connection", "become_method", "lookup", "filter", "test"]

_NAME: Final = r"([a-z_]\w*\.[a-z_]\w*(?:\.\w+)+)"
_FULL: Final = re.compile(_NAME, re.ASCII)
_INSIDE: Final = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)
_NEVER: Final = re.compile(r"\{%[-+]?\s*raw\s*-?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{#.*?#\}", re.DOTALL)
"""What a template only carries: text for another tool, and comments."""
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_FILTER: Final = re.compile(rf"\|\s*{_NAME}", re.ASCII)
_TEST: Final = re.compile(rf"\bis\s+(?:not\s+)?{_NAME}", re.ASCII)
_APPLIED: Final = re.compile(rf"\b(map|select|reject)\s*\(\s*['\"]{_NAME}['\"]", re.ASCII)
_CORE: Final = ("ansible.builtin.", "ansible.legacy.")
_BARE: Final = frozenset({"when", "failed_when", "changed_when", "until", "that", "break_when"})
"""Keys whose values are expressions without braces around them."""


def of_holder(item: Any) -> Iterator[tuple[Kind, str]]:
    """Yield what a play or task is carried out with: its connection, and how it becomes another."""
    named: tuple[tuple[Kind, str], ...] = (
        ("connection", str(item.connection or "")),
        ("become_method", str(item.become_method or "") if item.become else ""),
    )
    yield from ((kind, name) for kind, name in named if _FULL.fullmatch(name) and not name.startswith(_CORE))


def of_task(task: Any) -> Iterator[tuple[Kind, str]]:
    """Yield what a task is carried out with, and each lookup, filter and test that it writes."""
    yield from of_holder(task)
    written = getattr(task, "_ds", None)  # the text before templating
    for text, bare in _texts(written if isinstance(written, dict) else {}):
        yield from ((kind, name) for kind, name in _written(text, bare=bare) if not name.startswith(_CORE))


def of_text(text: str) -> Iterator[tuple[Kind, str]]:
    """Yield each lookup, filter and test of a collection that a template, or a file of variables, writes."""
    yield from ((kind, name) for kind, name in _written(text, bare=False) if not name.startswith(_CORE))


def found(kind: Kind, name: str) -> bool:
    """Say whether Ansible finds it; of lookups, filters and tests only whether their collection is there."""
    from ansible.plugins.loader import become_loader, connection_loader  # noqa: PLC0415 -- only the child has Ansible

    match kind:
        case "connection":
            return bool(connection_loader.find_plugin_with_context(name).resolved)
        case "become_method":
            return bool(become_loader.find_plugin_with_context(name).resolved)
        case _:
            return _is_there(".".join(name.split(".")[:2]))


@functools.cache
def _is_there(collection: str) -> bool:
    from ansible.utils.collection_loader._collection_finder import (  # noqa: PLC0415 -- as above
        _get_collection_path,
    )

    try:
        return bool(_get_collection_path(collection))
    except ValueError:  # Ansible's word for one that it does not find
        return False


def _written(text: str, *, bare: bool) -> Iterator[tuple[Kind, str]]:
    for name in _outside.lookups(text):
        if _FULL.fullmatch(name):
            yield "lookup", name
    inside = [one or other for one, other in _INSIDE.findall(_NEVER.sub("", text))]
    for expression in inside or ([text] if bare else []):
        for word, name in _APPLIED.findall(expression):
            yield ("filter" if word == "map" else "test"), name
        plain = _QUOTED.sub("''", expression)
        yield from (("filter", name) for name in _FILTER.findall(plain))
        yield from (("test", name) for name in _TEST.findall(plain))


def _texts(value: Any, *, bare: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield each text at any depth, and whether it is an expression by its key."""
    if isinstance(value, str):
        yield value, bare
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, bare=key in _BARE)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, bare=bare)
