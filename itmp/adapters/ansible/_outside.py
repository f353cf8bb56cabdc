"""Names what a task reaches outside the plan's bytes: lookups, URLs, absolute paths of the controller.

Runs in the `inspect` child only. It names, it does not judge: a template may still build a path at run
time.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

_LOOKUP: Final = re.compile(r"\b(?:lookup|query|q)\s*\(\s*['\"]([\w.]+)['\"]")
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
_USERINFO: Final = re.compile(r"//[^/@\s]*@")
# Modules whose `src` is read on the controller, unless remote_src.
_SENDS: Final = frozenset({"copy", "template", "unarchive", "script", "assemble", "synchronize"})


def of(task: Any) -> Iterator[str]:
    """Yield one text per thing that `task`, as written, reaches outside the plan."""
    written = getattr(task, "_ds", None)  # the text before templating
    written = written if isinstance(written, dict) else {}
    for key in written:
        name = str(key).removeprefix("with_")
        if str(key).startswith("with_") and name not in _LOOP_PURE:
            yield f"lookup {name}"
    for text in _texts(dict(written)):
        for name in _LOOKUP.findall(text):
            if name.removeprefix("ansible.builtin.") not in _LOOKUP_PURE:
                yield f"lookup {name}"
    yield from _arguments(task)


def _arguments(task: Any) -> Iterator[str]:
    arguments = task.args if isinstance(task.args, dict) else {}
    for key in ("url", "repo", "src"):
        value = arguments.get(key)
        if isinstance(value, str) and re.match(r"(https?|ftp|git|ssh)://", value):
            yield f"url {_USERINFO.sub('//…@', value)}"
    short = str(task.action).rpartition(".")[2]
    source = arguments.get("src")
    if (
        short in _SENDS
        and isinstance(source, str)
        and source.startswith(("/", "~"))
        and not arguments.get("remote_src")
    ):
        yield f"path {source}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
