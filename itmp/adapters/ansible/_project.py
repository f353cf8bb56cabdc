"""Collects the bytes of an Ansible project that a plan can reach.

Rules kept here: the whole of the folders that Ansible searches beside the playbooks is taken, of the playbooks those
that are asked for or imported (by a template: those that it may mean), and what they reach beside them by a path;
everything else stays out. A symlink is
followed only inside the workspace. What is collected does not depend on the order of directories, on modes or on times.
"""

import fnmatch
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from itmp.adapters.ansible import _beside, _config, _keys, _requirements
from itmp.adapters.ansible._config import PROJECT_CONFIG
from itmp.documents import Problem
from itmp.errors import InvalidInputError

MAX_BYTES: Final = 256 * 1024 * 1024
MAX_FILES: Final = 50_000
_SKIPPED: Final = frozenset(
    {".git", ".itmp", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".DS_Store"}
)
KEY: Final = "holds a private key and is left out: encrypt it with ansible-vault"
_LINK_DO: Final = "Copy the file into the project, or remove the link."


def collect(root: Path, catalog: str) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the artifacts `project/…` of the workspace at `root`, and what is wrong with them."""
    configs = dict(zip(_config.FILES, (root / "ansible.cfg", root / catalog / "ansible.cfg"), strict=True))
    held = {path: file.read_bytes() for path, file in configs.items() if file.is_file()}
    asked = {folder for folders in _config.of(held).folders.values() for folder in folders}
    if PROJECT_CONFIG not in held:
        # What is among the playbooks is taken with them, whatever the catalog is called.
        asked = {folder for folder in asked if PurePosixPath(folder).parts[0] != "playbooks"}
    more = sorted(asked)
    artifacts, problems = _read(root, catalog, _walk(root.resolve(), catalog, more), 0, 0)
    return artifacts | {path: held[path] for path in held.keys() & {PROJECT_CONFIG}}, problems


def beside(
    root: Path, catalog: str, project: Mapping[str, bytes]
) -> tuple[dict[str, bytes], list[Problem], list[str]]:
    """Return what a `project` reaches beside its playbooks, what is wrong with it, and the private keys left out."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    done: set[str] = set()
    new = dict(project)
    while places := sorted(_beside.reached(root, new) - done):
        done |= set(places)
        size = sum(map(len, (*project.values(), *found.values())))
        walk = ((path, file) for place in places for path, file in _walk_beside(root.resolve(), place))
        new, wrong = _read(root, catalog, walk, size, len(project) + len(found))
        found |= new
        problems += wrong
    keys = sorted(path for path, data in found.items() if _keys.clear(data) and path not in project)
    return {path: data for path, data in found.items() if path not in {*keys, *project}}, problems, keys


def _walk_beside(root: Path, place: str) -> Iterator[tuple[str, Path]]:
    files = [root / place] if (root / place).is_file() else _files(root / place, (), root)
    yield from ((f"project/{file.relative_to(root).as_posix()}", file) for file in files)


def _read(
    root: Path, catalog: str, walk: Iterator[tuple[str, Path]], size: int, count: int
) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the bytes of what is walked, and links that leave; `size` and `count` are what the plan holds already."""
    problems: list[Problem] = []
    artifacts: dict[str, bytes] = {}
    for path, source in dict(walk).items():
        if not _inside(source, root.resolve()):
            text = str(source.relative_to(root.resolve()))
            message = "a symlink that leaves the project"
            problems.append(Problem(path=text, line=0, column=0, message=message, suggestion=_LINK_DO))
            continue
        data = source.read_bytes()
        size += len(data)
        if size > MAX_BYTES or count + len(artifacts) >= MAX_FILES:
            raise InvalidInputError(
                f"the Ansible project holds more than {MAX_BYTES >> 20} MiB or {MAX_FILES} files",
                where=str(root / catalog),
                do="Move what the playbooks do not need out of it.",
            )
        artifacts[path] = data
    return artifacts, problems


def _walk(root: Path, catalog: str, more: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield artifact path and file: the catalog, roles, collections, requirements, `more` folders of the workspace."""
    yield from ((f"project/{name}", root / name) for name in _requirements.NAMES if (root / name).is_file())
    standard = ((catalog, "playbooks"), ("roles", "roles"), ("collections", "collections"))
    for folder, prefix in (*standard, *((name, name) for name in more)):
        for file in _files(root / folder, (), root):
            inner = file.relative_to(root / folder)
            yield str(PurePosixPath("project", prefix, *inner.parts)), file


