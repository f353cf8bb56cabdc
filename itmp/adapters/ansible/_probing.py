"""Asks hosts by a command of their own whether a step's effect is there.

Rules kept here: it is asked from the plan's own bytes, laid out for the question, like left-overs are; what is run are
the declared words and no template, through no shell; only a command that ended in time has said anything.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import layout
from itmp.adapters.ansible._slicing import (
    SESSION_TOKEN,
    Slicing,
    asked,
    command,
    environment,
    remote_token,
    unsafe,
)
from itmp.execution.doors import Verdict
from itmp.plan import CommandProbe

_FORKS: Final = 20
_WORDS: Final = "itmp_probe"


def request(
    slicing: Slicing,
    folder: Path,
    short: Path,
    *,
    probes: Mapping[str, CommandProbe],
    seconds: int,
    vaults: Mapping[str, str],
    passed: tuple[str, ...],
) -> dict[str, Any]:
    """Return the child's request that asks the hosts of the layout in `folder`; answers land in `short`/answers.

    `probes` all want the same rights on their host, and have `seconds` to answer.
    """
    words = {_WORDS: {host: unsafe(list(probe.argv)) for host, probe in probes.items()}}
    layout.write(folder, "probe.json", json.dumps(words).encode())
    arguments = [
        "adhoc",
        "all",
        *("--limit", f"@{folder / 'limit'}"),
        *("-e", f"@{folder / 'vars.json'}"),
        *("-e", f"@{folder / 'probe.json'}"),
        *("-m", "ansible.builtin.command"),
        *(
            "-a",
            json.dumps({"argv": f"{{{{ {_WORDS}[inventory_hostname] }}}}", "expand_argument_vars": False}),
        ),
        *("--task-timeout", str(seconds)),
        *("--tree", str(short / "answers")),
        *(("--become",) if any(probe.become for probe in probes.values()) else ()),
    ]
    mark = f"{SESSION_TOKEN}={remote_token(slicing.room)}"
    called = command(folder, short, vaults, arguments, mark=mark, contained=slicing.contained)
    forks = min(_FORKS, len(probes))
    return asked(folder, short, called, environment(folder, short, slicing.room, passed, forks=forks))


def read(probes: Mapping[str, CommandProbe], short: Path) -> dict[str, Verdict]:
    """Return what the answers below `short` say."""
    return {host: _verdict(probe, short / "answers" / host) for host, probe in probes.items()}


def alike(probes: Mapping[str, CommandProbe]) -> Iterable[dict[str, CommandProbe]]:
    """Yield the probes in groups that can be asked at once: they want the same rights."""
    for become in (False, True):
        group = {host: probe for host, probe in probes.items() if probe.become == become}
        if group:
            yield group


def _verdict(probe: CommandProbe, path: Path) -> Verdict:
    try:
        answer = json.loads(layout.plain(path) or b"")
    except (OSError, ValueError):
        return "cannot_know"
    if not isinstance(answer, dict) or "delta" not in answer or not isinstance(answer.get("rc"), int):
        return "cannot_know"  # not reached, not started, or not over in time
    printed = probe.contains in str(answer.get("stdout", ""))
    return "done" if answer["rc"] == probe.rc and printed else "not_done"
