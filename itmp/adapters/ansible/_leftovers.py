"""Asks targets for processes that a dead run left there: with pipelining, killing everything here leaves them running.

Rules kept here: the question changes nothing on the target. What still works there is waited for, not killed, because
a half-done upgrade is worse than a late one; what does not end in time is an error that names it. It is asked from the
plan's own bytes, laid out for the question, and where the plan names a container image in a container of it: no play
could write there before.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import layout
from itmp.adapters.ansible._lines import one_line
from itmp.adapters.ansible._slicing import REMOTE_TOKEN, Slicing, asked, command, environment, remote_token
from itmp.errors import BusyError

# Finds processes by the run's mark: in their environment (modules, and all that a marked session started), in their
# command line (sudo, whose child's environment we may not read), and by their module's file. It is put together from
# two parts and read from standard input, so that the question does not find itself. Who is not root cannot look into
# what became another user: then every such command is named, whosever it is.
_SCRIPT: Final = """\
token='{first}''{second}'
name() {{
  while IFS=/ read -r _ _ pid _; do
    read -r name 2>/dev/null </proc/"$pid"/comm && echo "itmp-$1 $pid $name"
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
_ASK: Final = "LC_ITMP_ASK=1"
_FORKS: Final = 20


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


def read(hosts: Iterable[str], short: Path, *, raw: bool) -> tuple[str, ...]:
    """Return one line for each process that was found and has ended, and for each host that could not be asked.

    `raw` says that the slice had tasks that leave no mark but that of their session. Raises `BusyError` when a process
    still runs after the wait.
    """
    lines: list[str] = []
    still: list[str] = []
    for host in hosts:
        found, running = _of(short / "answers" / host, raw=raw)
        lines += [f"{host}: {text}" for text in found]
        still += [f"{host}: {text}" for text in running]
    if still:
        raise BusyError(
            f"left over and still running: {'; '.join(still[:10])}",
            do="Wait until it has ended, or end it there; then resume.",
        )
    return tuple(lines)


def _of(path: Path, *, raw: bool) -> tuple[list[str], list[str]]:
    try:
        answer = json.loads(layout.plain(path) or b"")
    except (OSError, ValueError):
        return ["cannot be asked for left-overs: no answer"], []
    if answer.get("unreachable") or answer.get("failed"):
        return [f"cannot be asked for left-overs: {one_line(str(answer.get('msg', '')))}"], []
    said = str(answer.get("stdout", "")).splitlines()
    unseen = [_UNSEEN] if raw and "itmp-marked" not in said else []
    other = [
        f"{text}, begun as another user by some Ansible: look whose" for text in _named(said, "itmp-other ")
    ]
    return [*_named(said, "itmp-found "), *unseen, *other], list(_named(said, "itmp-still "))


def _named(lines: list[str], mark: str) -> Iterator[str]:
    for line in lines:
        if line.startswith(mark):
            yield one_line(line.removeprefix(mark))
