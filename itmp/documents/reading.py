"""YAML with marks: bytes become `Node`s that know their line and column.

Rules kept here:
- Only a strict subset is read: one document of at most 1 MiB in UTF-8, text keys, no duplicate key, no merge
  key, no tag but the standard `!!str`, `!!map` and `!!seq`, no directive, no control, bidirectional or
  invisible character.
- A plain word means the same to every YAML reader or it is refused: `yes`, `no`, `on`, `off`, numbers with a
  leading zero, another base, an underscore or a fraction must be quoted (fractions have no canonical form).
  Sexagesimal numbers and dates (`22:00`, `2026-10-01`) are text; as keys, `on` and its like are text too.
- Aliases are expanded, but the expanded document has at most 50,000 values and 40 levels.
- Composing is a loop over parser events: hostile nesting cannot exhaust the stack.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import yaml

from itmp.canonical import MAX_INT
from itmp.documents.problems import DocumentError, Problem
from itmp.documents.text import hidden

MAX_BYTES: Final = 1024 * 1024
MAX_NODES: Final = 50_000
MAX_DEPTH: Final = 40

Scalar: TypeAlias = "str | int | bool | None"

_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,15})")
_NULL: Final = frozenset(["", "~", "null", "Null", "NULL"])
_TRUE: Final = frozenset(["true", "True", "TRUE"])
_FALSE: Final = frozenset(["false", "False", "FALSE"])
_OLD_BOOLEAN: Final = re.compile(r"(?i:(yes|on)|(no|off))")
_ODD_NUMBER: Final = re.compile(
    r"[-+]?(0[0-9_]+|0[xX][0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[1-9][0-9]*_[0-9_]*|[1-9][0-9]{16,})",
)
_FRACTION: Final = re.compile(
    r"[-+]?((\d[\d_]*)?\.\d*|\d[\d_]*\.?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_TAGS: Final = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "bool", "null", "map", "seq")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and where it stands. `keys` maps each key of a mapping to its own line and column."""

    value: "Scalar | tuple[Node, ...] | Mapping[str, Node]"
    line: int
    column: int
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def plain(self) -> Any:
        """Return the value as dicts, lists, text, integers, booleans and `None`."""
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        if isinstance(self.value, Mapping):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value

    def find(self, loc: Sequence[int | str]) -> tuple[int, int]:
        """Return line and column of the value at `loc`, or of the nearest thing around it that exists."""
        node, place = self, (self.line, self.column)
        for part in loc:
            if isinstance(node.value, Mapping) and part in node.value:
                key, node = str(part), node.value[str(part)]
                place = place if not key else (node.line, node.column)
            elif isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                place = (node.line, node.column)
        return place

    def grown(self, loc: Sequence[int | str], value: Any) -> "Node":
        """Return the tree with plain `value` at `loc` too; what is added stands where what is around it does."""
        if not loc:
            return self._here(value)
        part, rest = loc[0], loc[1:]
        if isinstance(self.value, tuple):
            items = list(self.value)
            items[int(part)] = items[int(part)].grown(rest, value)
            return replace(self, value=tuple(items))
        entries = dict(self.value) if isinstance(self.value, Mapping) else {}
        entries[str(part)] = entries.get(str(part), self._here({})).grown(rest, value)
        return replace(self, value=entries)

    def _here(self, value: Any) -> "Node":
        if isinstance(value, Mapping):
            value = {str(key): self._here(one) for key, one in value.items()}
        elif isinstance(value, list | tuple):
            value = tuple(map(self._here, value))
        return Node(value=value, line=self.line, column=self.column)

    def find_key(self, loc: Sequence[int | str]) -> tuple[int, int]:
        """Return line and column of the key that `loc` ends with, or of the nearest thing that exists."""
        node = self
        for part in loc[:-1]:
            if isinstance(node.value, Mapping) and part in node.value:
                node = node.value[str(part)]
            elif isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
        return node.keys.get(str(loc[-1]), (node.line, node.column)) if loc else (node.line, node.column)


def load(path: str, data: bytes) -> Node:
    """Read one YAML document; raise `DocumentError` with every problem found. `path` names it in messages."""
    composer = _Composer(path)
    text = composer.text(data)
    parser: Any = yaml.CSafeLoader(text)
    try:
        root = composer.compose(parser)
    except yaml.YAMLError as error:
        raise DocumentError([*composer.problems, _syntax(path, error)]) from error
    finally:
        parser.dispose()
    if composer.problems or root is None:
        raise DocumentError(composer.problems or [composer.problem(1, 1, "the document is empty")])
    return root


