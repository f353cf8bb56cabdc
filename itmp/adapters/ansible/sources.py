"""`AnsibleSources`: the Ansible part of `gather` (door: `itmp.plan.sources.Sources`).

Rules kept here: the world is read once, laid out in a private folder, and Ansible's parser reads that
layout, so the bytes that are judged are the bytes that are frozen. Every problem of one gather is
reported together. Nothing is changed and nothing of the project is executed, except what an inventory
plugin or script does by being read.
"""

import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters import containers
from itmp.adapters.ansible import (
    _asking,
    _beside_inventory,
    _called,
    _collections,
    _config,
    _devices,
    _environments,
    _guards,
    _keys,
    _project,
    _requirements,
    _snapshot,
    _ssh_options,
    _versions,
    _ways,
    layout,
)
from itmp.adapters.ansible._ssh_files import Place, few
from itmp.adapters.ansible._ways import Way, Ways
from itmp.adapters.known_hosts import PinnedKeys
from itmp.canonical import digest
from itmp.documents import DocumentError, Problem
from itmp.documents.secrecy import secret_like
from itmp.errors import InvalidInputError
from itmp.plan.model import ExpectedTask, Host, Source
from itmp.plan.sources import Facts, InventoryFacts, Needs, PlayFacts

_VARS: Final = frozenset({"group_vars", "host_vars"})
_RESERVED: Final = "itmp_"
_OURS: Final = frozenset({layout.SNAPSHOT, layout.WAYS, layout.CALLED})
_ALLOWED: Final = (_guards.KEYS, _guards.CONTROL)
_ARGUMENT_DO: Final = (
    "Remove it: of ssh arguments a plan takes ProxyJump (-J) and options that are data alone."
)
_LEADS_DO: Final = (
    "Write ProxyJump HOST, or ProxyCommand ssh -W %h:%p HOST; give -F a file of the workspace, or name one under "
    "`ssh_config` in itmp.yml."
)
_CHECKED: Final = (
    "ssh arguments that ask for no check of host keys are not honoured: keys are checked against the plan's "
    "known_hosts alone"
)
_BESIDE_A_PLAYBOOK: Final = re.compile(r"(project/playbooks/(?:[^/]+/)+collections)/ansible_collections/")
_PLACE: Final = re.compile(r"(.+?):(\d+)(?::(\d+))?")


