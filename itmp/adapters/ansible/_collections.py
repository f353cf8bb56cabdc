"""Collections that a project asks for and uses, held against those that stand in it: a plan reads no others.

Rules kept here: what stands in the project is locked by its bytes, like a role, and the plan names its version; a
collection that a requirements file, or another collection of the project, asks for and that is missing or in another
version is named with the command that mends it; one that is used and lies in the user's or the system's folder alone is
named too, because a plan must not depend on who makes it. Nothing is installed, and nothing outside the project is read
but names of folders.
"""

import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final

from itmp.adapters.ansible import _needed
from itmp.adapters.ansible._requirements import files, load

USERS: Final = Path("~/.ansible/collections")
SYSTEM: Final = Path("/usr/share/ansible/collections")
_WRITTEN: Final = (".yml", ".yaml", ".j2")
_NAME: Final = re.compile(r"[a-z_]\w*\.[a-z_]\w*", re.ASCII)
_USED: Final = re.compile(
    r"(?:'with_|['/]|group )([a-z]\w*\.[a-z_]\w*)\.(?!ya?ml'|j2'|json')\w+(?:'|$)", re.ASCII
)
_WORD: Final = re.compile(r"[\w.-]{1,80}", re.ASCII)
_ASKS: Final = re.compile(r"\s*(==|=|!=|>=|<=|>|<)?\s*(\S+)\s*")
_VERSION: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([\w.-]+))?(?:\+.*)?", re.ASCII)
_CORE: Final = frozenset({"ansible.builtin", "ansible.legacy"})
_VALUES: Final = frozenset({"templates", "vars", "defaults", "group_vars", "host_vars"})
_MENDED: Final = "Correct the playbook."


