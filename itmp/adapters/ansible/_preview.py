"""Check mode that changes nothing even where a play would have it otherwise.

Ansible's own check mode asks each module to hold back, and a play can switch it off, call what ignores it, or replace
the module. Rules kept here: a task is carried out only when check mode is on for it, its action is one that we have
read and know to hold back, and action and module are Ansible's own files; no argument, interpreter, shell or
environment of the play's choosing is used; no lookup runs that can start a program, write or reach out. Everything else
is not done, and told as `cannot know`.

Loaded by Ansible's processes; imports nothing of a plan, because every play pays for it.
"""

import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ON: Final = "ITMP_PREVIEW"
CANNOT_KNOW: Final = "itmp: cannot know: "
MAX_DIFF: Final = 50_000
"""Characters of one task's difference on one host."""

REVIEWED: Final = frozenset(
    f"ansible.builtin.{name}"
    for name in (
        "add_host", "apt", "assert", "blockinfile", "copy", "cron", "debug", "fail", "file", "find", "gather_facts",
        "getent", "group", "group_by", "include_vars", "lineinfile", "package", "package_facts", "replace", "service",
        "service_facts", "set_fact", "set_stats", "setup", "slurp", "stat", "systemd", "systemd_service", "template",
        "user", "validate_argument_spec",
    )
)  # fmt: skip
"""Actions whose check mode was read and holds back."""
LOOKUPS: Final = frozenset(
    ("csvfile", "dict", "env", "file", "fileglob", "first_found", "indexed_items", "ini", "inventory_hostnames",
     "items", "itmp_secret", "list", "nested", "random_choice", "sequence", "subelements", "template", "together",
     "vars", "varnames")
)  # fmt: skip
"""Lookups that only read files and variables."""
_ARGUMENTS: Final = frozenset(
    {"validate", "fact_path", "update_cache", "cache_valid_time", "deb", "autoclean", "clean"}
)
_VARIABLES: Final = re.compile(
    r"ansible_(?:\w+_interpreter|shell_type|shell_executable|executable|remote_tmp|(?:become|sudo|su)_(?:exe|flags))\Z"
)
_PYTHON: Final = re.compile(
    r"(?:auto\w*|/usr(?:/local)?/bin/python3?(?:\.\d+)?|/usr/libexec/platform-python)\Z"
)


def hold_if_asked() -> None:
    """Hold this process and its workers to the module's rules, when it was started for a preview."""
    if ON in os.environ:
        hold(frozenset(json.loads(os.environ[ON])))


def hold(interpreters: frozenset[str]) -> None:
    """Make every task of this process and its workers keep the rules."""
    from ansible.errors import AnsibleError  # noqa: PLC0415 -- the child's alone
    from ansible.executor.task_executor import TaskExecutor  # noqa: PLC0415 -- as above
    from ansible.plugins.loader import lookup_loader  # noqa: PLC0415 -- as above

    choose, look_up = TaskExecutor._get_action_handler_with_module_context, lookup_loader.get  # noqa: SLF001 -- no hook

    def held(self: Any, templar: Any) -> Any:
        handler, module = choose(self, templar)
        why = refusal(self, handler, module, interpreters)
        return (_Nothing(why) if why else handler), module

    def get(name: str, *args: Any, **kwargs: Any) -> Any:
        if str(name).removeprefix("ansible.builtin.").removeprefix("ansible.legacy.") not in LOOKUPS:
            raise AnsibleError(f"{CANNOT_KNOW}the lookup {name!r:.60} is not run in a preview")
        return look_up(name, *args, **kwargs)

    TaskExecutor._get_action_handler_with_module_context = held  # noqa: SLF001 -- as above
    lookup_loader.get = get