class AnsibleSources:
    """Gathers inventory, project bytes and expected work of the workspace at `root`.

    `inventories` are paths relative to `root`, in Ansible's order of precedence; `playbooks` is the catalog folder;
    `known_hosts` the committed host keys. `passed` names environment variables that inventory plugins may see.
    `ssh_config` is an ssh configuration to honour; `unpinned` says that the policy allows hosts without a pinned key,
    where the inventory or the project's ansible.cfg asks for them. `callbacks` are files that run beside ours.
    """

    def __init__(
        self,
        root: Path,
        inventories: tuple[str, ...],
        *,
        playbooks: str = "playbooks",
        known_hosts: str = "inventories/known_hosts",
        passed: tuple[str, ...] = (),
        ssh_config: Path | None = None,
        unpinned: bool = False,
        callbacks: tuple[str, ...] = (),
    ) -> None:
        self._root, self._inventories, self._catalog = root.resolve(), inventories, playbooks
        self._known_hosts, self._passed = known_hosts, passed
        self._ssh_config, self._unpinned, self._callbacks = ssh_config, unpinned, callbacks

    def gather(self, needs: Needs) -> Facts:
        """Return the Ansible part of the facts for `needs`.

        Raises `DocumentError` with every problem found, `NotFoundError` for a missing inventory.
        """
        if not (needs.plays or needs.patterns):
            return Facts()
        image = containers.find(needs.image) if needs.image and needs.plays else None
        public = frozenset(name for play in needs.plays for name in play.public_vars)
        artifacts, problems, left = self._bytes(needs)
        elsewhere = {} if image else _collections.found_elsewhere()  # an image's own collections are read
        notes = (
            *self._notes(artifacts, elsewhere, contained=image is not None),
            *left,
            *_environments.notes(needs.image if image else ""),
        )
        with tempfile.TemporaryDirectory(prefix="itmp-plan-") as scratch:
            folder, temporary = Path(scratch) / "layout", Path(scratch) / "tmp"
            environment = self._environment(folder, temporary)
            snapshot, unread = _snapshot.take(
                self._root,
                self._inventories,
                environment=self._for_reading(environment, artifacts),
                token=secrets.token_hex(16),
            )
            artifacts[layout.SNAPSHOT] = _snapshot.to_bytes(snapshot)
            judged = self._judge(snapshot, artifacts, needs, public)
            broken = [one for one in judged if one.message == _guards.UNREAD]
            built = {self._place(path) for path in artifacts if path.endswith(_guards.BUILT)}
            published = [one for one in judged if _guards.is_published(one, built)]
            notes += (*unread, *_guards.of_published(published))
            for path, data in sorted(artifacts.items()):
                notes += (*_guards.notes(path, data), *_keys.notes(self._place(path), data, public))
            notes += tuple(f"{one.path}:{one.line} is {one.message}" for one in broken)
            problems += [one for one in judged if one not in (*broken, *published)]
            if problems:
                raise DocumentError(problems)
            folder.mkdir(mode=0o700)
            layout.lay_out(folder, artifacts.items())
            environment = self._for_parsing(folder, temporary)
            answer = _asking.ask(Path(scratch), environment, needs, str(self._root), image)
        found = [_advised(one, artifacts, elsewhere) for one in answer["problems"]]
        _refuse(found, self._place, broken)
        used = _used(answer, needs)
        ways, unused = self._settle([host for host in answer["hosts"] if host["name"] in used], artifacts)
        # A project's own plugins are found from its playbooks; who asks of hosts alone runs a plan that holds them.
        _ways.require(ways, answer["unknown_connections"] if needs.plays else ())
        if ways.to_bytes():
            artifacts[layout.WAYS] = ways.to_bytes()
        pinned = artifacts[layout.KNOWN_HOSTS]
        devices = _devices.notes(ways, answer["hosts"], pinned, contained=image is not None)
        return self._facts(answer, snapshot, artifacts, (*notes, *unused, *devices), ways)

    def _settle(
        self, hosts: list[Mapping[str, Any]], artifacts: Mapping[str, bytes]
    ) -> tuple[Ways, tuple[str, ...]]:
        """Return how each host is reached, and notes on it; raise `DocumentError` for what no plan does on the way."""
        where = ", ".join(self._inventories)
        said, config = _config.of(artifacts), self._place(_config.in_force(artifacts))
        base = (self._root / config).parent
        settled = _ways.settle(hosts, self._ssh_config, Place(root=self._root, base=base))
        of = settled.ways
        problems = [
            _at(where, f"host {name}: ssh argument {text}", _ARGUMENT_DO)
            for name, texts in sorted(settled.refused.items())
            for text in texts
        ]
        problems += [
            _at(config, f"ssh argument {text}, by which ssh would reach {names}", _LEADS_DO)
            for text, names in settled.misled.items()
        ]
        problems += [
            _at(where, f"host {name}: {_ways.unsafe(way)!r:.80} is no place for ssh", "Correct it.")
            for name, way in sorted(of.items())
            if _ways.unsafe(way)
        ]
        if problems:
            raise DocumentError(problems)
        pinned = PinnedKeys(data=artifacts[layout.KNOWN_HOSTS])
        everyone = said.unpinned
        asking = settled.weak | {str(host["name"]) for host in hosts if everyone or host["unchecked"]}
        unpinned = [
            str(host["name"])
            for host in hosts
            if self._unpinned and host["name"] in asking and not _known(pinned, host, of)
        ]
        notes = settled.notes
        if settled.weak and not self._unpinned:
            notes += (f"{_CHECKED}: {few(sorted(settled.weak))}",)
        if self._ssh_config and _ssh_options.arguments(" ".join(said.ssh.values())).config:
            notes += (f"{config}: -F is not honoured: the file that ssh_config of itmp.yml names counts",)
        return Ways(of=of, unpinned=tuple(sorted(unpinned))), notes

    def _environment(self, folder: Path, temporary: Path) -> dict[str, str]:
        for name in ("home", "local"):
            (temporary / name).mkdir(parents=True, mode=0o700)
        return layout.environment(folder, temporary=temporary, passed=self._passed)

    def _for_parsing(self, folder: Path, temporary: Path) -> dict[str, str]:
        """Parsing runs nothing of the project: its filters, tests and lookups are not even searched for."""
        found = layout.environment(folder, temporary=temporary, passed=self._passed)
        return {name: value for name, value in found.items() if name not in _config.CODE}

    def _for_reading(self, environment: Mapping[str, str], artifacts: Mapping[str, bytes]) -> dict[str, str]:
        """Inventory plugins come from the workspace or the user's installation: reading is not running."""
        said = _config.of(artifacts).folders.get("ANSIBLE_COLLECTIONS_PATH", ())
        places = [self._root / self._place(f"project/{folder}") for folder in said]
        places += [self._root / self._catalog / "collections", self._root / "collections"]
        places += [_collections.USERS, _collections.SYSTEM]
        changed = {"ANSIBLE_COLLECTIONS_PATH": ":".join(map(str, places))}
        config = self._root / self._place(_config.in_force(artifacts))
        if config.is_file():
            changed["ANSIBLE_CONFIG"] = str(config)
        dropped = {"ANSIBLE_INVENTORY_ENABLED", "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH"}
        return {name: value for name, value in {**environment, **changed}.items() if name not in dropped}

    def _bytes(self, needs: Needs) -> tuple[dict[str, bytes], list[Problem], list[str]]:
        """Return the artifacts, what is wrong with them, and a note for each file that was left out."""
        collected, problems = _project.collect(self._root, self._catalog)
        rendered = {
            _asking.artifact_path(need): need.rendered for need in needs.plays if need.rendered is not None
        }
        asked = {_asking.find(need, collected) or _asking.artifact_path(need) for need in needs.plays}
        project = self._without_callbacks(_project.prune({**collected, **rendered}, asked))
        beside, links, private = _project.beside(self._root, self._catalog, project)
        left = [f"{self._place(path)} {_project.KEY}" for path in private]
        for need in needs.plays:
            if need.rendered is None and _asking.find(need, collected) is None:
                where = f"{self._catalog}/{need.playbook}.yml"
                problems.append(_at(need.mark, f"no playbook {need.playbook!r:.80}", f"Write {where}."))
        files, wrong = _snapshot.vars_files(self._root, self._inventories)
        texts = {**project, **beside, **files, **inventory_files(self._root, self._inventories)}
        reached, more, unread = _beside_inventory.take(self._root, self._inventories, self._catalog, texts)
        unread += _called.notes(self._root, self._inventories, texts)
        called = _called.artifact(_called.of(self._root, self._inventories))
        files, left, wrong = {**reached, **files, **called}, left + unread, links + wrong + more
        keys = self._root / self._known_hosts
        known = {layout.KNOWN_HOSTS: keys.read_bytes() if keys.is_file() else b""}
        return {**project, **beside, **files, **known, **self._allowed_callbacks()}, problems + wrong, left

    def _without_callbacks(self, project: dict[str, bytes]) -> dict[str, bytes]:
        """Return the project without the listed callbacks: beside the playbooks Ansible would load them once more."""
        if not self._callbacks:
            return project
        listed = {(self._root / name).resolve() for name in self._callbacks}
        return {
            path: data
            for path, data in project.items()
            if (self._root / self._place(path)).resolve() not in listed
        }

    def _allowed_callbacks(self) -> dict[str, bytes]:
        """Return the callbacks that itmp.yml lists, and no others, in the folder that a run searches."""
        found: dict[str, bytes] = {}
        for name in self._callbacks:
            file = (self._root / name).resolve()
            if not file.is_relative_to(self._root) or file.suffix != ".py" or not file.is_file():
                raise InvalidInputError(
                    f"no callback plugin {name!r:.120} in the workspace",
                    where="itmp.yml",
                    do="List .py files of the workspace under `callbacks`.",
                )
            found[f"{layout.CALLBACKS}/{file.name}"] = file.read_bytes()
        return found

    def _notes(
        self, artifacts: Mapping[str, bytes], elsewhere: Mapping[str, str], *, contained: bool
    ) -> tuple[str, ...]:
        said, file = _config.of(artifacts), self._place(_config.in_force(artifacts))
        notes = [f"{file}: {line}" for line in (*said.ignored, *_config.other(said, self._inventories))]
        if {*_config.FILES} <= artifacts.keys():
            notes.append(
                f"{self._place(_config.CATALOG_CONFIG)} is not read: the workspace's own {file} counts"
            )
        code = {path for name in _config.CODE for path in said.folders.get(name, ())}
        notes += [f"{path} holds code that runs on the executor's own machine" for path in sorted(code)]
        notes += [
            f"{path.rpartition('/')[2]} is a callback that sees every result, unmasked, on the executor's machine"
            for path in sorted(artifacts)
            if path.startswith(layout.CALLBACKS)
        ]
        notes += _requirements.notes(artifacts)
        searched = _searched(artifacts)
        needed = {} if contained else _versions.needed(artifacts, searched)  # an image may have them
        held = _versions.held(artifacts, searched)
        unmet = () if contained else _collections.unmet(artifacts, held, elsewhere)
        notes += (*_collections.notes(artifacts, held, elsewhere, needed), *unmet)
        if not artifacts[layout.KNOWN_HOSTS].strip():
            notes.append(f"{self._known_hosts} is empty: SSH refuses every host (itmp hosts scan)")
        return tuple(notes)

    def _judge(
        self,
        snapshot: Mapping[str, Any],
        artifacts: Mapping[str, bytes],
        needs: Needs,
        public: frozenset[str],
    ) -> list[Problem]:
        problems = list(_snapshot.check(snapshot, ", ".join(self._inventories), public))
        read = inventory_files(self._root, self._inventories)
        for path, data in artifacts.items():
            place = self._place(path)
            ours = "_plugins/" in path or path.startswith(layout.CALLBACKS)
            if path.rpartition("/")[2].startswith(_RESERVED) and ours:
                problems.append(
                    _at(place, f"plugin names that start with {_RESERVED} are ours", "Rename it.")
                )
            if path not in _OURS and "/_itmp_" not in path:
                # Among the playbooks, too, an inventory is judged by what the snapshot has of it.
                if not (place in read and self._is_inventory(place, data)):
                    problems += _guards.check_file(place, data, public)
                problems += _guards.check_place(place)
                problems += _keys.problems(place, data, public) if needs.plays else ()
        for need in needs.plays:
            problems += _guards.check_values(need.mark, dict(need.vars), public)
            both = sorted(need.vars.keys() & need.secrets.keys())
            problems += [_at(need.mark, f"{name} is a variable and a secret", "Keep one.") for name in both]
        allowed = (*(_ALLOWED if self._unpinned else ()), *((_guards.CLEAR,) if needs.compared else ()))
        return [one for one in problems if not one.message.endswith(allowed)]

    def _is_inventory(self, place: str, data: bytes) -> bool:
        return _snapshot.is_inventory(self._root, self._inventories, place, data)

    def _place(self, path: str) -> str:
        if path.startswith("project/playbooks/"):
            return f"{self._catalog}/{path.removeprefix('project/playbooks/')}"
        if path == layout.SNAPSHOT:
            return ", ".join(self._inventories)
        beside = _snapshot.files_of(self._inventories)
        if path.startswith("inventory/") and beside:
            return str(Path(beside[0]).parent / path.removeprefix("inventory/"))
        return path.removeprefix("project/")

    def _facts(
        self,
        answer: Mapping[str, Any],
        snapshot: Mapping[str, Any],
        artifacts: Mapping[str, bytes],
        notes: tuple[str, ...],
        ways: Ways,
    ) -> Facts:
        files = {path: data for path, data in artifacts.items() if path.startswith("inventory/")}
        groups = {host["name"]: host["groups"] for host in answer["hosts"]}
        digests = _snapshot.digests(snapshot, files, groups)
        hosts = tuple(
            Host(
                name=host["name"],
                address=host["address"],
                port=host["port"],
                groups=tuple(name for name in host["groups"] if name not in {"all", "ungrouped"}),
                vars=digests[host["name"]],
            )
            for host in answer["hosts"]
        )
        return Facts(
            inventory=InventoryFacts(
                sources=self._inventories,
                snapshot=artifacts[layout.SNAPSHOT],
                hosts=hosts,
                patterns={text: tuple(found) for text, found in answer["patterns"].items()},
                ways={name: _ways.told(way) for name, way in ways.of.items()},
                unpinned=ways.unpinned,
            ),
            plays={name: _play_facts(value) for name, value in answer["plays"].items()},
            artifacts=artifacts,
            versions={**answer["versions"], **_versions.of_collections(artifacts, _searched(artifacts))},
            sources=self._sources(artifacts),
            notes=notes,
        )

    def _sources(self, artifacts: Mapping[str, bytes]) -> tuple[Source, ...]:
        places = {
            self._place(path): data
            for path, data in artifacts.items()
            if "/_itmp_" not in path and path not in {*_OURS, layout.KNOWN_HOSTS}
        }
        places |= inventory_files(self._root, self._inventories)
        return tuple(Source(path=place, digest=digest(data)) for place, data in sorted(places.items()))