def _files(folder: Path, seen: tuple[Path, ...], root: Path) -> Iterator[Path]:
    """Yield the files below a folder, through links that stay in the workspace at `root`; one that leaves as it is."""
    real = folder.resolve()
    if not folder.is_dir() or real in seen:
        return
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        if entry.name in _SKIPPED or entry.name.endswith((".pyc", ".pyo", ".retry", "~", ".swp")):
            continue
        path = Path(entry.path)
        if entry.is_dir():
            outside = entry.is_symlink() and not _inside(path, root)
            yield from [path] if outside else _files(path, (*seen, real), root)
        elif entry.is_file() or entry.is_symlink():
            yield path


def _inside(path: Path, root: Path) -> bool:
    """Whether a path leads to what a plan may take of the workspace: never to its state, whatever link says so."""
    try:
        return not _SKIPPED & {*path.resolve(strict=True).relative_to(root).parts}
    except (OSError, ValueError):
        return False


def is_playbook(data: bytes) -> bool:
    """Tell whether a YAML file holds plays (and not tasks, variables or anything else)."""
    try:
        value: Any = yaml.compose(data, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return False
    if not isinstance(value, yaml.SequenceNode) or not value.value:
        return False
    first = value.value[0]
    names = {key.value for key, _ in first.value} if isinstance(first, yaml.MappingNode) else set()
    return any(name.rpartition(".")[2] in {"hosts", "import_playbook"} for name in names)


def prune(artifacts: dict[str, bytes], asked: set[str]) -> dict[str, bytes]:
    """Leave out the catalog's playbooks that are neither `asked` nor imported by one that is."""
    books = {path for path, data in artifacts.items() if _at_top(path) and is_playbook(data)}
    reached: set[str] = set()
    waiting = [path for path in asked if path in artifacts]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            names = _imports(path, artifacts[path])
            waiting += [
                one for name in names for one in ([name] if name in artifacts else _meant(name, books))
            ]
    return {path: data for path, data in sorted(artifacts.items()) if path not in books or path in reached}


_TEMPLATE: Final = re.compile(r"\{\{.*?\}\}|\{%.*%\}", re.DOTALL)


def _at_top(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return (
        parts[:2] == ("project", "playbooks") and path.endswith((".yml", ".yaml")) and not _VARS & set(parts)
    )


_VARS: Final = frozenset(
    {"roles", "tasks", "handlers", "vars", "group_vars", "host_vars", "templates", "files", "collections"}
)


def _meant(name: str, books: set[str]) -> list[str]:
    """Return the playbooks that an import may mean in which `*` stands for what a template gives."""
    return fnmatch.filter(books, name) if "*" in name else []


def _imports(path: str, data: bytes) -> Iterator[str]:
    """Yield the paths that a playbook imports, `*` in the place of each template."""
    try:
        node = yaml.compose(data, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:  # the parser says so
        return
    for play in node.value if isinstance(node, yaml.SequenceNode) else ():
        for key, value in play.value if isinstance(play, yaml.MappingNode) else ():
            if str(key.value).rpartition(".")[2] == "import_playbook" and isinstance(value, yaml.ScalarNode):
                name = _TEMPLATE.sub("*", value.value)
                yield os.path.normpath(str(PurePosixPath(path).parent / name))
