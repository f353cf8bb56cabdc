"""Says what a project may set while it runs: variables, and who is in which group.

Rules kept here: it is read from the files of a plan and rather too much than too little. A variable that nothing sets
before the run counts as set later wherever a text writes its name as a key; one that is known already where a task
sets, registers or includes it. What Ansible reads by itself before the run is not later, unless a task includes it too.
"""

import functools
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

_READ: Final = frozenset({".yml", ".yaml", ".json", ""})
_GENERATED: Final = frozenset(
    {"inventory/hosts", "inventory/known_hosts", "inventory/ways.json", "inventory/called"}
)
_SNAPSHOT: Final = "inventory/snapshot.json"
_TASKS: Final = re.compile(rb"set_fact|register|include_vars|vars_files|loop_var|index_var")
_GROUPING: Final = re.compile(rb"\b(?:group_by|add_host)\b")
_LIST: Final = re.compile(rb"(?:[ \t]*(?:#[^\n]*|---[^\n]*)?\r?\n)*\s*(?:-\s|\[)")
_OWN_VARS: Final = re.compile(r"/(?:group|host)_vars/|/roles/[^/]+/(?:defaults|vars)/main\b")
_OWN_NAMED: Final = re.compile(r"group_vars|host_vars|\bmain\b")
_GROUP_VARS: Final = re.compile(r"/group_vars/(?!all\b)")
_VAULT: Final = b"$ANSIBLE_VAULT"
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Later:
    """What the files of the plan laid out below `root` may set while they run."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        self._answers: dict[tuple[str, bool], bool] = {}

    def sets(self, name: str, *, known: bool) -> bool:
        """Whether something may set the variable `name` at the run; `known` when it has a value before."""
        if (name, known) not in self._answers:  # each host of a play asks the same
            self._answers[name, known] = self._sets(name, known=known)
        return self._answers[name, known]

    def _sets(self, name: str, *, known: bool) -> bool:
        if any(fnmatchcase(name, pattern) for pattern in self._set):
            return True
        key = re.compile(rf"(?:^|[\s{{,\-'\"]){re.escape(name)}['\"]?\s*[:=]".encode(), re.MULTILINE)
        found = (
            data for data in self._searched(known=known) if name.encode() in data
        )  # far faster than the pattern
        return any(map(key.search, found))

    @functools.cached_property
    def groups(self) -> bool:
        """Whether hosts may come into groups at the run."""
        return any(_GROUPING.search(data) for data in self._files.values())

    def _searched(self, *, known: bool) -> Iterator[bytes]:
        """Yield the files whose keys may become variables; of an unset one, all that a plan's tasks are made of too."""
        for path, data in self._files.items():
            own = bool(_OWN_VARS.search(path))
            if path == _SNAPSHOT:
                counts = self.groups and not known
            elif own and (self.groups and _GROUP_VARS.search(path)):
                counts = True
            elif known:
                counts = self._is_included(path, own=own) and not _LIST.match(data)
            else:
                counts = not own or "/roles/" in path or self._is_included(path, own=own)
            if counts:
                yield data

    def _is_included(self, path: str, *, own: bool) -> bool:
        if own:
            return any(_OWN_NAMED.search(text) for text in self._included)
        name = path.rpartition("/")[2]
        return any("{{" in text or "dir" in text.split() or name in text for text in self._included)

    @functools.cached_property
    def vaulted(self) -> bool:
        """Whether a file of variables is closed as a whole, so that nobody knows now what it sets."""
        return any(data.startswith(_VAULT) for data in self._files.values())

    @functools.cached_property
    def _files(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in sorted(self._root.glob("[pi]*/**/*")):
            name = path.relative_to(self._root).as_posix()
            foreign = "ansible_collections" in path.parts and "/roles/" not in name
            if path.suffix in _READ and name not in _GENERATED and not foreign and path.is_file():
                found[name] = path.read_bytes()
        return found

    @functools.cached_property
    def _set(self) -> frozenset[str]:
        """Patterns of the names that tasks set, register or include into."""
        return frozenset(name for kind, name in self._said if kind == "set")

    @functools.cached_property
    def _included(self) -> tuple[str, ...]:
        """What each task that includes variables says, its words parted by blanks."""
        return tuple(text for kind, text in self._said if kind == "include")

    @functools.cached_property
    def _said(self) -> tuple[tuple[str, str], ...]:
        found: dict[tuple[str, str], None] = {}
        for path, data in self._files.items():
            if _TASKS.search(data) and path != _SNAPSHOT:
                try:
                    tree = yaml.compose(data, Loader=_LOADER)
                except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
                    found["set", "*"] = None  # nobody knows what it sets
                    continue
                for node in _mappings(tree):
                    found |= dict.fromkeys(_said(node))
        return tuple(found)


def _mappings(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield each mapping of a YAML tree as its nodes by their keys; an alias is met once."""
    todo, met = [tree], set()
    while todo:
        node = todo.pop()
        if node is None or id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            todo += [value for _, value in node.value]
            yield {str(key.value): value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _said(task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in task.items():
        short = key.rpartition(".")[2]
        if short in {"register", "loop_var", "index_var"}:
            yield "set", _pattern(str(value.value))
        elif short == "vars_files" and "{{" in _text(value):
            yield "include", _text(value)
        elif short in {"set_fact", "include_vars"}:
            yield from _of_action(short, value, task)
        elif short in {"action", "local_action"}:
            for name in ("set_fact", "include_vars"):
                if name in _text(value):
                    yield from _of_action(name, value, task)


def _of_action(short: str, value: Any, task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    given = [value, *([task["args"]] if "args" in task else [])]
    if short == "include_vars":
        yield "include", " ".join(map(_text, [*task.values(), *given]))
    for node in given:
        if isinstance(node, yaml.MappingNode):
            for key, inner in node.value:
                if short == "set_fact":
                    yield "set", _pattern(str(key.value))
                elif key.value == "name":
                    yield "set", _pattern(str(inner.value))
        else:
            text = str(node.value)
            yield from (("set", name) for name in re.findall(r"(\w+)\s*=", text) if short == "set_fact")
            yield from (("set", name) for name in re.findall(r"\bname\s*=\s*['\"]?(\w+)", text))
            if short == "set_fact" and "{{" in text.partition("=")[0]:
                yield "set", "*"


def _pattern(name: str) -> str:
    return re.sub(r"\{\{.*?\}\}", "*", name, flags=re.DOTALL)


def _text(node: Any) -> str:
    """Return all words of a node, keys too."""
    words, todo, met = [], [node], set()
    while todo:
        one = todo.pop()
        if id(one) in met:
            continue
        met.add(id(one))
        if isinstance(one, yaml.ScalarNode):
            words.append(str(one.value).replace("=", " "))
        elif isinstance(one, yaml.SequenceNode):
            todo += one.value
        elif isinstance(one, yaml.MappingNode):
            todo += [part for pair in one.value for part in pair]
    return " ".join(words)


__all__ = ["Later"]
