"""Reads what apt would do on the hosts of ring 0, through Ansible, as the plan's own runs connect.

Rules kept here: the hosts are not changed (`itmp.patching.SCRIPT` works in a scratch folder on each); only
hosts with a pinned key are reached, others are named and nothing is read; all of ring 0 answers or the
reading fails with every host's reason.
"""

import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from itmp.adapters import supervisor
from itmp.adapters.ansible import _ssh, layout
from itmp.adapters.ansible._ways import Ways
from itmp.adapters.known_hosts import PinnedKeys
from itmp.documents.text import visible
from itmp.errors import Error, InvalidInputError
from itmp.patching import SCRIPT, PatchSchedule, Reading, ring_pattern
from itmp.plan.model import Host
from itmp.plan.rendering import render
from itmp.plan.sources import Facts, Needs

_TIMEOUT: Final = 900.0
_LONGEST: Final = 400
_CALLBACK: Final = "ansible.builtin.tree"


class ReadingError(Error):
    """Ring 0 could not be read; nothing was changed and no lockfile was written."""

    exit_code = 13
    retryable = True


def reading_needs(document: PatchSchedule) -> Needs:
    """Return what must be gathered before `read`: ring 0's hosts."""
    return Needs(patterns=(ring_pattern(document),))


def read(document: PatchSchedule, facts: Facts) -> tuple[Reading, ...]:
    """Ask every host of ring 0; `facts` as gathered for `reading_needs(document)`.

    Raises `InvalidInputError` when ring 0 is empty or a host has no pinned key, `ReadingError` naming each
    host that did not answer as expected.
    """
    hosts = _ring(document, facts)
    pinned = PinnedKeys(data=facts.artifacts.get(layout.KNOWN_HOSTS, b""))
    strangers = [host.name for host in hosts if not pinned.of(host.address, host.port)]
    if strangers:
        raise InvalidInputError(
            f"no pinned host key: {', '.join(strangers)}", do="Run `itmp hosts scan`, compare, commit."
        )
    names = () if document.packages == "all" else document.packages
    with tempfile.TemporaryDirectory(prefix="itmp-apt-") as scratch:
        results, said = _ask(Path(scratch), facts, hosts, names)
    return _readings(hosts, results, said)


def _ring(document: PatchSchedule, facts: Facts) -> tuple[Host, ...]:
    pattern = ring_pattern(document)
    names = facts.inventory.patterns.get(pattern, ()) if facts.inventory else ()
    hosts = tuple(host for host in facts.inventory.hosts if host.name in names) if facts.inventory else ()
    if not hosts:
        raise InvalidInputError(
            f"ring 0, {pattern!r}, matches no host", where=document.mark("rings", 0, "hosts")
        )
    return hosts


def _ask(
    scratch: Path, facts: Facts, hosts: Sequence[Host], names: Sequence[str]
) -> tuple[Mapping[str, Any], str]:
    """Return each host's result as Ansible reports it, and what Ansible said."""
    folder, temporary, tree = scratch / "layout", scratch / "tmp", scratch / "results"
    for made in (folder, temporary / "home", temporary / "local", tree):
        made.mkdir(parents=True, mode=0o700)
    layout.lay_out(folder, facts.artifacts.items())
    play = layout.write(folder, "project/playbooks/_itmp_reading.yml", _play(hosts, names))
    known = layout.write(folder, "known_hosts", _pinned(facts, hosts))
    text = _ssh.config(hosts, _ways(facts)).replace(_ssh.FOLDER, str(folder))
    config = layout.write(folder, "ssh_config", text.encode())
    bound = _ssh.variables(config, known, pinned=_ssh.UNPINNED not in text)
    extra = layout.write(folder, "vars.json", json.dumps(bound).encode())
    environment = layout.environment(folder, temporary=temporary) | {
        "ANSIBLE_CALLBACKS_ENABLED": _CALLBACK,
        "ANSIBLE_CALLBACK_TREE_DIR": str(tree),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(temporary),
    }
    inventory = str(layout.inventory(folder))
    done = supervisor.run(
        [layout.python(), "-P", "-m", "ansible", "playbook", "-i", inventory, "-e", f"@{extra}", str(play)],
        token=secrets.token_hex(16),
        environment=environment,
        folder=folder,
        timeout=_TIMEOUT,
    )
    results = {file.name: json.loads(file.read_bytes()) for file in tree.iterdir()}
    return results, (done.stdout + done.stderr).decode(errors="replace").replace(str(scratch), "")


def _pinned(facts: Facts, hosts: Sequence[Host]) -> bytes:
    keys = PinnedKeys(data=facts.artifacts.get(layout.KNOWN_HOSTS, b""))
    return keys.only(_ssh.places(hosts, _ways(facts)))


def _ways(facts: Facts) -> Ways:
    return Ways.from_bytes(facts.artifacts.get(layout.WAYS, b""))


def _play(hosts: Sequence[Host], names: Sequence[str]) -> bytes:
    task = {
        "name": "Ask apt what it would do",
        "ansible.builtin.command": {"argv": ["sh", "-s", "--", *names], "stdin": SCRIPT},
        "changed_when": False,
    }
    chosen = ",".join(host.name for host in hosts)
    return render([{"hosts": chosen, "gather_facts": False, "tasks": [task]}])


def _readings(hosts: Sequence[Host], results: Mapping[str, Any], said: str) -> tuple[Reading, ...]:
    readings, problems = [], []
    for host in hosts:
        result = results.get(host.name)
        if result is None or result.get("rc") != 0:
            problems.append(f"{host.name}: {_reason(result, said)}")
            continue
        try:
            readings.append(Reading.parse(host.name, result["stdout"]))
        except InvalidInputError as error:
            problems.append(str(error))
    if problems:
        raise ReadingError(
            "ring 0 could not be read:\n  " + "\n  ".join(problems), do="Correct the hosts, then try again."
        )
    return tuple(readings)


def _reason(result: Mapping[str, Any] | None, said: str) -> str:
    if result is None:
        return f"no answer; Ansible said: {visible(said.strip())[-_LONGEST:]}"
    return visible(str(result.get("stderr") or result.get("msg") or "no answer").strip())[-_LONGEST:]
