"""What one play need comes to, by Ansible's own parser; runs in the `inspect` child only.

Rules kept here: nothing is executed. Lookups are switched off, so a `hosts:` or an import that needs one
is a problem, not an effect; vaulted files read as empty. Every task, handler, rescue and always task, and
every include with a static name, becomes one expected task; what cannot be known before the run is named
as opaque. Tasks that the step's tags leave out are not expected: one that runs all the same is refused.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ansible.inventory.helpers import get_group_vars
from ansible.inventory.manager import InventoryManager
from ansible.playbook import Playbook
from ansible.playbook.block import Block
from ansible.playbook.helpers import load_list_of_blocks
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.manager import VariableManager

from itmp.adapters.ansible import (
    _check_mode,
    _delegates,
    _kept_passwords,
    _needed,
    _outside,
    _questions,
    _tasks,
)
from itmp.adapters.ansible._loading import Loader, is_lasting

_DIRECT: Final = frozenset({"", "smart", "ssh", "ansible.builtin.ssh", "local", "ansible.builtin.local"})
_UNCHECKED: Final = re.compile(r"(ansible\.(builtin|netcommon)\.)?(paramiko|paramiko_ssh|libssh)\Z")
_OWN_KEYS: Final = " by the known_hosts of the account that it runs in, not by the plan's pinned keys"
_PERHAPS: Final = frozenset({"handler", "rescue"})
_MAX_TASKS: Final = 20_000


class PlayParser:
    """Parses one play need; `problems` collects what is wrong with it, as (place, what, what to do)."""

    def __init__(
        self, root: str, loader: Loader, inventory: InventoryManager, need: Mapping[str, Any]
    ) -> None:
        self.problems: list[tuple[str, ...]] = []
        self._root, self._loader, self._inventory, self._need = root, loader, inventory, need
        self._given = {*need["vars"], *need["secrets"]}
        self._variables = VariableManager(loader=loader, inventory=inventory)
        self._variables._extra_vars = {**need["vars"], **dict.fromkeys(need["secrets"], "")}  # noqa: SLF001 -- its property parses the command line
        self._expected: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._delegates: dict[str, None] = {}
        self._opaque: dict[str, None] = {}
        self._outside: dict[str, None] = {}
        self._known: dict[str, Any] = {}
        self._acts = False
        self._acting: list[str] = []
        self._to_whom = _delegates.Delegates(root, loader, inventory, self._variables)
        self._hosts: set[str] = set()
        self._patterns: set[str] = set()
        self._missing: set[str] = set()
        self.files: set[str] = set()

    def parse(self) -> dict[str, Any]:
        """Return the facts of the play need; see `itmp.plan.sources.PlayFacts`."""
        playbook = os.path.join(self._root, self._need["playbook"])  # noqa: PTH118 -- Ansible speaks in texts
        AnsibleCollectionConfig.playbook_paths = [os.path.dirname(playbook)]  # noqa: PTH120 -- as above
        book = Playbook.load(playbook, variable_manager=self._variables, loader=self._loader)
        plays = book.get_plays()
        for play in plays:
            # As Ansible does before it runs a play: roles, files and variables are looked for beside its playbook.
            self._loader.set_basedir(play._included_path or book._basedir)  # noqa: SLF001 -- Ansible has no public accessor
            play.only_tags = frozenset(self._need["tags"] or ("all",))
            play.skip_tags = frozenset(self._need["skip_tags"])
            self._play(play)
        self._adds()
        if self._need["sliced"] and not self._need["per_slice"] and len(self._patterns) > 1:
            self._problem(
                self._need["playbook"], "several host patterns in a step that runs batch by batch", _SLICED
            )
        return {
            "playbook": self._need["playbook"],
            "hosts": [host for host in self._ordered() if host in self._hosts],
            "expected": list(self._expected.values()),
            "delegates": self._all_delegates(),
            "opaque": list(self._opaque),
            "outside": list(self._outside),
        }

    def _play(self, play: Any) -> None:
        where = self._where(play)
        hosts = self._play_hosts(play, where)
        self._patterns.add(str(hosts))
        self.problems += [(where, *found) for found in _questions.of_play(play, self._given)]
        if not _tasks.is_gated(strategy := self._strategy(play)):
            what = f"strategy {strategy} asks a person, or acts without asking for each action"
            self._problem(where, what, f"Use one of {', '.join(_tasks.STRATEGIES)}.")
        self._outside |= dict.fromkeys(f"{where} {found}" for found in _outside.of_holder(play, self._root))
        if play.serial and self._need["sliced"] and not self._need["per_slice"]:
            self._problem(where, "`serial` in a step that runs batch by batch", _SLICED)
        self._connection(play, where)
        self._passwords(play, where)
        self._needs(_needed.of_holder(play), where)
        self._known, self._acts = self._variables.get_vars(play=play), False
        self._acting = sorted(self._named(hosts))
        if play.gather_facts is not False and self._gathers(play):
            self._add(
                where, {"action": _tasks.GATHER, "name": "Gathering Facts", "check": "full"}, "facts", play
            )
        self._blocks(play.compile(), "task", ())
        if self._acts:  # a play that the tags, or its author, left empty reaches nobody
            self._targets(hosts)
        self._blocks([*play.handlers, *play.compile_roles_handlers()], "handler", ())

    def _gathers(self, play: Any) -> bool:
        """Whether fact gathering passes the tags: unless its play is tagged, it counts as tagged `always`."""
        return self._chosen(play) if play.tags else "always" not in play.skip_tags

    def _chosen(self, item: Any) -> bool:
        """Whether the tags choose a task or play; one whose tags cannot be known yet is expected."""
        play = item if hasattr(item, "only_tags") else _tasks.play_of(item)
        try:
            return bool(item.evaluate_tags(play.only_tags, play.skip_tags, all_vars=self._known))
        except Exception:  # noqa: BLE001 -- Ansible raises many kinds for a template that needs a run
            return True

    def _adds(self) -> None:
        """Take the declared hosts that plays add: those of the inventory are targets like any other."""
        for pattern in self._need["adds"]:
            found = {host.name for host in self._inventory.get_hosts(pattern)}
            if not found:
                self._problem(self._need["mark"], f"adds: {pattern} is no host of the inventory", _NEW)
            self._hosts |= found
        for name in self._need["new"]:
            if self._inventory.get_host(name) is not None:
                what = f"adds: {name} is a host of the inventory: its address is there"
                self._problem(self._need["mark"], what, f"Write `adds: [{name}]`.")
        self._hosts |= set(self._need["new"])

    def _play_hosts(self, play: Any, where: str) -> Any:
        hosts = play.hosts
        if "{{" not in str(hosts):
            return hosts
        try:
            return self._template(hosts, self._variables.get_vars(play=play))
        except Exception as error:  # noqa: BLE001 -- Ansible raises many kinds; each becomes one problem
            self._problem(where, f"hosts cannot be known before the run: {_line(error)}", _HOSTS)
            return []

    def _strategy(self, play: Any) -> str:
        """Return a play's strategy; the text itself of a template that takes a run to know.

        What a vaulted file says counts at the run alone, which looks at the strategy again.
        """
        if "{{" not in str(play.strategy):
            return str(play.strategy)
        try:
            return str(self._template(play.strategy, self._variables.get_vars(play=play)))
        except Exception:  # noqa: BLE001 -- as above
            return str(play.strategy)

    def _targets(self, pattern: Any) -> None:
        names = self._named(pattern)
        self._hosts |= names
        for name in sorted(names - _tasks.HERE):
            host = self._inventory.get_host(name)
            own = {**get_group_vars(host.get_groups()), **host.vars}
            if _tasks.is_local(own.get("ansible_connection", "")):
                self._outside[f"host {name} is the executor's own machine: its connection is local"] = None

    def _named(self, pattern: Any) -> set[str]:
        names = {host.name for host in self._inventory.get_hosts(pattern)} if pattern else set()
        if self._need["pattern"]:
            names &= {host.name for host in self._inventory.get_hosts(self._need["pattern"])}
        return names

    def _ordered(self) -> list[str]:
        names = [host.name for host in self._inventory.get_hosts("all")]
        return names + sorted(self._hosts - set(names))  # the implicit localhost comes last

    def _blocks(self, blocks: list[Any], section: str, chain: tuple[str, ...]) -> None:
        for block in blocks:
            found = dict.fromkeys(_outside.of_holder(block, self._root))
            self._outside |= {f"{self._where(block)} {what}": None for what in found}
            if not block.when and section not in _PERHAPS:
                self._passwords(block, self._where(block))
            for items, inner in ((block.block, section), (block.rescue, "rescue"), (block.always, "always")):
                for item in items:
                    if isinstance(item, Block):
                        self._blocks([item], inner, chain)
                    else:
                        self._task(item, inner, chain)

    def _task(self, task: Any, section: str, chain: tuple[str, ...]) -> None:
        if task.implicit or task.action in _tasks.META:
            return
        if section != "handler" and not self._chosen(task):
            return
        where, action = self._where(task), _tasks.action(task)
        maybe = bool(task.when) or section in _PERHAPS
        self._questions(task, action, where, maybe=maybe)
        if "{{" in action:
            self._opaque[f"{where} {action}"] = None
        elif task.resolved_action is None:
            self._problem(where, f"no module or action is called {action}", _COLLECTION)
        check = "none" if task.check_mode is False else _check_mode.trust(action)
        self._add(where, {"action": action, "name": _tasks.title(task), "check": check}, section, task)
        self._limits(task, where)
        self._connection(task, where)
        self._needs(_needed.of_task(task), where, maybe=maybe)
        if not maybe:
            self._passwords(task, where)
        self._outside |= dict.fromkeys(f"{where} {found}" for found in _outside.of(task, self._root))
        if str(task.action) in _tasks.INCLUDES:
            self._include(task, section, chain, where)

    def _add(self, where: str, more: dict[str, Any], section: str, item: Any) -> None:
        path, line = _tasks.place(item, self._root)
        self.files.add(path)
        self._acts = True
        if os.path.isabs(path):  # noqa: PTH117 -- Ansible speaks in texts
            self._problem(where, "this task stands in no plan: it is not of the project", _FOREIGN)
        no_log = section != "facts" and bool(item.no_log)
        key = (path, line, more["action"], section)
        self._expected.setdefault(
            key, {"path": path, "line": line, "section": section, "no_log": no_log, **more}
        )
        if len(self._expected) > _MAX_TASKS:
            raise ValueError(f"{where}: more than {_MAX_TASKS} tasks")

    def _questions(self, task: Any, action: str, where: str, *, maybe: bool) -> None:
        """Refuse what asks a person; where it is perhaps never reached, list it: a run that comes to it refuses it."""
        for what, do in _questions.of_task(task, action):
            if maybe:
                self._outside[f"{where} {what}: a run that comes to it stops there"] = None
            else:
                self._problem(where, what, do)

    def _limits(self, task: Any, where: str) -> None:
        if task.run_once and self._need["sliced"] and not self._need["per_slice"]:
            self._problem(where, "`run_once` in a step that runs batch by batch", _SLICED)
        if _tasks.short(task) == "add_host" and not (self._need["adds"] or self._need["new"]):
            self._problem(where, "add_host adds hosts while it runs, and the plan freezes hosts", _ADDS)
        for text in self._to_whom.of(task, self._known, self._acting):
            self._delegation(text, where)

    def _delegation(self, text: str, where: str) -> None:
        if "{{" in text:
            if not self._need["delegates"]:
                self._problem(where, f"delegate_to {text} is not known before the run", _DELEGATES)
        elif text:
            if text not in {"localhost", "127.0.0.1", "::1"} and self._inventory.get_host(text) is None:
                self._problem(where, f"delegate_to {text}: no such host", "Add the host to the inventory.")
            self._delegates[text] = None

    def _template(self, text: Any, variables: dict[str, Any]) -> Any:
        return Templar(loader=self._loader, variables=variables).template(text)

    def _connection(self, item: Any, where: str) -> None:
        name = str(item.connection or "")
        if _UNCHECKED.match(name):
            self._problem(where, f"connection {name} does not check host keys as the plan asks", "Use ssh.")
        elif name not in _DIRECT:
            own = _OWN_KEYS if _tasks.own_library(name) else ""
            self._outside[f"{where} connection {name}{own}"] = None

    def _needs(self, names: Iterable[tuple[_needed.Kind, str]], where: str, *, maybe: bool = False) -> None:
        """Refuse what no collection here has; where it is perhaps never reached, list it: bare Ansible goes on too."""
        for kind, name in dict.fromkeys(names):
            if _needed.found(kind, name):
                continue
            what = f"{kind} '{name}' is not to be found"
            if maybe:
                self._outside[f"{where} {what}"] = None
            elif what not in self._missing:  # once is enough: a whole play may need it
                self._missing.add(what)
                self._problem(where, what, _MISSING)

    def _passwords(self, item: Any, where: str) -> None:
        """Refuse what is kept in a file that the slice forgets; what is perhaps never reached, the run refuses."""
        books = [os.path.dirname(os.path.join(self._root, self._need["playbook"]))]  # noqa: PTH118, PTH120 -- Ansible speaks in texts
        role = getattr(item, "_role", None)
        places = _kept_passwords.places_of(self._root, books, role._role_path if role else "")  # noqa: SLF001 -- Ansible has no public accessor
        for one in _kept_passwords.named(_outside.own(item), self._given):
            if not one.held(places):
                self._problem(where, *one.problem)

    def _include(self, task: Any, section: str, chain: tuple[str, ...], where: str) -> None:
        name = str(
            task.args.get("name")
            or task.args.get("role")
            or task.args.get("_raw_params")
            or task.args.get("file")
            or ""
        )
        parts = f"{name} {task.args.get('tasks_from', '')} {task.args.get('handlers_from', '')}"
        mark = f"{where} {name}"
        if "{{" in parts or mark in chain:
            self._opaque[mark] = None
            return
        is_role = str(task.action).endswith("include_role")
        if not is_role and task.when and not self._found(task, name):
            self._opaque[mark] = None  # perhaps never reached; if it is, its hosts fail as under bare Ansible
            return
        try:
            blocks = self._role(task) if is_role else self._file(task, name, where)
        except Exception as error:
            if not (task.when or section in _PERHAPS) or not is_lasting(error):
                raise
            self._opaque[f"{mark}, which cannot be read: {_line(error)}"] = None  # its hosts fail as above
            return
        self._blocks(blocks, section, (*chain, mark))

    def _role(self, task: Any) -> list[Any]:
        copy = task.copy()
        blocks, handlers = copy.get_block_list(
            play=_tasks.play_of(task), variable_manager=self._variables, loader=self._loader
        )
        self._blocks(handlers, "handler", ())
        return list(blocks)

    def _file(self, task: Any, name: str, where: str) -> list[Any]:
        candidate = self._found(task, name)
        if not candidate:
            self._problem(where, f"include_tasks {name}: no such file", "Put it beside the including file.")
            return []
        self.files.add(os.path.relpath(candidate, self._root))
        data = self._loader.load_from_file(candidate, trusted_as_template=True)
        copy = task.copy()
        blocks = load_list_of_blocks(
            data or [],
            play=_tasks.play_of(task),
            parent_block=copy.build_parent_block(),
            role=task._role,  # noqa: SLF001 -- Ansible has no public accessor
            use_handlers=type(task).__name__.startswith("Handler"),
            loader=self._loader,
            variable_manager=self._variables,
        )
        return list(blocks)

    def _found(self, task: Any, name: str) -> str:
        """Return the file that an include means; empty when there is none."""
        return next((file for file in self._candidates(task, name) if Path(file).is_file()), "")

    def _candidates(self, task: Any, name: str) -> Iterator[str]:
        written, _, _ = str(task.get_path()).rpartition(":")
        yield os.path.join(os.path.dirname(written), name)  # noqa: PTH118, PTH120 -- Ansible speaks in texts
        if task._role:  # noqa: SLF001 -- Ansible has no public accessor
            yield self._loader.path_dwim_relative(task._role._role_path, "tasks", name)  # noqa: SLF001 -- as above
        yield self._loader.path_dwim(name)

    def _all_delegates(self) -> list[str]:
        for pattern in self._need["delegates"]:
            found = [host.name for host in self._inventory.get_hosts(pattern)]
            if not found:
                self._problem(
                    self._need["mark"], f"delegates: {pattern} is no host of the inventory", _DELEGATES
                )
            self._delegates |= dict.fromkeys(found)
        order = {name: index for index, name in enumerate(self._ordered())}
        return sorted(self._delegates, key=lambda name: (order.get(name, len(order)), name))

    def _where(self, item: Any) -> str:
        path, line = _tasks.place(item, self._root)
        return f"{path}:{line}"

    def _problem(self, where: str, what: str, do: str) -> None:
        self.problems.append((where, what, do))


_SLICED: Final = "Move it out of `rolling`, or set `per_slice: true` to have it once per batch."
_HOSTS: Final = "Use a host pattern, or a variable that the document or the play sets."
_DELEGATES: Final = "List the possible hosts under `delegates:` of the step."
_MISSING: Final = "Correct the playbook."
_FOREIGN: Final = "Put its role into the project's roles or collections."
_NEW: Final = (
    "Name hosts of the inventory, or write {name: NAME, address: ADDRESS, port: PORT} for a new one."
)
_ADDS: Final = (
    "List them under `adds:` of the step: names of the inventory, and {name: NAME, address: ADDRESS, port: PORT} "
    "for new ones."
)
_COLLECTION: Final = (
    "Install its collection into collections/: ansible-galaxy collection install NAME -p collections."
)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