def inventory_files(root: Path, inventories: tuple[str, ...]) -> dict[str, bytes]:
    """Return the files of the inventory sources by their path in the workspace, vars files left out.

    They are read again when a run starts, and a script among them is executed: whoever reads must know it again.
    """
    found: dict[str, bytes] = {}
    for name in _snapshot.files_of(inventories):
        place = root / name
        inside = sorted(place.rglob("*")) if place.is_dir() else [place]
        found |= {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in inside
            if path.is_file() and not _VARS & set(path.relative_to(root).parts)
        }
    return found


def _used(answer: Mapping[str, Any], needs: Needs) -> set[str]:
    """Return the hosts that a plan for `needs` may touch: how others are reached does not matter."""
    plays = answer["plays"].values()
    asked = [
        *answer["patterns"].values(),
        *(one["hosts"] for one in plays),
        *(one["delegates"] for one in plays),
    ]
    return {name for names in (*asked, *(need.delegates for need in needs.plays)) for name in names}


def _known(pinned: PinnedKeys, host: Mapping[str, Any], ways: Mapping[str, Way]) -> bool:
    way = ways.get(str(host["name"]), Way())
    end = (way.end.host, way.end.port) if way.end else (str(host["address"]), int(host["port"]))
    return bool(pinned.of(*end))


