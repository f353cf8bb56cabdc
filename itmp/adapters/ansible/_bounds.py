"""Holds each connection that Ansible makes against the plan: by variables and templates it could go anywhere.

Loaded with the callback into Ansible's main process and inherited by its workers, where delegation and
connection variables get their values. Rules kept here, each before anything is connected or started:
a task acts on its host, or on a delegate of the slice; SSH goes to the address and port that the plan froze
for that host, by the arguments, programs and sockets that the executor gave, which a loop can set past every other
variable; a local connection, which acts on the executor's own machine, is used only where the plan
shows it: on `localhost`, by the keyword `connection`, or by a host's own inventory variable; another connection
plugin only by that keyword or for the hosts that the plan says it reaches (a plugin is who its full name says: a
collection's `ssh` or `local` is none of Ansible's); no task asks a person, also one of a file that the plan could not
foresee. The worker itself tells the executor of what breaks them: neither `no_log`, nor a loop, nor what a play makes
of its failures hides it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ansible.errors import AnsibleError
from ansible.executor.task_executor import TaskExecutor
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import connection_loader
from ansible.utils.vars import load_extra_vars

from itmp.adapters.ansible import _questions, layout
from itmp.adapters.ansible._tasks import HERE, action

MARK: Final = "itmp: outside the approved plan: "
_SSH: Final = "ansible.builtin.ssh"
_LOCAL: Final = "ansible.builtin.local"
_SSH_PORT: Final = 22
_GIVEN: Final = (
    *("ssh_args", "ssh_common_args", "ssh_extra_args", "scp_extra_args", "sftp_extra_args"),
    *("ssh_executable", "scp_executable", "sftp_executable"),
    *("control_path", "control_path_dir", "host_key_checking", "pkcs11_provider"),
)
"""Options of Ansible's ssh that a slice gives as `ansible_…` on the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`hosts` are the slice's; `targets` those and its delegates, `addresses` where they answer, `local` those here.

    `plugins` names the connection plugin of each host that neither ssh nor a local connection reaches; `given` are the
    variables of the command line, which beat all others but those of a loop.
    """

    hosts: frozenset[str]
    targets: frozenset[str]
    addresses: Mapping[str, tuple[str, int]]
    local: frozenset[str]
    plugins: Mapping[str, str]
    given: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Bounds":
        """Read what the executor wrote beside the layout; raise `OSError` or `ValueError` when it is not there."""
        data = json.loads((folder / layout.BOUNDS).read_text())
        addresses = {name: (str(address), int(port)) for name, (address, port) in data["addresses"].items()}
        named = {name: frozenset(data[name]) for name in ("hosts", "targets", "local")}
        given = load_extra_vars(DataLoader())  # which Ansible has read by now
        return cls(addresses=addresses, plugins=data["plugins"], given=given, **named)

    def broken(self, host: str, delegate: str, keyword: str, connection: Any) -> str:
        """Return what is wrong with acting on `host` (or `delegate`) over `connection`; empty when nothing is."""
        target = delegate or host
        if target not in self.targets:
            return f"delegation to {target!r:.120}"
        name = str(connection.ansible_name)  # in full
        if name == _LOCAL:
            shown = target in HERE | self.local or _resolved(keyword) == _LOCAL
            return "" if shown else f"a local connection for {target!r:.120}"
        if name != _SSH:
            known = name in {_resolved(one) for one in (self.plugins.get(target, ""), keyword)}
            return "" if known else f"a connection by {name:.60} for {target!r:.120}"
        found = (str(connection.get_option("host")), int(connection.get_option("port") or _SSH_PORT))
        if found != self.addresses.get(target):
            return f"a connection to {found[0]:.120} port {found[1]} for {target!r:.120}"
        changed = [name for name in _GIVEN if connection.get_option(name) != self._of_command_line(name)]
        return f"ssh with a {changed[0]} of its own for {target!r:.120}" if changed else ""

    def _of_command_line(self, option: str) -> Any:
        return self.given.get(f"ansible_{option}", self.given.get(f"ansible_ssh_{option}"))


def _resolved(plugin: str) -> str:
    """Return a connection plugin's full name: plans and plays may write a short one, or one that leads elsewhere."""
    found = connection_loader.find_plugin_with_context(plugin) if plugin else None
    return str(found.resolved_fqcn) if found and found.resolved else ""


def hold(bounds: Bounds, tell: Callable[[Any, Any, str, str], None]) -> None:
    """Make every task of this process and its workers keep `bounds`; a task that breaks them fails unbegun.

    `tell` tells the executor of host, task, what is wrong and what to do. Later items of a loop are not begun either.
    """
    settle = TaskExecutor._set_connection_options  # noqa: SLF001 -- where host, delegate and options are settled
    found: list[str] = []  # by this worker, which has one task on one host

    def held(self: Any, variables: Any, templar: Any) -> Any:
        keyword = str(self._task.connection or "")
        settled = settle(self, variables, templar)
        what = bounds.broken(self._host.name, str(self._task.delegate_to or ""), keyword, self._connection)
        asks = _questions.of_task(self._task, action(self._task))
        for wrong, do in ((what, ""),) if what else asks:
            if not found:
                found.append(wrong)
                tell(self._host, self._task, wrong, do)
        if found:
            raise AnsibleError(MARK + found[0])
        return settled

    TaskExecutor._set_connection_options = held  # noqa: SLF001 -- as above; Ansible has no hook there
