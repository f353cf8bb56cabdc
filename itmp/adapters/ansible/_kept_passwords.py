"""Passwords that the lookup `password` makes once and keeps in a file: none is kept where a slice forgets it.

A slice's folder goes when the slice ends. A file that is made there is made again by the next slice, and each host gets
another password than it had, unseen. Rules kept here: the run refuses to write such a file, whatever text led there;
the plan is refused where a path is written out that leads there. Not refused, and left to the run, is what is perhaps
never reached (a task under a `when`, a variable that several places set or that the step gives) and a file that the
plan holds, because it is read. `/dev/null` keeps nothing, and other places stay.
"""

import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from itmp.adapters.ansible._versions import COLLECTIONS_OF_IMAGE

DO: Final = (
    "Give it an absolute path of the executor's machine (`vars:` of the step), or pass a secret (`secrets:`)."
)
_LOST: Final = "would be forgotten with its slice, and the next one would make another"
_LOOKUP: Final = "password"
_CALL: Final = re.compile(
    r"\b(?:lookup|query|q)\s*\(\s*(?:plugin\s*=\s*)?(?P<name>['\"])(?:ansible\.(?:builtin|legacy)\.)?password(?P=name)"
    r"\s*,[\s(\[]*(?:(?P<place>playbook_dir|inventory_dir|role_path)\s*[~+,]\s*)?(?P<quote>['\"])(?P<text>.*?)(?P=quote)"
    r"(?P<more>\s*[~+%|])?",
    re.DOTALL,
)
_HINT: Final = re.compile(rb"\b(?:lookup|query|q)\s*\([^)]{0,40}password\b")
_PLACE: Final = re.compile(r"\{\{\s*(?P<place>playbook_dir|inventory_dir|role_path)\s*\}\}")
_ROLE: Final = re.compile(r"(.*/roles/[^/]+)/")
_VARS: Final = frozenset({"vars", "group_vars", "host_vars", "defaults"})
_CONTENT: Final = frozenset({"files", "library", "module_utils", "ansible_collections"})
_SNAPSHOT: Final = "inventory/snapshot.json"
_VAULT: Final = b"$ANSIBLE_VAULT"
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def bind() -> None:
    """Refuse, as the error of its task, each password that would be written where the slice forgets it."""
    from ansible.plugins.loader import lookup_loader  # noqa: PLC0415 -- Ansible is imported in its own process only

    load = lookup_loader._load_module_source  # noqa: SLF001 -- the one place of every lookup, whatever its module is called

    def bound(*given: Any, **named: Any) -> Any:
        module = load(*given, **named)
        write = getattr(module, "_write_password_file", None)
        if write and not hasattr(write, "__wrapped__"):
            module._write_password_file = _refusing(write)  # noqa: SLF001 -- as above
        return module

    lookup_loader._load_module_source = bound  # noqa: SLF001 -- as above


def _refusing(write: Any) -> Any:
    from ansible.errors import AnsibleError  # noqa: PLC0415 -- as in bind

    @functools.wraps(write)
    def refusing(path: bytes, content: str) -> None:
        if (lost := forgotten(os.fsdecode(path), os.environ)) is not None:
            raise AnsibleError(f"{lost} {_LOST}. {DO}")
        write(path, content)

    return refusing