def _syntax(path: str, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message = getattr(error, "problem", None) or "it cannot be read"
    return Problem(path=path, line=line, column=column, message=f"not YAML: {message}")


@dataclass(slots=True, kw_only=True)
class _Frame:
    """A collection under construction."""

    line: int
    column: int
    mapping: bool
    anchor: str
    count: int
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    key: str | None = None

    def node(self) -> Node:
        value = self.entries if self.mapping else tuple(self.items)
        return Node(value=value, line=self.line, column=self.column, keys=self.keys)


class _Composer:
    """Turns parser events into nodes, keeping its own stack and counting what aliases expand to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0
        self._root: Node | None = None

    def problem(self, line: int, column: int, message: str, suggestion: str = "") -> Problem:
        return Problem(path=self.path, line=line, column=column, message=message, suggestion=suggestion)

    def text(self, data: bytes) -> str:
        if len(data) > MAX_BYTES:
            raise DocumentError([self.problem(0, 0, f"larger than {MAX_BYTES} bytes", "split the document")])
        try:
            text = data.decode().replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise DocumentError([self.problem(line, 1, "not UTF-8 text")]) from error
        at = hidden(text)
        if at is not None:
            line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
            message = f"a control or invisible character (U+{ord(text[at]):04X})"
            raise DocumentError([self.problem(line, column, message, "remove it, or retype the line")])
        return text

    def compose(self, parser: Any) -> Node | None:
        documents = 0
        for event in _events(parser):
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1 or event.version or event.tags:
                        self._stop(
                            line, column, "more than one YAML document, or a directive", "keep one document"
                        )
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event, line, column)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    frame = self._stack.pop()
                    self._place(frame.node(), frame.anchor, self._count - frame.count + 1)
                case yaml.ScalarEvent():
                    self._scalar(event, line, column)
                case yaml.AliasEvent():
                    self._alias(event, line, column)
        return self._root

    def _stop(self, line: int, column: int, message: str, suggestion: str = "") -> None:
        raise DocumentError([*self.problems, self.problem(line, column, message, suggestion)])

    def _note(self, line: int, column: int, message: str, suggestion: str = "") -> None:
        self.problems.append(self.problem(line, column, message, suggestion))

    def _grow(self, by: int, line: int, column: int) -> None:
        self._count += by
        if self._count > MAX_NODES:
            self._stop(
                line, column, f"more than {MAX_NODES} values after aliases are expanded", "write it shorter"
            )
        if len(self._stack) >= MAX_DEPTH:
            self._stop(line, column, f"nested deeper than {MAX_DEPTH} levels", "write it flatter")

    def _open(self, event: Any, line: int, column: int) -> None:
        self._grow(1, line, column)
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._tag(event.tag, "map" if mapping else "seq", line, column)
        self._refuse_as_key(line, column)
        frame = _Frame(
            line=line, column=column, mapping=mapping, anchor=event.anchor or "", count=self._count
        )
        self._stack.append(frame)

    def _refuse_as_key(self, line: int, column: int) -> None:
        if self._stack and self._stack[-1].mapping and self._stack[-1].key is None:
            self._stop(line, column, "a key that is not text", "write a word followed by a colon")

    def _tag(self, tag: str | None, wanted: str, line: int, column: int) -> None:
        if tag not in (None, "!") and _TAGS.get(str(tag)) != wanted:
            self._note(line, column, "a YAML tag that documents do not use", "remove the tag")

    def _alias(self, event: Any, line: int, column: int) -> None:
        if event.anchor not in self._anchors:
            self._stop(line, column, "an alias without an anchor before it, or inside its own anchor")
        self._refuse_as_key(line, column)
        node, size = self._anchors[event.anchor]
        self._grow(size, line, column)
        self._place(node, "", size)

    def _scalar(self, event: Any, line: int, column: int) -> None:
        self._grow(1, line, column)
        at = hidden(event.value)
        if at is not None:
            self._note(
                line, column, f"an escaped control or invisible character (U+{ord(event.value[at]):04X})"
            )
        frame = self._stack[-1] if self._stack else None
        if frame and frame.mapping and frame.key is None:
            self._key(frame, event, line, column)
        else:
            self._place(
                Node(value=self._value(event, line, column), line=line, column=column), event.anchor or "", 1
            )

    def _key(self, frame: _Frame, event: Any, line: int, column: int) -> None:
        key: str = event.value
        frame.key = key
        if event.tag not in (None, "!") or (not event.style and not isinstance(_resolve(key), str)):
            self._note(line, column, "a key that is not text", "quote it")
        elif key == "<<" and not event.style:
            self._note(line, column, "merge keys are not used here", "write the keys out")
        elif key in frame.keys:
            first = frame.keys[key]
            self._note(
                line,
                column,
                f"the key {key!r:.60} occurs twice; first in line {first[0]}",
                "keep one of them",
            )
        frame.keys.setdefault(key, (line, column))

    def _value(self, event: Any, line: int, column: int) -> Scalar:
        text: str = event.value
        if event.tag not in (None, "!"):
            self._tag(event.tag, "str", line, column)
            return text
        if event.style or event.tag == "!":
            return text
        trap = _trap(text)
        if trap:
            self._note(line, column, *trap)
            return text
        return _resolve(text)

    def _place(self, node: Node, anchor: str, size: int) -> None:
        if anchor:
            self._anchors[anchor] = (node, size)
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if not frame.mapping:
            frame.items.append(node)
        elif frame.key is not None:
            frame.entries[frame.key] = node
            frame.key = None


def _events(parser: Any) -> Iterator[Any]:
    while parser.check_event():
        yield parser.get_event()


def _resolve(text: str) -> Scalar:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text) and abs(int(text)) <= MAX_INT:
        return int(text)
    return text


def _trap(text: str) -> tuple[str, str] | None:
    old = _OLD_BOOLEAN.fullmatch(text)
    if old:
        return (
            "a word that some YAML readers take for a boolean",
            f"write {'true' if old[1] else 'false'}, or quote it",
        )
    if _INTEGER.fullmatch(text):
        return None if abs(int(text)) <= MAX_INT else ("a number beyond 2^53 - 1", "quote it")
    if _ODD_NUMBER.fullmatch(text):
        return (
            "a number with a leading zero, another base, an underscore or too many digits",
            "quote it, or write it in plain decimals",
        )
    if _FRACTION.fullmatch(text) and any(char.isdigit() or char in "nN" for char in text):
        return "a number with a fraction or an exponent", "quote it"
    return None
