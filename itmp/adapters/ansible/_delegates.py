"""Reads to whom tasks are delegated, as far as inventory and written variables say so before the run.

Runs in the `inspect` child only. Rules kept here: a template is read for each host that the play acts on, because it
may name that host or what the inventory says of it; whom it cannot name yet has to be declared. What a play may set
while it runs is not known, whatever its default; a host that a task is delegated to from itself is no delegate.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from jinja2 import Environment, TemplateSyntaxError, meta

from itmp.adapters.ansible import _tasks

_MAX_HOSTS: Final = 500
"""Of so many hosts a template is read for each; the variables of one take Ansible some milliseconds."""
_RUNNING: Final = re.compile(r"\b(?:ansible_)?play_(?:hosts(?:_all)?|batch)\b")
"""The hosts that a play still has: whichever of them it is, it is one that the play acts on."""
_GIVEN: Final = frozenset({"omit", "item"})


class Delegates:
    """Reads the delegates of one project's tasks."""

    def __init__(
        self, root: str, loader: DataLoader, inventory: InventoryManager, variables: VariableManager
    ) -> None:
        self._root, self._loader, self._inventory, self._variables = root, loader, inventory, variables
        self._texts: bytes | None = None

    def of(self, task: Any, known: Mapping[str, Any], acting: list[str]) -> list[str]:
        """Return the delegates of `task` on the hosts that it is `acting` on; `known` are the play's own variables.

        A template that takes a run to know, or that names no host of the inventory, is returned as it is written.
        """
        written = task.delegate_to
        if "{{" not in str(written or ""):
            return [str(written or "")]
        known = {**known, **task.get_vars()}
        if self._set_later(task, known, acting):
            return [str(written)]
        try:
            found = self._once(task, known, acting)
        except Exception:  # noqa: BLE001 -- Ansible raises many kinds: it takes a host to know, or a run
            found = None
        if found is None or not all(map(self._is_host, found)):
            found = self._of_each(task, acting)
        return found if found is not None else [str(written)]

    def _of_each(self, task: Any, acting: list[str]) -> list[str] | None:
        found: dict[str, None] = {}
        if not acting or len(acting) > _MAX_HOSTS:
            return None
        for name in acting:
            host = self._inventory.get_host(name)
            try:
                own = self._variables.get_vars(play=_tasks.play_of(task), host=host, task=task)
                names = self._once(task, own, acting)
            except Exception:  # noqa: BLE001 -- Ansible raises many kinds: it takes a run to know
                return None
            if not all(one == name or self._is_host(one) for one in names):
                return None
            found |= dict.fromkeys(one for one in names if one != name)
        return list(found) or [""]

    def _once(self, task: Any, known: Mapping[str, Any], acting: list[str]) -> list[str]:
        """Return what the template names with these variables, for each item of the task's loop."""
        running = dict.fromkeys(("play_hosts", "ansible_play_hosts", "ansible_play_batch"), acting)
        items: list[dict[str, Any]] = [{}]
        if task.loop is not None and task.loop_with in {None, "", "items", "list"}:
            if _RUNNING.search(str(task.loop)):
                known = {**known, **running}
            name = task.loop_control.loop_var or "item"
            items = [{name: item} for item in self._template(task.loop, known)]
        return [self._named(task.delegate_to, {**known, **item}) for item in items]

    def _named(self, written: Any, known: Mapping[str, Any]) -> str:
        try:
            return str(self._template(written, known))
        except Exception as error:
            if (
                type(error).__name__ == "AnsibleValueOmittedError"
            ):  # `default(omit)`: to nobody, that is by the host itself
                return str(known["inventory_hostname"])
            raise

    def _template(self, text: Any, known: Mapping[str, Any]) -> Any:
        return Templar(loader=self._loader, variables=known).template(text)

    def _is_host(self, name: str) -> bool:
        """Whether a host is there; the executor's own machine is never found by a template: it is declared."""
        return name not in _tasks.HERE and self._inventory.get_host(name) is not None

    def _set_later(self, task: Any, known: Mapping[str, Any], acting: list[str]) -> bool:
        """Whether the template uses a variable that nothing sets yet, but facts may, or something of the project."""
        host = self._inventory.get_host(acting[0]) if acting else None
        own = self._variables.get_vars(play=_tasks.play_of(task), host=host, task=task)
        given = {task.loop_control.loop_var, task.loop_control.index_var} if task.loop is not None else set()
        names = _names(str(task.delegate_to)) - known.keys() - own.keys() - given - _GIVEN
        return any(name.startswith("ansible_") or self._is_written(name) for name in names)

    def _is_written(self, name: str) -> bool:
        form = rf"(?m)(?:^|[\s{{,-])['\"]?{name}['\"]?\s*[:=]|register:\s*['\"]?{name}\b"
        return bool(re.search(form.encode(), self._written()))

    def _written(self) -> bytes:
        if self._texts is None:
            self._texts = b"\n".join(self._files())
        return self._texts

    def _files(self) -> Iterator[bytes]:
        for path in sorted(Path(self._root, "project").rglob("*.y*ml")):
            if path.is_file() and "ansible_collections" not in path.parts:
                yield path.read_bytes()


def _names(text: str) -> set[str]:
    try:
        return meta.find_undeclared_variables(Environment(autoescape=True).parse(text))
    except TemplateSyntaxError:
        return set()