def forgotten(path: str, environment: Mapping[str, str]) -> str | None:
    """Return `path`, below the slice's folder by its place there, where a slice of `environment` forgets it."""
    real, layout = os.path.realpath(path), os.path.realpath(environment["ITMP_LAYOUT"])
    scratch = os.path.dirname(os.path.realpath(environment["ANSIBLE_LOCAL_TEMP"]))  # noqa: PTH120 -- Ansible speaks in texts
    if Path(real).is_relative_to(layout):
        return os.path.relpath(real, layout)
    contained = COLLECTIONS_OF_IMAGE in environment  # all that is written in a container goes with it
    return path if contained or Path(real).is_relative_to(scratch) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A path as it is written: a variable that is a place of the slice, or none, and what follows; `whole` or not."""

    place: str
    path: str
    whole: bool

    @property
    def problem(self) -> tuple[str, str]:
        """What is wrong with it, and what to do."""
        shown = f"{self.place}/{self.path}" if self.place else self.path
        return f"lookup {_LOOKUP}: {shown}{'' if self.whole else '…'} {_LOST}", DO

    def held(self, places: Mapping[str, Iterable[str]]) -> bool:
        """Whether the plan, laid out as `places` says, holds the file, or its folder where the name is computed."""
        path = self.path if self.whole else self.path.rpartition("/")[0]
        found = (os.path.join(base, path) for base in places.get(self.place, ()))  # noqa: PTH118 -- Ansible speaks in texts
        return any(map(os.path.exists, found))


def named(value: Any, given: Iterable[str] = (), *, terms: bool = False) -> Iterator[Kept]:
    """Yield the paths in a slice that a value writes out at any depth; variables that are `given` do not count."""
    if isinstance(value, str):
        yield from _of_term(value) if terms else _of_text(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in given:
                yield from named(inner, given, terms=key == f"with_{_LOOKUP}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from named(inner, given, terms=terms)


def _of_text(text: str) -> Iterator[Kept]:
    for found in _CALL.finditer(text):
        yield from _of_term(found["text"], found["place"] or "", more=bool(found["more"]))


def _of_term(term: str, place: str = "", *, more: bool = False) -> Iterator[Kept]:
    leading = None if place else _PLACE.match(term)
    if leading:
        place, term = leading["place"], term[leading.end() :]
    path, template, _ = term.partition("{{")
    path, options, _ = path.partition(" ")
    path = path.lstrip("/") if place else path
    whole = not template or bool(options)
    if path and not path.startswith(("/", "~", "%", "{")):
        yield Kept(place=place, path=path, whole=whole and not (more and not options))


class Files:
    """Judges the variables and templates of the plan laid out below `root`; of roles, those that are `reached`."""

    def __init__(self, root: str, playbooks: Iterable[str], reached: Iterable[str]) -> None:
        self._root = Path(root)
        self._books = sorted({os.path.dirname(os.path.join(root, one)) for one in playbooks})  # noqa: PTH118, PTH120 -- Ansible speaks in texts
        self._roles = {found[1] for path in reached if (found := _ROLE.match(path))}

    def problems(self, given: Iterable[str]) -> Iterator[tuple[str, str, str]]:
        """Yield (where, what, what to do) for each path that a slice forgets; the step sets what is `given`."""
        for path, data in self._read.items():
            if not _HINT.search(data):
                continue
            for line, name, text in _said(path, data):
                if not name or not (name in given or self._elsewhere(path, name)):
                    yield from self._judged(path, line, _of_text(text))

    def _elsewhere(self, path: str, name: str) -> bool:
        """Whether another place sets the variable too, or may: which one counts is Ansible's to say."""
        key = re.compile(rf"^[ \t{{,\"']*{re.escape(name)}[\"']?\s*:".encode(), re.MULTILINE)
        named = name.encode()  # looked for first: it is far faster than the pattern
        others = (data for other, data in self._read.items() if other != path and named in data)
        return (self._closed and "/defaults/" in path) or any(map(key.search, others))

    def _judged(self, path: str, line: int, kept: Iterator[Kept]) -> Iterator[tuple[str, str, str]]:
        role = _ROLE.match(path)
        places = places_of(str(self._root), self._books, str(self._root / role[1]) if role else "")
        where = f"{path}:{line}" if line else path
        yield from ((where, *one.problem) for one in kept if not one.held(places))

    @functools.cached_property
    def _closed(self) -> bool:
        """Whether a file of variables is closed as a whole, so that nobody knows now what it sets."""
        return any(data.startswith(_VAULT) for data in self._read.values())

    @functools.cached_property
    def _read(self) -> dict[str, bytes]:
        """What the inventory says, and the files of variables and templates of what is reached, by their artifact."""
        found = {_SNAPSHOT: (self._root / _SNAPSHOT).read_bytes()}
        for file in sorted(self._root.glob("[pi]*/**/*")):
            path = file.relative_to(self._root).as_posix()
            role = _ROLE.match(path)
            parts = {*Path(path).parts}
            if _CONTENT & parts or (role and role[1] not in self._roles):
                continue
            if (_VARS & parts or file.suffix == ".j2") and file.is_file():
                found[path] = file.read_bytes()
        return found


def places_of(root: str, books: Iterable[str], role: str) -> dict[str, list[str]]:
    """Return what each place of a slice may be: the folders of its playbooks, of the inventory and of the role."""
    folders = [*books]
    return {
        "": folders,
        "playbook_dir": folders,
        "inventory_dir": [os.path.join(root, "inventory")],  # noqa: PTH118 -- Ansible speaks in texts
        "role_path": [role] if role else [],
    }


def _said(path: str, data: bytes) -> Iterator[tuple[int, str, str]]:
    """Yield (line, variable, text) for what a file says: each text of each variable, or each lookup of a template."""
    if path.endswith(".j2"):
        text = data.decode(errors="replace")
        yield from ((text.count("\n", 0, one.start()) + 1, "", one[0]) for one in _CALL.finditer(text))
    elif path == _SNAPSHOT:
        frozen = json.loads(data)
        hosts = frozen.pop("_meta", {}).get("hostvars", {}).values()
        groups = (group.get("vars", {}) for group in frozen.values())
        everything = (pair for values in (*hosts, *groups) for pair in values.items())
        yield from ((0, name, text) for name, value in everything for text in _texts(value))
    elif not data.startswith(_VAULT):
        yield from _set_in(data)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _set_in(data: bytes) -> Iterator[tuple[int, str, str]]:
    """Yield (line, name, text) for each text of each variable that a file of variables sets."""
    try:
        tree = yaml.compose(data, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return  # Ansible tells of it
    for key, value in tree.value if isinstance(tree, yaml.MappingNode) else ():
        todo, met = [value], set()
        while todo:
            node = todo.pop()
            if id(node) in met:
                continue
            met.add(id(node))
            if isinstance(node, yaml.ScalarNode):
                yield node.start_mark.line + 1, str(key.value), str(node.value)
            elif isinstance(node, yaml.SequenceNode):
                todo += node.value
            elif isinstance(node, yaml.MappingNode):
                todo += [inner for _, inner in node.value]


__all__ = ["DO", "Files", "Kept", "bind", "forgotten", "named", "places_of"]
