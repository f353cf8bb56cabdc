"""Reads Ansible's task objects, the same way when a plan is made and when it runs.

Rules kept here: a task's place is `artifact path:line` of the mapping that wrote it; its action is the
resolved fully qualified name; its name is the untemplated text of the file, so that no value of a
variable gets in. The functions take Ansible's own objects and import nothing of Ansible.
"""

import functools
import os
from typing import Any, Final

GATHER: Final = "ansible.builtin.gather_facts"
META: Final = frozenset({"meta", "ansible.builtin.meta", "ansible.legacy.meta"})
HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OWN_LIBRARY: Final = frozenset({"network_cli", "netconf"})
STRATEGIES: Final = ("free", "host_pinned", "linear")
INCLUDES: Final = frozenset(
    f"{prefix}include_{what}"
    for prefix in ("", "ansible.builtin.", "ansible.legacy.")
    for what in ("tasks", "role")
)


def place(item: Any, root: str) -> tuple[str, int]:
    """Return the artifact path and line of a task or play; ("", 0) when Ansible does not know."""
    path, _, line = str(item.get_path() or "").rpartition(":")
    if not path or not line.isdigit():
        return "", 0
    return _artifact(path, root), int(line)


def is_gated(strategy: object) -> bool:
    """Tell whether a play's strategy is one that asks for each action, and asks no person."""
    return str(strategy).removeprefix("ansible.builtin.") in STRATEGIES


@functools.cache
def _artifact(path: str, root: str) -> str:
    """Return `path` below `root`, links followed. Asked before each action; where a file lies is settled by then."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    return path if relative.startswith("..") else relative


def is_local(connection: object) -> bool:
    """Tell whether a connection plugin's name is that of Ansible's own machine; a collection's `local` is another."""
    return core(str(connection)) == "local"


def core(plugin: str) -> str:
    """Return the short name of a plugin that Ansible itself brings; that of a collection stays as it is."""
    return plugin.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def own_library(connection: str) -> bool:
    """Tell whether a connection plugin's SSH library knows devices by the executor's own known_hosts."""
    return connection.rpartition(".")[2] in _OWN_LIBRARY


def is_gathering(task: Any) -> bool:
    """Tell whether `task` is a play's implicit fact gathering, which is written nowhere."""
    return task.action == "gather_facts" and task._origin is None  # noqa: SLF001 -- Ansible's only mark of it


def action(task: Any) -> str:
    """Return the task's resolved action, or its text as written when that is a template."""
    if is_gathering(task):
        return GATHER
    text = str(task.action)
    if "{{" in text:
        return text
    return str(task.resolved_action or text)


def short(task: Any) -> str:
    """Return the last word of the task's action as written: `add_host` for each of its spellings."""
    return str(task.action).rpartition(".")[2]


def title(task: Any) -> str:
    """Return the task's name as written (with its role), or its action when it has none."""
    if is_gathering(task):
        return "Gathering Facts"
    written = getattr(task, "_ds", None)  # the text before templating
    name = str((written.get("name") if isinstance(written, dict) else None) or task.action)
    role = task._role.get_name() if task._role else ""  # noqa: SLF001 -- Ansible has no public accessor
    return f"{role} : {name}" if role else name


def delegate(task: Any) -> str:
    """Return the static host that the task is delegated to; "" when there is none or it is a template."""
    text = str(task.delegate_to or "")
    return "" if "{{" in text else text


def play_of(task: Any) -> Any:
    """Return the play that holds `task`."""
    node = task
    while node is not None:
        play = getattr(node, "_play", None)
        if play is not None:
            return play
        node = getattr(node, "_parent", None)
    return None


def rescued(task: Any) -> bool:
    """Tell whether a failure of `task` leads to a rescue section instead of failing the host.

    What is imported stands in its block itself, and has the import that brought it between the two on its way up.
    """
    passed, parent = {task._uuid}, task._parent  # noqa: SLF001 -- the only way up
    while parent is not None:
        if getattr(parent, "rescue", None) and any(item._uuid in passed for item in parent.block):  # noqa: SLF001
            return True
        passed.add(parent._uuid)  # noqa: SLF001 -- as above
        parent = parent._parent  # noqa: SLF001 -- as above
    return False
