"""What a document asks of hosts becomes a frozen probe for each, or a task on them.

Rules kept here: pure; a probe holds no reference any more: name, address and port are the frozen host's own.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from itmp import canonical
from itmp.documents import checks
from itmp.documents.inputs import replace
from itmp.plan.model import CommandProbe, Host, HttpProbe, NetworkProbe, Probe, TcpProbe
from itmp.plan.sources import Facts

_URL: Final = re.compile(r"https?://[^\s/]+(/\S*)?")
_NO_VARS: Final = canonical.digest(b"{}")
_SSH: Final = 22
P = TypeVar("P", bound=Probe)


def probe_hosts(
    asked: checks.Probe, names: Iterable[str], facts: Facts
) -> tuple[dict[str, Probe], tuple[str, ...]]:
    """Return how to find out of each host whether an effect is there, and why that cannot be of the others."""
    command = asked.command
    return _each(lambda host: _command(command, host) if command else _network(asked, host), names, facts)


def check_hosts(
    asked: checks.Check, names: Iterable[str], facts: Facts
) -> tuple[dict[str, NetworkProbe], tuple[str, ...]]:
    """Return what to ask of each host over the network, and why nothing can be asked of the others."""
    return _each(lambda host: _network(asked, host), names, facts)


def _each(
    make: Callable[[Host], P | str], names: Iterable[str], facts: Facts
) -> tuple[dict[str, P], tuple[str, ...]]:
    known = {host.name: host for host in facts.inventory.hosts} if facts.inventory else {}
    probes: dict[str, P] = {}
    problems = []
    for name in names:
        made = make(known.get(name) or _implicit(name))
        if isinstance(made, str):
            problems.append(f"{made} for host {name!r:.80}")
        else:
            probes[name] = made
    return probes, tuple(problems)


def command_task(title: str, command: checks.Command, within: int) -> Mapping[str, Any]:
    """Return the task that repeats a command until its answer is right, for about `within` seconds."""
    right = f"itmp_check.rc | default(-1) == {command.rc}"
    task: dict[str, Any] = {
        "name": title,
        "ansible.builtin.command": {"argv": [str(part) for part in command.argv]},
        "register": "itmp_check",
        "changed_when": False,
    }
    if command.contains:
        right += " and itmp_contains in (itmp_check.stdout | default(''))"
        task["vars"] = {"itmp_contains": command.contains}
    delay = max(command.every, 1)
    return {
        **task,
        "until": right,
        "failed_when": f"not ({right})",
        "retries": max(within // delay, 1),
        "delay": delay,
    }


def _implicit(name: str) -> Host:
    return Host(name=name, address=name, port=_SSH, groups=(), vars=_NO_VARS)


def _command(asked: checks.ProbeCommand, host: Host) -> Probe:
    argv = tuple(_fill(str(part), host, host.address) for part in asked.argv)
    contains = _fill(asked.contains, host, host.address)
    return CommandProbe(argv=argv, rc=asked.rc, contains=contains, become=asked.become)


def _network(asked: checks.Probe | checks.Check, host: Host) -> NetworkProbe | str:
    if asked.http is not None:
        return _http(asked.http, host)
    return _tcp(asked.tcp, host) if asked.tcp is not None else "nothing to ask"


def _http(ask: checks.Http, host: Host) -> HttpProbe | str:
    address = f"[{host.address}]" if ":" in host.address else host.address
    url = _fill(ask.url, host, address)
    if not address or not _URL.fullmatch(url):
        return "not a URL"
    return HttpProbe(url=url, status=ask.status, contains=_fill(ask.contains, host, host.address))


def _tcp(ask: checks.Tcp, host: Host) -> TcpProbe | str:
    target = _fill(ask.host, host, host.address)
    port = host.port if isinstance(ask.port, str) else ask.port
    return TcpProbe(host=target, port=port) if target else "no address"


def _fill(text: str, host: Host, address: str) -> str:
    known = {"name": host.name, "address": address, "port": str(host.port)}
    return replace(text, lambda space, name: known.get(name) if space == "host" else None)


__all__ = ["check_hosts", "command_task", "probe_hosts"]
