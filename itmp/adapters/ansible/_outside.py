"""Names what a task reaches outside the plan's bytes: lookups, URLs, absolute paths of the controller.

Runs in the `inspect` child only. It names, it does not judge: a template may still build a path at run
time.
"""

import os
import re
from collections.abc import Iterator
from typing import Any, Final

from itmp.adapters.ansible._rsync import shells
from itmp.adapters.ansible._tasks import HERE, is_local, place

_LOOKUP: Final = re.compile(
    r"\b(?:lookup|query|q)\s*\(\s*(?:plugin\s*=\s*)?(?:['\"]([\w.]+)['\"](?=\s*[,)]))?"
)
_LOOP_PURE: Final = frozenset(
    [
        "items",
        "dict",
        "list",
        "indexed_items",
        "flattened",
        "nested",
        "together",
        "subelements",
        "sequence",
        "random_choice",
        "cartesian",
    ]
)
_LOOKUP_PURE: Final = _LOOP_PURE | {"vars", "varnames", "itmp_secret"}
_HERE: Final = "the executor's own machine, where it acts"
_HOLD_TASKS: Final = frozenset(
    {"tasks", "pre_tasks", "post_tasks", "handlers", "roles", "block", "rescue", "always", "vars_files"}
)
_KINDS: Final = (".", "files", "templates", "vars", "../files", "../templates", "../vars")
_USERINFO: Final = re.compile(r"//[^/@\s]*@")
# Modules whose `src` is read on the controller, unless remote_src.
_SENDS: Final = frozenset({"copy", "template", "unarchive", "script", "assemble", "synchronize"})


def of(task: Any, root: str) -> Iterator[str]:
    """Yield one text per thing that `task`, as written, reaches outside the plan."""
    written = getattr(task, "_ds", None)  # the text before templating
    written = written if isinstance(written, dict) else {}
    for key in written:
        name = str(key).removeprefix("with_")
        if str(key).startswith("with_") and name not in _LOOP_PURE:
            yield f"lookup {name}"
    yield from values(written)
    yield from _arguments(task, root)
    if is_local(task.connection or ""):
        yield _HERE
    if str(task.delegate_to or "") in HERE:
        yield f"delegation to {task.delegate_to}: {_HERE}"


def of_holder(item: Any, root: str) -> Iterator[str]:
    """Yield one text per thing that a play or block, as written and without its tasks, reaches outside the plan."""
    written = getattr(item, "_ds", None)
    if not isinstance(written, dict):
        return
    yield from values(own(item))
    named = written.get("vars_files") or ()
    for path in _flat([named]):
        if _leaves(path) and not _carried(path, item, root):
            yield f"path {path}"


def own(item: Any) -> dict[str, Any]:
    """Return what a play, block or task says, as written and without what it holds."""
    written = getattr(item, "_ds", None)
    found = written.items() if isinstance(written, dict) else ()
    return {key: value for key, value in found if key not in _HOLD_TASKS}


def values(written: Any) -> Iterator[str]:
    """Yield one text per lookup that a value holds at any depth."""
    for text in _texts(written):
        for name in lookups(text):
            yield f"lookup {name}"


def lookups(text: str) -> Iterator[str]:
    """Yield the names of lookups in `text` that read anything; `?` for one whose name is itself computed."""
    for name in _LOOKUP.findall(text):
        if name.removeprefix("ansible.builtin.") not in _LOOKUP_PURE:
            yield name or "?"


def _flat(value: Any) -> Iterator[str]:
    for item in value:
        if isinstance(item, list | tuple):
            yield from _flat(item)
        else:
            yield str(item)


def _leaves(path: str) -> bool:
    """Whether a path of the controller may lie outside the project."""
    return path.startswith(("/", "~")) or ".." in path.split("/")


def _carried(path: str, item: Any, root: str) -> bool:
    """Whether a path that goes up ends at a file of the plan, from where Ansible looks first."""
    folder = os.path.dirname(os.path.join(root, place(item, root)[0]))  # noqa: PTH118, PTH120 -- Ansible speaks in texts
    project = os.path.join(root, "project", "")  # noqa: PTH118 -- as above
    found = (os.path.normpath(f"{folder}/{kind}/{path}") for kind in _KINDS)
    return not path.startswith(("/", "~")) and any(
        one.startswith(project) and os.path.exists(one)  # noqa: PTH110 -- as above
        for one in found
    )


def _arguments(task: Any, root: str) -> Iterator[str]:
    arguments = task.args if isinstance(task.args, dict) else {}
    for key in ("url", "repo", "src", "dest"):
        value = arguments.get(key)
        if isinstance(value, str) and re.match(r"(https?|ftp|git|ssh|rsync)://", value):
            yield f"url {_USERINFO.sub('//…@', value)}"
    short = str(task.action).rpartition(".")[2]
    pulls = short == "synchronize" and arguments.get("mode") == "pull"
    sends = short in _SENDS and not pulls and not arguments.get("remote_src")
    read = [arguments.get("src")] if sends else []
    if short in {"script", "include_vars"}:
        words = str(arguments.get("_raw_params") or arguments.get("cmd") or "").split()
        read += [*words[:1], arguments.get("file"), arguments.get("dir")]
    if short == "fetch" or (pulls and not task.delegate_to):
        place = (
            _HERE if _leaves(str(arguments.get("dest"))) else "beside the playbook, gone when its slice ends"
        )
        yield f"{short} to {arguments.get('dest')}: {place}"
    if short == "synchronize":
        yield from _rsync(task, arguments)
    for source in read:
        if isinstance(source, str) and _leaves(source) and not _carried(source, task, root):
            yield f"path {source}"


def _rsync(task: Any, arguments: dict[str, Any]) -> Iterator[str]:
    if shells(arguments.get("rsync_opts")):
        yield "rsync over a remote shell of the task's own: no plan binds it, so the task fails"
    if task.delegate_to and str(task.delegate_to) not in HERE:
        checked = "" if arguments.get("verify_host") else ", which looks at no key"
        yield f"rsync from {task.delegate_to} by that host's own ssh{checked}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
