"""The live view of a run: plain lines on stderr, one per thing that a person at night wants to know.

Rules kept here: what is printed is for watching, never evidence; every text from a host is made harmless first; the
last block names every host that is not fine and the next command to type.
"""

import sys
from collections import Counter
from typing import TYPE_CHECKING, assert_never

from itmp.cli.printing import colour, safe, say

if TYPE_CHECKING:
    from itmp.execution import progress as e
    from itmp.execution.progress import RunEvent
    from itmp.workspace import Result

QUIET = frozenset({"ok", "skipped"})
FINE = frozenset({"ok", "changed", "skipped"})
WIDTH = 100


class Narrator:
    """Prints a run as it goes; `verbose` also prints the actions that changed nothing."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._done = 0
        self._total, self._change = 0, ""

    def on_event(self, event: "RunEvent", /) -> None:
        """Print what `event` says."""
        from itmp.execution import progress as e  # noqa: PLC0415 - help stays fast

        match event:
            case e.RunStarted():
                self._total, self._change = event.slices, event.change
                say(
                    f"{event.event.partition('.')[2]}  {event.run}  change {event.change}  {len(event.hosts)} targets"
                )
            case e.SliceStarted():
                self._done += 1
                place = f"[{self._done}/{self._total}]" if event.phase == "do" else "[undo]"
                say(_err(f"{place} {safe(event.title)}", "bold") + f"  {_some(event.hosts)}")
            case e.SlicePassed() | e.AskStarted() | e.WaitStarted() | e.RunWaiting():
                self._word(event)
            case e.ActionFinished():
                if self._verbose or event.outcome not in QUIET:
                    text = f"{safe(event.name or event.action)}: {safe(event.message)}".rstrip(": ")
                    say(
                        f"    {_err(event.outcome.ljust(11), event.outcome)} {safe(event.host)}  {text[:WIDTH]}"
                    )
            case e.SliceFinished():
                counted = Counter(event.states.values())
                say(
                    "    "
                    + "  ".join(_err(f"{state} {count}", state) for state, count in sorted(counted.items()))
                )
            case e.RunStopped():
                say(_err(f"stopping: {safe(event.why)}", "failed"))
            case e.RunFinished():
                say(_err(f"run {event.state}", "ok" if event.exit_code == 0 else "failed"))
            case e.ActionStarted() | e.HostChanged():
                pass
            case _ as never:
                assert_never(never)

    def _word(self, event: "e.SlicePassed | e.AskStarted | e.WaitStarted | e.RunWaiting") -> None:
        from itmp.execution import progress as e  # noqa: PLC0415 - help stays fast

        match event:
            case e.RunWaiting():
                say(f"waiting for {safe(event.target)}: {event.change} holds it")
            case e.SlicePassed():
                self._done += 1
                say(f"[{self._done}/{self._total}] {safe(event.title)}  not run: {safe(event.why)}")
            case e.AskStarted():
                say(_err(f"    asks {safe(event.slice)}: {safe(event.question)}", "bold"))
                roles = ", ".join(event.roles) or "any role that may answer"
                say(f"    itmp answer {self._change} {event.slice} VALUE  ({safe(event.answer)}; {roles})")
            case e.WaitStarted():
                say(f"    waits until {event.until}")


def summary(result: "Result") -> tuple[str, ...]:
    """Say how it ended: checks that refused, hosts by state, every host that is not fine, and what to type next."""
    lines = [f"{colour(result.change, 'bold')}  {result.state or 'refused'}  (exit {result.exit_code})"]
    for check in result.checks:
        if check["outcome"] != "ok":
            lines.append(
                f"  {check['n']} {safe(check['name'])}: {colour(check['outcome'], 'refused')}  {safe(check['why'])}"
            )
            if check.get("do"):
                lines.append(f"      {safe(check['do'])}")
    if result.hosts:
        counted = Counter(result.hosts.values())
        lines.append(
            "  " + "  ".join(colour(f"{state} {count}", state) for state, count in sorted(counted.items()))
        )
    lines += [
        f"  {colour(state.ljust(11), state)} {safe(host)}"
        for host, state in result.hosts.items()
        if state not in FINE
    ]
    for one in result.asks:
        lines.append(f"  asks {safe(one['step'])}: {safe(one['question'])}")
        lines.append(
            f"       {safe(one['answer'])}; {safe(', '.join(one['roles'])) or 'any role that may answer'}"
        )
    for note in result.notes:
        first, *more = note.splitlines() or [""]
        lines += [f"  note: {safe(first)}", *(f"        {safe(line.strip())}" for line in more)]
    lines += [f"  next: {command}" for command in result.next]
    return tuple(lines)


def _some(hosts: tuple[str, ...], most: int = 6) -> str:
    shown = " ".join(safe(host) for host in hosts[:most])
    return shown + (f" … {len(hosts) - most} more" if len(hosts) > most else "")


def _err(text: str, style: str) -> str:
    return colour(text, style, stream=sys.stderr)