def notes(
    artifacts: Mapping[str, bytes],
    held: Mapping[str, str],
    elsewhere: Mapping[str, str],
    needed: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Iterator[str]:
    """Yield a line for each collection that is asked for and not `held` as asked, or used and `elsewhere` alone.

    `needed` maps collections of the project to those that they themselves ask for, each with its version.
    """
    for path, shown in files(artifacts):
        for name, version in _asked(artifacts[path]):
            yield from _compared(name, version, held, shown, _command(shown))
    for by, asked in sorted(needed.items()):
        for name, version in sorted(asked.items()):
            said = f"collection {by} of the project"
            yield from _compared(name, version.replace("*", ""), held, said, _install(artifacts, name))
    for name in _used(artifacts, elsewhere.keys() - held.keys()):
        yield f"collection {name} is in {elsewhere[name]} alone, which no plan reads: {_install(artifacts, name)}"


def unmet(
    artifacts: Mapping[str, bytes], held: Mapping[str, str], elsewhere: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each collection that only a template or a file of variables needs, and that is nowhere.

    Whether a run ever comes to it nobody knows before: it is named, not refused.
    """
    known = {*held, *elsewhere, *_CORE}
    told: set[str] = set()
    for path, data in sorted(artifacts.items()):
        folders = set(path.split("/")[:-1])
        if "ansible_collections" in folders or not (folders & _VALUES or path.endswith(".j2")):
            continue
        for kind, name in _needed.of_text(data.decode(errors="replace").replace('\\"', '"')):
            collection = ".".join(name.split(".")[:2])
            if collection not in known | told:
                told.add(collection)
                used = f"{path.removeprefix('project/')} uses the {kind} {name}"
                yield f"{used}, and the project has no such collection: {_install(artifacts, collection)}"


def found_elsewhere() -> dict[str, str]:
    """Return the collections that Ansible would find outside a project, each with its place."""
    places = (USERS, SYSTEM, Path(sysconfig.get_path("purelib")))
    shown = {places[0]: str(USERS), places[1]: str(SYSTEM), places[2]: "Python's own packages"}
    found: dict[str, str] = {}
    for place in places:
        for folder in sorted((place.expanduser() / "ansible_collections").glob("*/*/")):
            if _NAME.fullmatch(name := f"{folder.parent.name}.{folder.name}"):
                found.setdefault(name, shown[place])
    return found


def advice(
    what: str, do: str, artifacts: Mapping[str, bytes], held: Mapping[str, str], elsewhere: Mapping[str, str]
) -> str:
    """Return what to do about the parser's words `what`: how to get the collection that they miss."""
    named = [one for one in _USED.findall(what) if one not in held and one not in _CORE]
    if do != _MENDED or not (named or "resolve module/action" in what):
        return do
    for name in named or _used(artifacts, elsewhere.keys() - held.keys()):
        where = f"{name} is in {elsewhere[name]} alone, which no plan reads" if name in elsewhere else ""
        said = where or f"The project has no collection {name}"
        return f"{said}: {_install(artifacts, name)}"
    return "Correct the playbook, or put the collection that has it into collections/ of the project."


def _compared(name: str, version: str, held: Mapping[str, str], shown: str, command: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        word = _WORD.search(PurePosixPath(name).name)
        yield f"{shown} asks for a collection by its source ({word[0] if word else '?'}): its version is not compared"
    elif name not in held:
        yield f"{shown} asks for collection {name}: {command}"
    elif version and not held[name]:
        what = f"{shown} asks for collection {name} {version}, the one in the project states no version"
        yield f"{what}: {command} --force"
    elif version and not fits(version, held[name]):
        yield f"{shown} asks for collection {name} {version}, {held[name]} is in the project: {command} --force"


def fits(asked: str, version: str) -> bool:
    """Whether `version` is within what a requirements file asks for; a branch or commit cannot be compared."""
    here = _order(version)
    for found in filter(None, map(_ASKS.fullmatch, asked.split(","))):
        wanted = _order(found[2])
        if wanted is None or here is None:
            continue
        holds = {
            "!=": here != wanted,
            ">": here > wanted,
            ">=": here >= wanted,
            "<": here < wanted,
            "<=": here <= wanted,
        }
        if not holds.get(found[1] or "", here == wanted):
            return False
    return True


def _order(version: str) -> tuple[Any, ...] | None:
    """Return a version's place in the order of semantic versions, in which a pre-release comes before its release."""
    found = _VERSION.fullmatch(version)
    if not found:
        return None
    before = [
        (0, int(one), "") if one.isdigit() else (1, 0, one) for one in (found[4] or "").split(".") if one
    ]
    return (*(int(one or 0) for one in found.group(1, 2, 3)), not before, before)


def _asked(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield name (or source) and version of each collection of a requirements file."""
    value = load(data)
    asked = value.get("collections") if isinstance(value, Mapping) else ()
    for one in asked if isinstance(asked, list) else ():
        if isinstance(one, str):
            name, _, version = one.partition(":") if _NAME.match(one) else (one, "", "")
            yield name[:200], version[:80]
        elif isinstance(one, Mapping) and one.get("name"):
            yield str(one["name"])[:200], str(one.get("version") or "")[:80]


def _used(artifacts: Mapping[str, bytes], names: Iterable[str]) -> list[str]:
    """Return those of `names` that the project's own YAML and templates write, in order."""
    if not (wanted := sorted(names)):
        return []
    pattern = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, wanted))})(?![\w-])".encode())
    texts = (
        data
        for path, data in artifacts.items()
        if path.startswith("project/") and path.endswith(_WRITTEN) and "/ansible_collections/" not in path
    )
    lines = (line for data in texts for line in data.splitlines() if not line.lstrip().startswith(b"#"))
    return sorted({found.decode() for line in lines for found in pattern.findall(line)})


def _install(artifacts: Mapping[str, bytes], name: str) -> str:
    asking = (shown for path, shown in files(artifacts) if name in dict(_asked(artifacts[path])))
    shown = next(asking, "")
    return _command(shown) if shown else f"ansible-galaxy collection install {name} -p collections"


def _command(shown: str) -> str:
    parts = PurePosixPath(shown).parent.parts
    folder = PurePosixPath(
        *parts[: -1 if parts[-1:] in (("roles",), ("collections",)) else None], "collections"
    )
    return f"ansible-galaxy collection install -r {shown} -p {folder}"


__all__ = ["SYSTEM", "USERS", "advice", "fits", "found_elsewhere", "notes", "unmet"]
