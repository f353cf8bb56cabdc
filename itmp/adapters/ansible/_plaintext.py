"""Which texts of a decrypted vault must never be shown. Imports nothing of Ansible, opens nothing.

Rules kept here: a decrypted text counts as a whole, line by line and, when it reads as YAML or JSON, value by value
(keys are names, not secrets). A value that is a template counts by what is written out in it, because Ansible shows
it rendered. Truth values, nulls and what is shorter than four characters are not told from ordinary text.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

SHORTEST: Final = 4
MOST: Final = 5000
"""More values than this cannot be looked for in every line: then everything is withheld."""
LARGEST: Final = 1024 * 1024

_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_LITERAL: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_ORDINARY: Final = frozenset({"true", "false", "null", "none", "---"})
_TAG: Final = "tag:yaml.org,2002:"
_TEXT: Final = frozenset({f"{_TAG}str", "!unsafe", f"{_TAG}binary"})
_NOTHING: Final = frozenset({f"{_TAG}bool", f"{_TAG}null", "!vault", "!vault-encrypted"})


def secrets_in(data: bytes) -> list[str] | None:
    """Return the texts to mask once `data` has been decrypted; None when they are too many or too large to look for."""
    if len(data) > LARGEST:
        return None
    text = data.decode(errors="replace")
    found = set(_worth(_texts(text)))
    return sorted(found) if len(found) <= MOST else None


def _texts(text: str) -> Iterator[str]:
    nodes = _nodes(text)
    if nodes is None:
        yield from _value(text)
        return
    yield text
    for node in nodes:
        if node.tag not in _NOTHING:
            yield from _value(node.value)
            if node.tag not in _TEXT:
                yield from _written(node.value)


def _value(text: str) -> Iterator[str]:
    """Yield a value, its lines, and what its templates leave as written."""
    yield text
    yield from text.splitlines()
    if "{{" in text or "{%" in text:
        for part in _TEMPLATE.split(text):
            yield part
            yield from part.splitlines()
        for inner in _TEMPLATE.findall(text):
            yield from ("".join(pair) for pair in _LITERAL.findall(inner))


def _written(text: str) -> Iterator[str]:
    """Yield how Python writes a number or date: Ansible shows that, not the file's spelling."""
    try:
        yield str(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        return


def _nodes(text: str) -> list[Any] | None:
    """Return the scalar values of a YAML mapping or sequence; None for anything else."""
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError):
        return None
    if not any(isinstance(node, yaml.CollectionNode) for node in documents):
        return None
    found: list[Any] = []
    seen: set[int] = set()
    todo: list[Any] = list(documents)
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:  # aliases share nodes, and may go round
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            todo += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value
        else:
            found.append(node)
    return found


def _worth(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        bare = text.strip()
        if len(bare) >= SHORTEST and bare.lower() not in _ORDINARY:
            yield bare


__all__ = ["LARGEST", "MOST", "SHORTEST", "secrets_in"]
