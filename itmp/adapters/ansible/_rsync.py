"""Holds `ansible.posix.synchronize` to the plan: which hosts its rsync may reach, and by which keys it knows them.

The action starts rsync here, and that an ssh of its own: with the account's configuration and, as the module has it by
default (`verify_host: false`), without a look at the host's key.

Rules kept here: that ssh gets the arguments that Ansible's own has, and nothing before or after them says otherwise,
so a task has no remote shell of its own (`-e`, `--rsh` in `rsync_opts`). Where rsync is delegated to another host, that
host's ssh connects it, as ever: arguments that name files of this machine do not go there.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

_MODULE: Final = "ansible.posix.synchronize"
_SHELL: Final = re.compile(r"--rsh\b|-[a-zA-Z0-9]*e")
_PROGRAM: Final = re.compile(r"(?:/[\w.+/-]+/)?rsync\Z")
_CONTAINERS: Final = frozenset({"docker", "podman", "buildah"})


def bind() -> None:
    """Have every rsync that the action starts here use the plan's ssh configuration."""
    from ansible.errors import AnsibleActionFail  # noqa: PLC0415 -- Ansible is imported in its own process only
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415 -- as above
    from ansible.plugins.action import ActionBase  # noqa: PLC0415 -- as above
    from ansible.utils.vars import load_extra_vars  # noqa: PLC0415 -- as above

    execute = ActionBase._execute_module  # noqa: SLF001 -- the one place where actions start their modules

    def bound(self: Any, module_name: Any = None, module_args: Any = None, *rest: Any, **more: Any) -> Any:
        if module_name == _MODULE:
            over = str(getattr(self, "_remote_transport", "")).rpartition(".")[2]
            if wrong := [*unbound(module_args, contained=over in _CONTAINERS)]:
                raise AnsibleActionFail(f"{wrong[0]:.120}: no plan binds whom such an rsync reaches")
            given = load_extra_vars(DataLoader())  # read once; a loop sets variables past them
            module_args = held(module_args, given, here=self._connection.transport == "local")
        return execute(self, module_name, module_args, *rest, **more)

    ActionBase._execute_module = bound  # noqa: SLF001 -- as above


def held(arguments: Mapping[str, Any], variables: Mapping[str, Any], *, here: bool) -> dict[str, Any]:
    """Return the module's arguments with which ssh asks nobody but the plan; `variables` are the command line's."""
    other = {name: value for name, value in arguments.items() if name != "_ssh_args"}
    return {**other, "verify_host": True, "_ssh_args": str(variables["ansible_ssh_args"])} if here else other


def unbound(arguments: Mapping[str, Any], *, contained: bool = False) -> Iterator[str]:
    """Yield which of the module's arguments have it start something else than rsync over the plan's ssh.

    The module joins them to one line and takes that apart again, so a shell's quotes and blanks count in each. For a
    host in a container (`contained`) the action itself has named the engine, as the last option.
    """
    options = [*_words(arguments.get("rsync_opts"))]
    own = options[:-1] if contained and options and options[-1].startswith("--rsh=") else options
    for name, words in (("rsync_opts", own), ("link_dest", [*_words(arguments.get("link_dest"))])):
        yield from (f"{name}: a remote shell of its own, {word!r}" for word in shells(words))
    for name in ("src", "dest"):
        if str(arguments.get(name) or "").lstrip("\"' \\").startswith("-"):
            yield f"{name}: an option"
    if not _PROGRAM.match(str(arguments.get("_local_rsync_path") or "rsync")):
        yield "ansible_rsync_path: no plain path of an rsync"


def shells(options: Any) -> list[str]:
    """Return what names a remote shell in a task's `rsync_opts`, a list or one text."""
    try:
        words = shlex.split(" ".join(_words(options)))
    except ValueError:
        return ["quotes that do not close"]
    return [word for word in words if _SHELL.match(word)]


def _words(options: Any) -> Iterator[str]:
    if isinstance(options, str):
        yield from options.split(",")  # as the module's own argument specification does
    elif isinstance(options, list | tuple):
        for option in options:
            yield from _words(option)
