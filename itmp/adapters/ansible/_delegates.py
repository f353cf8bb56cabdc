"""Reads to whom tasks are delegated, as far as inventory and written variables say so before the run.

Runs in the `inspect` child only. Rules kept here: a template is read for each host that the play acts on, because it
may name that host or what the inventory says of it; whom it cannot name yet has to be declared. What a play may set
while it runs is not known, whatever its default; a host that a task is delegated to from itself is no delegate. Of the
hosts that a play still has, any may be the one: then all that it acts on are delegates.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from itmp.adapters.ansible import _tasks
from itmp.adapters.ansible._later import Later
from itmp.adapters.ansible._named import Named, named

_MAX_HOSTS: Final = 500
"""Of so many hosts a template is read for each; the variables of one take Ansible some milliseconds."""
_ITSELF: Final = re.compile(r"\s*\{\{\s*inventory_hostname\s*\}\}\s*\Z")
_RUNNING: Final = frozenset(
    {"play_hosts", "ansible_play_hosts", "ansible_play_hosts_all", "ansible_play_batch"}
)
"""The hosts that a play still has: whichever of them it is, it is one that the play acts on."""
_SETTLED: Final = frozenset({"omit", "inventory_hostname", "inventory_hostname_short", "hostvars"})
_NO_FACTS: Final = frozenset(
    f"ansible_{name}" for name in ("host", "ssh_host", "user", "role_name", "parent_role_names", "play_name")
)
_FACTS: Final = re.compile(r"(?:facter|ohai|getent)_|(?:services|packages)\Z")


class Delegates:
    """Reads the delegates of one project's tasks."""

    def __init__(
        self, root: str, loader: DataLoader, inventory: InventoryManager, variables: VariableManager
    ) -> None:
        self._loader, self._inventory, self._variables = loader, inventory, variables
        self._later = Later(root)
        self._hostvars = HostVars(inventory, variables, loader)
        variables._hostvars = None  # noqa: SLF001 -- it has put itself there; only what is read here may see it

    def of(self, task: Any, known: Mapping[str, Any], acting: list[str]) -> list[str]:
        """Return the delegates of `task` on the hosts that it is `acting` on; `known` are the play's own variables.

        A template that takes a run to know, or that names no host of the inventory, is returned as it is written.
        """
        written = task.delegate_to
        if "{{" not in str(written or ""):
            return [str(written or "")]
        if _ITSELF.match(str(written)):
            return [""]
        try:
            found = self._of_all(task, known, acting)
        except Exception:  # noqa: BLE001 -- Ansible raises many kinds: it takes a run to know
            found = None
        return found if found is not None else [str(written)]

    def _of_all(self, task: Any, known: Mapping[str, Any], acting: list[str]) -> list[str] | None:
        """Return the delegates, read once where no host has a say in it, else for each host."""
        firm = _firm(task)
        known = {**known, **firm, **self._variables.extra_vars}
        said = self._named_by(task, known)
        settled = {*firm, *self._variables.extra_vars, *_RUNNING, *_loop_vars(task), "groups"}
        if said.of_hosts or not said.names <= settled:
            return self._of_each(task, acting)
        if not self._is_known(task, said, known):
            return None
        found = self._once(task, known, acting, said)
        return found if found and all(map(self._is_host, found)) else None

    def _of_each(self, task: Any, acting: list[str]) -> list[str] | None:
        if not acting or len(acting) > _MAX_HOSTS:
            return None
        found: dict[str, None] = {}
        met = False
        for name in acting:
            host = self._inventory.get_host(name)
            own = self._variables.get_vars(play=_tasks.play_of(task), host=host, task=task)
            said = self._named_by(task, own)
            if not self._is_known(task, said, own):
                return None
            names = self._once(task, own, acting, said)
            if names is None or not all(one == name or self._is_host(one) for one in names):
                return None
            met = met or bool(names)
            found |= dict.fromkeys(one for one in names if one != name)
        return (list(found) or [""]) if met else None

    def _once(self, task: Any, known: Mapping[str, Any], acting: list[str], said: Named) -> list[str] | None:
        """Return what the template names with these variables; of the hosts that a play still has, all or nothing."""
        if not said.names & _RUNNING:
            return [*self._items(task, known)]
        found: set[str] = set()
        for left in (acting, *([one] for one in acting)):
            found.update(self._items(task, {**known, **dict.fromkeys(_RUNNING, left)}))
            if not found or not found <= {*acting}:
                return None
        return acting

    def _items(self, task: Any, known: Mapping[str, Any]) -> Iterator[str]:
        """Yield what the template names for each item of the task's loop."""
        items: list[dict[str, Any]] = [{}]
        for name in _loop_vars(task):
            items = [{name: item} for item in self._template(task.loop, known)]
        for item in items:
            yield self._one(task.delegate_to, {**known, **item})

    def _one(self, written: Any, known: Mapping[str, Any]) -> str:
        try:
            return str(self._template(written, known))
        except Exception as error:
            if (
                type(error).__name__ == "AnsibleValueOmittedError"
            ):  # `default(omit)`: to nobody, that is by the host itself
                return str(known["inventory_hostname"])
            raise

    def _template(self, text: Any, known: Mapping[str, Any]) -> Any:
        known = {**known, "hostvars": self._hostvars}
        return Templar(loader=self._loader, variables=known).template(text)

    def _is_host(self, name: str) -> bool:
        """Whether a host is there; the executor's own machine is never found by a template: it is declared."""
        return name not in _tasks.HERE and self._inventory.get_host(name) is not None

    def _named_by(self, task: Any, values: Mapping[str, Any]) -> Named:
        written = [task.delegate_to, *([task.loop] if _loop_vars(task) else [])]
        return named(written, values, self._of_hosts)

    @functools.cached_property
    def _everyone(self) -> list[Mapping[str, Any]]:
        hosts = self._inventory.get_hosts("all")
        if len(hosts) > _MAX_HOSTS:
            raise ValueError("more hosts than are read")
        return [self._variables.get_vars(host=host, include_hostvars=False) for host in hosts]

    def _of_hosts(self, name: str) -> list[Any]:
        """Return what the hosts of the inventory have under a name."""
        return [own[name] for own in self._everyone if name in own]

    def _is_known(self, task: Any, said: Named, own: Mapping[str, Any]) -> bool:
        """Whether nothing that the template is made of may become something else at the run."""
        if said.open or not said.groups <= self._inventory.groups.keys():
            return False
        if said.names & {"groups", "group_names", "hostvars"} and self._later.groups:
            return False
        firm = _firm(task)
        names = said.names - _loop_vars(task) - _RUNNING - _SETTLED - {"groups", "group_names"}
        if getattr(task.loop_control, "index_var", None) in names or "item" in names:
            return False
        return all(self._stays(name, known=name in own, firm=name in firm) for name in names) and all(
            self._of_hosts(name) and self._stays(name, known=len(self._of_hosts(name)) == len(self._everyone))
            for name in said.of_hosts
        )

    def _stays(self, name: str, *, known: bool, firm: bool = False) -> bool:
        """Whether a variable stays what it is; `known` if it has a value now, `firm` if it goes before any fact."""
        given = self._variables.extra_vars
        if name in given:
            return bool(given[name] != "")  # a secret reads as empty
        if name.startswith("ansible_") and not firm and name not in _NO_FACTS:
            return False
        if not known and (_FACTS.match(name) or self._later.vaulted):
            return False
        return not self._later.sets(name, known=known)


def _firm(task: Any) -> dict[str, Any]:
    """Return the variables of play and task, which go before any fact."""
    return {**_tasks.play_of(task).get_vars(), **task.get_vars()}


def _loop_vars(task: Any) -> frozenset[str]:
    """Return the name of a plain loop's items, if the task has one."""
    if task.loop is None or task.loop_with not in {None, "", "items", "list"}:
        return frozenset()
    return frozenset({task.loop_control.loop_var or "item"})
