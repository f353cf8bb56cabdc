"""Execution environments: Ansible in a container of the image that the plan names by digest.

Rules kept here: parser and run use the same image, so what was expected is what runs; a container sees the layout of
its slice, the run's private scratch with the action socket in it, this package (read-only), and the keys with which
the plan's hosts are entered: those that the frozen variables and ways name, the user's usual ones where some host has
none, and the agent. Nothing else of this machine, the state folder least of all. HOME is scratch; `~` in the name of a
key stands for the executor's own home all the same.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import itmp
from itmp.adapters import containers
from itmp.adapters.ansible import _config, _ssh_options, layout
from itmp.adapters.ansible._versions import COLLECTIONS_OF_IMAGE
from itmp.adapters.containers import Container, Image
from itmp.adapters.supervisor import custody
from itmp.plan import Plan

if TYPE_CHECKING:
    from itmp.execution.doors import Room

ENGINE: Final = "engine"
"""Beside the layout: which program has the container, for whoever finds the layout left over."""
COLLECTIONS: Final = ("/usr/share/ansible/collections", "/root/.ansible/collections")
"""Where images keep collections: theirs are fixed by the image's digest."""

_PACKAGE: Final = Path(itmp.__file__).resolve().parent
_STARTS: Final = "itmp.adapters.ansible.start"
_INSIDE: Final = "itmp.adapters.ansible.contained"
_NOT_PASSED: Final = frozenset({"PATH", "USER", "LOGNAME", "HOME"})
_AGENT: Final = "SSH_AUTH_SOCK"
_KEY: Final = re.compile(
    rb"""\bansible_(?:ssh_)?private_key_file["']?\s*[:=]\s*["']?(?P<path>[~/][^\s"',}]*)"""
)
_NAMES_KEY: Final = re.compile(rb"\bansible_(?:ssh_)?private_key_file\b")
_OF_HOME: Final = re.compile(r"(?:~|\$HOME|\$\{HOME\})/(.+)")
_IDENTITY: Final = re.compile(r"^(  (?:Identity|Certificate)File )~/", re.MULTILINE)
_USUAL: Final = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """One slice's container."""

    image: Image
    name: str

    def end(self) -> None:
        """End and remove it, if it is still there."""
        containers.remove(self.image.engine, self.name)


def notes(image: str) -> Iterator[str]:
    """Yield what an approver has to know of plays in a container; nothing without an image."""
    if image:
        yield f"Ansible runs in the container image {image}: what a play writes on localhost is gone when its step ends"