class _Nothing:
    """An action that does nothing and says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    def run(self, task_vars: Any = None) -> dict[str, Any]:
        """Say why."""
        del task_vars
        return {"changed": False, "skipped": True, "skip_reason": CANNOT_KNOW + self._why}

    def cleanup(self, *, force: bool = False) -> None:
        """Leave nothing, having made nothing."""


def refusal(executor: Any, handler: Any, module: Any, interpreters: frozenset[str]) -> str:
    """Return why a task is not carried out in a preview; empty when it is."""
    task = executor._task  # noqa: SLF001 -- a worker's one place for it
    action = str(task.resolved_action or task.action)
    if task.check_mode is not True:
        return "it says `check_mode: false`"
    if task.async_val:
        return "it runs in the background"
    if action not in REVIEWED:
        return f"check mode of {action:.80} is not relied on"
    if not (_ours(inspect.getfile(type(handler))) and _ours(getattr(module, "plugin_resolved_path", None))):
        return f"{action:.80} is replaced by code that is not Ansible's"
    if given := sorted(_ARGUMENTS & set(task.args or {})):
        return f"its argument {given[0]} can run a program or change the host"
    return _surroundings(executor, task, interpreters)


def _surroundings(executor: Any, task: Any, interpreters: frozenset[str]) -> str:
    own = {os.environ.get("ITMP_REMOTE_MARK", "").partition("=")[0]}
    for given in task.environment or ():
        if not isinstance(given, Mapping) or set(given) - own:
            return "it sets an environment"
    if task.become_exe or task.become_flags:
        return "it chooses how to become another user"
    for name, value in _chosen(executor._job_vars):  # noqa: SLF001 -- as above
        usable = name.endswith("_interpreter") or name == "discovered_interpreter_python"
        if not (usable and (value in interpreters or _PYTHON.match(value))):
            return f"the variable {name:.60} chooses what runs on the host"
    return ""


def _chosen(variables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    facts = variables.get("ansible_facts")
    for found in (variables, *(variables.get("ansible_delegated_vars") or {}).values()):
        yield from ((name, str(value)) for name, value in found.items() if _VARIABLES.match(name))
    if isinstance(facts, Mapping) and "discovered_interpreter_python" in facts:
        yield "discovered_interpreter_python", str(facts["discovered_interpreter_python"])


def _ours(path: str | None) -> bool:
    """Whether code is of the installed Ansible itself; no code at all is fine."""
    import ansible  # noqa: PLC0415 -- the child's alone

    return path is None or Path(path).resolve().is_relative_to(Path(str(ansible.__file__)).resolve().parent)


def told(result: Any) -> dict[str, Any]:
    """Return what a preview's result says besides: why it cannot know, and what would differ."""
    if ON not in os.environ:
        return {}
    raw: Mapping[str, Any] = result.result
    if result.task.no_log or "censored" in raw:
        return {}
    items = [raw, *(item for item in raw.get("results") or () if isinstance(item, Mapping))]
    why = next((text for item in items if (text := _why(item))), "")
    shown = "".join(map(_difference, items))[: 2 * MAX_DIFF]  # cut for good once it is masked
    return {**({"cannot_know": why} if why else {}), **({"diff": shown} if shown else {})}


def _why(item: Mapping[str, Any]) -> str:
    for name in ("skip_reason", "msg"):
        before, found, why = str(item.get(name) or "").partition(CANNOT_KNOW)
        if found and (name == "msg" or not before):
            return why
    return ""


def _difference(item: Mapping[str, Any]) -> str:
    import difflib  # noqa: PLC0415 -- only where something differs

    found = item.get("diff")
    lines: list[str] = []
    for one in found if isinstance(found, list) else [found]:
        if not isinstance(one, Mapping):
            continue
        if isinstance(one.get("prepared"), str):
            lines += one["prepared"].splitlines()
        elif "before" in one or "after" in one:
            before, after = (_lines(one.get(name)) for name in ("before", "after"))
            names = [str(one.get(f"{name}_header") or name) for name in ("before", "after")]
            lines += difflib.unified_diff(before, after, names[0], names[1], lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _lines(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, default=str)
    return text.splitlines()