def moved_versions(planned: Mapping[str, str]) -> list[str]:
    """Return one line for each version of Ansible, Jinja or Python that is no longer the plan's."""
    return _versions.moved(planned)


def _searched(artifacts: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return where Ansible looks for the project's collections, in its order."""
    folders = _config.of(artifacts).folders
    beside = {found[1]: None for path in sorted(artifacts) if (found := _BESIDE_A_PLAYBOOK.match(path))}
    return (*_versions.places(folders.get("ANSIBLE_COLLECTIONS_PATH", ())), *beside)


def _advised(problem: list[str], artifacts: Mapping[str, bytes], elsewhere: Mapping[str, str]) -> list[str]:
    """Return a problem of the parser with what to do about it, where it is a collection that is missing."""
    where, what, do, *more = problem
    held = _versions.held(artifacts, _searched(artifacts))
    return [where, what, _collections.advice(what, do, artifacts, held, elsewhere), *more]


def _refuse(found: list[list[str]], place: Callable[[str], str], broken: list[Problem]) -> None:
    """Raise for what the parser found; where it came to a `broken` file it does not always say which."""
    problems = [_at(place(where), what, _advice(*do)) for where, what, *do in found]
    if problems:
        named = any("YAML" in one.message for one in problems)
        raise DocumentError([*problems, *(broken if named else ())])


def _advice(do: str, name: str = "", if_secret: str = "") -> str:
    """Return what to do about a problem, which can depend on whether a variable's name promises a secret."""
    return if_secret if name and secret_like(name) else do


def _at(mark: str, message: str, do: str) -> Problem:
    found = _PLACE.fullmatch(mark)
    path, line, column = (found[1], int(found[2]), int(found[3] or 1)) if found else (mark, 0, 0)
    return Problem(path=path, line=line, column=column, message=message, suggestion=do)


def _play_facts(value: Mapping[str, Any]) -> PlayFacts:
    try:
        return PlayFacts(
            playbook=value["playbook"],
            hosts=tuple(value["hosts"]),
            expected=tuple(ExpectedTask(**task) for task in value["expected"]),
            delegates=tuple(value["delegates"]),
            opaque=tuple(value["opaque"]),
            outside=tuple(value["outside"]),
        )
    except (KeyError, TypeError) as error:
        raise InvalidInputError(f"the parser's answer is not understood: {error}") from error