def parse_command(
    image: Image, scratch: Path, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return the command line and environment of the parser child in a container that sees `scratch`."""
    inside = _variables(environment, scratch / "tmp" / "home")
    container = Container(
        name=containers.fresh_name(),
        mark="plan",
        folder=scratch / "layout",
        seen={scratch: True, _PACKAGE: False},
        also={},
        variables=tuple(inside),
    )
    program = [layout.CONTAINED_PYTHON, "-P", "-m", "itmp.adapters.ansible.inspect"]
    return containers.command(image, container, program), {**containers.environment(), **inside}


def contain(request: dict[str, Any], image: Image, plan: Plan, room: "Room") -> Contained:
    """Make the child's request one that runs in a container; return the container."""
    folder, short = Path(request["environment"]["ITMP_LAYOUT"]), Path(request["scratch"])
    home = short / "home"
    inside = _variables(request["environment"], home)
    keys = {text: key for text, key in _keys(plan) if _may_be_seen(key)}
    kept = Path(inside.get("ITMP_FACTS_KEPT") or "/nowhere")
    also = _of_home(keys, home)
    usual = set(_usual_keys())
    _name_keys(
        short / "ssh_config", (text for text, key in keys.items() if key in usual and text == str(key))
    )
    agent = Path(inside.get(_AGENT) or "/nowhere")
    seen = {folder: True, short: True, **dict.fromkeys((_PACKAGE, *keys.values()), False)}
    seen |= {agent: True} if agent.exists() else {}
    seen |= {kept: False} if kept.is_dir() else {}
    seen |= {layout.write(folder, ENGINE, image.engine.encode()): False}  # it cannot be taken away inside
    name = containers.fresh_name()
    container = Container(
        name=name,
        mark=mark(room),
        folder=Path(request["folder"]),
        seen=seen,
        also=also,
        variables=tuple(inside),
    )
    program = [_INSIDE if word == _STARTS else word for word in request["command"]]
    request["command"] = containers.command(image, container, program)
    request["environment"] = {**containers.environment(), **inside}
    return Contained(image=image, name=name)


def sweep(folder: Path, room: "Room") -> Iterator[str]:
    """Remove containers that a dead run of the layout in `folder` left; yield the name of each."""
    said = layout.plain(folder / ENGINE)
    if said is None:
        return
    engines = containers.installed()  # what the file says may be a child's word: no other program is started
    for engine in [one for one in engines if one.encode() == said] or engines:
        yield from (f"container {name}" for name in containers.sweep(engine, mark(room)))


def mark(room: "Room") -> str:
    """Return the label of a run's containers: not the token itself, which whoever lists containers need not know."""
    return hashlib.sha256(f"itmp/container\0{room.token}".encode()).hexdigest()[:32]


def _variables(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the variables inside: PATH is the image's own, collections of the image come after the plan's."""
    kept = {name: value for name, value in environment.items() if name not in _NOT_PASSED}
    searched = os.pathsep.join((kept.get("ANSIBLE_COLLECTIONS_PATH", ""), *COLLECTIONS)).lstrip(os.pathsep)
    return kept | {
        "HOME": str(home),
        "PYTHONPATH": str(_PACKAGE.parent),
        "ANSIBLE_COLLECTIONS_PATH": searched,
        COLLECTIONS_OF_IMAGE: os.pathsep.join(COLLECTIONS),
    }


def _keys(plan: Plan) -> Iterator[tuple[str, Path]]:
    """Yield each key file to be seen, with the text that names it."""
    texts = [
        plan.artifact(path) for path in plan.manifest.artifacts if path.startswith(("inventory/", "project/"))
    ]
    named = {found["path"].decode(errors="replace") for text in texts for found in _KEY.finditer(text)}
    ways = plan.artifact(layout.WAYS) if layout.WAYS in plan.manifest.artifacts else b"{}"
    named |= {*_identities(json.loads(ways or b"{}")), *_configured(plan)}
    yield from ((text, _here(text)) for text in sorted(named))
    if _some_host_has_none(plan):
        yield from ((str(key), key) for key in _usual_keys())


def _configured(plan: Plan) -> Iterator[str]:
    """Yield the key that the project's ansible.cfg names, in the form that Ansible is given."""
    files = {path: plan.artifact(path) for path in _config.FILES if path in plan.manifest.artifacts}
    name = _config.of(files).honoured.get("defaults", {}).get("private_key_file", "")
    yield from (name.strip(),) if name else ()


def _of_home(keys: Mapping[str, Path], home: Path) -> dict[Path, Path]:
    """Return where below the `home` inside keys of the executor's home are to be seen."""
    return {home / found[1]: key for text, key in keys.items() if (found := _OF_HOME.fullmatch(text))}


def _here(text: str) -> Path:
    """Return the file of this machine that a text names as a key; `~` and HOME are the executor's."""
    found = _OF_HOME.fullmatch(text)
    return Path.home() / found[1] if found else Path(text).expanduser()


def _may_be_seen(key: Path) -> bool:
    """Whether a key file is there, under a plain path, and none of the state: a plan may name any file as a key."""
    return ".." not in key.parts and key.is_file() and not custody.closed(key)


def _identities(value: Any) -> Iterable[str]:
    """Yield the texts below every `keys` of the frozen ways, and the files that their `options` name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            files = name == "options" and isinstance(inner, list)
            keys = name == "keys" and isinstance(inner, list)
            yield from (
                _ssh_options.files(inner) if files else map(str, inner) if keys else _identities(inner)
            )
    elif isinstance(value, list):
        for inner in value:
            yield from _identities(inner)


def _some_host_has_none(plan: Plan) -> bool:
    """Whether a host of the inventory may have to be entered with the user's usual keys."""
    files = [
        p for p in plan.manifest.artifacts if p.startswith(("inventory/group_vars/", "inventory/host_vars/"))
    ]
    if any(_NAMES_KEY.search(plan.artifact(path)) for path in files) or plan.manifest.inventory is None:
        return True  # whose they are, Ansible alone knows
    frozen = json.loads(plan.artifact(plan.manifest.inventory.snapshot))
    own = frozen.get("_meta", {}).get("hostvars", {})
    of_group = {name: body.get("vars", {}) for name, body in frozen.items() if name != "_meta"}
    return not all(
        any(
            _NAMES_KEY.fullmatch(str(name).encode())
            for values in (
                own.get(host.name, {}),
                *(of_group.get(group, {}) for group in ("all", *host.groups)),
            )
            for name in values
        )
        for host in plan.manifest.inventory.hosts
    )


def _usual_keys() -> Iterator[Path]:
    yield from (key for name in _USUAL if (key := Path.home() / ".ssh" / name).is_file())


def _name_keys(config: Path, keys: Iterable[str]) -> None:
    """Have ssh inside look for `keys` where they are here: its own idea of `~` is the image's."""
    text = _IDENTITY.sub(rf"\g<1>{Path.home()}/", config.read_text())
    config.write_text(text + "".join(f"  IdentityFile {key}\n" for key in keys))


__all__ = ["COLLECTIONS", "Contained", "contain", "notes", "parse_command", "sweep"]
