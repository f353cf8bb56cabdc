"""Asks targets for processes that a dead run left there: with pipelining, killing everything here leaves them running.

Rules kept here: the question changes nothing on the target. What still works there is waited for, not killed, because
a half-done upgrade is worse than a late one; what does not end in time is an error that names it, and says what to type
where it is a service that is to stay. A command line is shown up to its first word that does not stand in the tasks of
the step: what follows may be a secret, word by word. It is asked from the plan's own bytes, laid out for the question,
and where the plan names a container image in a container of it: no play could write there before.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import layout
from itmp.adapters.ansible._lines import one_line
from itmp.adapters.ansible._slicing import REMOTE_TOKEN, Slicing, asked, command, environment, remote_token
from itmp.execution.doors import LeftOverError

# Finds processes by the run's mark: in their environment (modules, and all that a marked session started), in their
# command line (sudo, whose child's environment we may not read), and by their module's file. It is put together from
# two parts and read from standard input, so that the question does not find itself. Who is not root cannot look into
# what became another user: then every such command is named, whosever it is.
_SCRIPT: Final = """\
token='{first}''{second}'
words() {{ {{ tr '\\000\\n' '\\040\\040' </proc/"$1"/cmdline | cut -c1-400; }} 2>/dev/null; }}
name() {{
  while IFS=/ read -r _ _ pid _; do
    read -r name 2>/dev/null </proc/"$pid"/comm && printf 'itmp-%s %s %s\\t%s\\n' "$1" "$pid" "$name" "$(words "$pid")"
  done | sort -u
}}
look() {{
  printf '{name}=%s\\nansible-tmp-%s-\\n' "$token" "$token" |
    grep -aslF -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | name "$1"
}}
[ -z "$LC_ITMP_ASK" ] || echo itmp-marked
look found
n=0
while [ "$n" -lt {wait} ] && [ -n "$(look still)" ]; do sleep 1; n=$((n + 1)); done
look still
[ "$(id -u)" = 0 ] || grep -aslF 'BECOME-SUC''CESS' /proc/[0-9]*/cmdline 2>/dev/null |
  while read -r file; do grep -aqF itmp-found "$file" || echo "$file"; done | name other
"""
_UNSEEN: Final = (
    "its sshd takes no LC_ variables, so a raw command that still runs cannot be told: look there"
)
_UNASKED: Final = "cannot be asked for left-overs"
_ASK: Final = "LC_ITMP_ASK=1"
_DO: Final = (
    "Wait until it has ended, or end it there (kill and the number), then go on. "
    "Where it is a service that is to stay, leave its host out (resume: --skip HOST, or no "
    "--retry unreachable; undo: --hosts with the others), or say what became of it while that is unknown: "
)
_HIDDEN: Final = "…"
_FORKS: Final = 20
_MOST: Final = 10


def request(
    slicing: Slicing, folder: Path, short: Path, *, vaults: Any, passed: tuple[str, ...], wait: int
) -> dict[str, Any]:
    """Return the child's request that asks all hosts of the layout in `folder`; answers land in `short`/answers."""
    token = remote_token(slicing.room)
    half = len(token) // 2
    script = _SCRIPT.format(name=REMOTE_TOKEN, first=token[:half], second=token[half:], wait=wait)
    arguments = [
        "adhoc",
        "all",
        *("--limit", f"@{folder / 'delegates'}"),
        *("-e", f"@{folder / 'vars.json'}"),
        *("-m", "ansible.builtin.raw"),
        *("-a", script),
        *("--tree", str(short / "answers")),
    ]
    called = command(folder, short, vaults, arguments, mark=_ASK, contained=slicing.contained)
    return asked(folder, short, called, environment(folder, short, slicing.room, passed, forks=_FORKS))


def read(hosts: Iterable[str], short: Path, *, raw: bool, written: Callable[[str], bool]) -> tuple[str, ...]:
    """Return one line for each process that was found and has ended, and for each host that could not be asked.

    `raw` says that the slice had tasks that leave no mark but that of their session, `written` whether a word stands in
    the step's tasks. Raises `LeftOverError` when a process still runs after the wait.
    """
    lines: list[str] = []
    still: dict[str, list[str]] = {}
    for host in hosts:
        found, running = _of(short / "answers" / host, raw=raw, written=written)
        lines += [f"{host}: {text}" for text in found]
        still |= {host: running} if running else {}
    if still:
        named = [f"{host}: {text}" for host, texts in still.items() for text in texts]
        typed = "; ".join(f"itmp reconcile ID {host} ok|failed --reason …" for host in list(still)[:_MOST])
        what = f"left over and still running: {'; '.join(named[:_MOST])}"
        raise LeftOverError(what, hosts=tuple(still), do=f"{_DO}{typed}")
    return tuple(lines)


def all_asked(lines: Iterable[str]) -> bool:
    """Tell whether each host that `lines` speak of has answered: who has not is asked again the next time."""
    return not any(_UNASKED in line for line in lines)


def _of(path: Path, *, raw: bool, written: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    try:
        answer = json.loads(layout.plain(path) or b"")
    except (OSError, ValueError):
        return [f"{_UNASKED}: no answer"], []
    if answer.get("unreachable") or answer.get("failed"):
        return [f"{_UNASKED}: {one_line(str(answer.get('msg', '')))}"], []
    said = str(answer.get("stdout", "")).splitlines()
    unseen = [_UNSEEN] if raw and "itmp-marked" not in said else []
    other = [
        f"{text}, begun as another user by some Ansible: look whose"
        for text in _named(said, "itmp-other ", written)
    ]
    found = [*_named(said, "itmp-found ", written), *unseen, *other]
    return found, list(_named(said, "itmp-still ", written))


def _named(lines: list[str], mark: str, written: Callable[[str], bool]) -> Iterator[str]:
    """Yield number, name and command line of each process, up to the first word that is not the tasks'."""
    for line in lines:
        if line.startswith(mark):
            name, _, words = line.removeprefix(mark).partition("\t")
            known = [*itertools.takewhile(written, words.split())]
            hidden = [_HIDDEN] if len(known) < len(words.split()) else []
            told = " ".join([*known, *hidden])
            yield one_line(f"{name}: {told}" if told else name)
