"""A run in plain lines on stderr, one per thing that a person at night wants to know.

Rules kept here: what is printed is for watching, never evidence; every text from a host is made harmless first; the
last block names every host that is not fine and the next command to type.
"""

import sys
from collections import Counter
from typing import TYPE_CHECKING, assert_never

from itmp.cli.board import COMING
from itmp.cli.printing import colour, fold, safe, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from itmp.workspace import Result
    from itmp.workspace import events as e
    from itmp.workspace.events import RunEvent

QUIET = frozenset({"ok", "skipped"})
FINE = frozenset({"ok", "changed", "skipped"})
WIDTH = 100


class Narrator:
    """Prints a run as it goes; `verbose` also prints the actions that changed nothing."""

    def __init__(
        self, *, verbose: bool = False, quiet: frozenset[str] = QUIET, say: "Callable[[str], None]" = say
    ) -> None:
        self._verbose, self._quiet, self._say = verbose, quiet, say
        self._done = 0
        self._total, self._change = 0, ""

    def on_event(self, event: "RunEvent", /) -> None:
        """Print what `event` says."""
        from itmp.workspace import events as e  # noqa: PLC0415 - help stays fast

        match event:
            case e.ActionStarted() | e.HostChanged():  # the most frequent: nothing is said of them
                pass
            case e.RunStarted() | e.RunStands():
                self._stands(event)
            case e.SliceStarted():
                place = f"[{self._done + 1}/{self._total}]" if event.phase == "do" else "[undo]"
                self._say(_err(f"{place} {safe(event.title)}", "bold") + f"  {_some(event.hosts)}")
            case (
                e.SlicePassed()
                | e.AskStarted()
                | e.WaitStarted()
                | e.RunWaiting()
                | e.RunLooking()
                | e.RunWarned()
            ):
                self._word(event)
            case e.ActionFinished():
                if self._verbose or event.outcome not in self._quiet:
                    text = f"{safe(event.name or event.action)}: {safe(event.message)}".rstrip(": ")
                    self._say(
                        f"    {_err(event.outcome.ljust(11), event.outcome)} {safe(event.host)}  {text[:WIDTH]}"
                    )
            case e.SliceFinished():
                self._say("    " + _counts(event.states))
            case e.RunStopped():
                self._say(_err(f"stopping: {safe(event.why)}", "failed"))
            case e.RunFinished():
                self._say(_err(f"run {event.state}", "ok" if event.exit_code == 0 else "failed"))
            case _ as never:
                assert_never(never)

    def _stands(self, event: "e.RunStarted | e.RunStands") -> None:
        """Say what there is to do and, where a run is taken up, how much of it is done."""
        from itmp.workspace import events as e  # noqa: PLC0415 - as above

        if isinstance(event, e.RunStarted):
            self._total, self._change = event.slices, event.change
            self._say(
                f"{event.event.partition('.')[2]}  {event.run}  change {event.change}  {len(event.hosts)} targets"
            )
            return
        self._done = event.done
        if event.hosts:
            stand = {host: COMING.get(state, state) for host, state in event.hosts.items()}
            self._say(f"    {event.done} of {self._total} slices done before  {_counts(stand)}")

    def _word(
        self,
        event: "e.SlicePassed | e.AskStarted | e.WaitStarted | e.RunWaiting | e.RunLooking | e.RunWarned",
    ) -> None:
        from itmp.workspace import events as e  # noqa: PLC0415 - help stays fast

        match event:
            case e.RunWaiting():
                self._say(f"waiting for {safe(event.target)}: {event.change} holds it")
            case e.RunLooking():
                where = _some(event.hosts) or safe(event.slice)
                self._say(f"    looks for what was left at work on {where}, and waits until it has ended")
            case e.RunWarned():
                self._say(
                    _err("note: ", "bold") + f"{event.change} left {_some(event.targets)} unknown: {event.do}"
                )
            case e.SlicePassed():
                self._say(f"[{self._done + 1}/{self._total}] {safe(event.title)}  not run: {safe(event.why)}")
            case e.AskStarted():
                self._say(_err(f"    asks {safe(event.slice)}: {safe(event.question)}", "bold"))
                roles = ", ".join(event.roles) or "any role that may answer"
                self._say(
                    f"    itmp answer {self._change} {event.slice} VALUE  ({safe(event.answer)}; {roles})"
                )
            case e.WaitStarted():
                self._say(f"    waits until {event.until}")


def summary(result: "Result") -> tuple[str, ...]:
    """Say how it ended: checks that refused, hosts by state, every host that is not fine, and what to type next."""
    lines = [f"{colour(result.change, 'bold')}  {result.state or 'refused'}  (exit {result.exit_code})"]
    for check in result.checks:
        if check["outcome"] != "ok":
            said = colour(check["outcome"], "refused")
            lines += fold(f"  {check['n']} {safe(check['name'])}: {said}  {safe(check['why'])}", 6)
            if check.get("do"):
                lines += fold(f"      {safe(check['do'])}", 6)
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
        lines += fold(f"  asks {safe(one['step'])}: {safe(one['question'])}", 7)
        roles = safe(", ".join(one["roles"])) or "any role that may answer"
        lines += fold(f"       {safe(one['answer'])}; {roles}", 7)
    for note in result.notes:
        first, *more = note.splitlines() or [""]
        lines += fold(f"  note: {safe(first)}", 8)
        lines += [part for line in more for part in fold(f"        {safe(line.strip())}", 8)]
    lines += [f"  next: {command}" for command in result.next]
    lines += [f"  the window opens again: {result.retry_at}"] if result.retry_at else []
    return tuple(lines)


def _some(hosts: tuple[str, ...], most: int = 6) -> str:
    shown = " ".join(safe(host) for host in hosts[:most])
    return shown + (f" … {len(hosts) - most} more" if len(hosts) > most else "")


def _counts(states: "Mapping[str, str]") -> str:
    counted = sorted(Counter(states.values()).items())
    return "  ".join(_err(f"{state} {count}", state) for state, count in counted)


def _err(text: str, style: str) -> str:
    return colour(text, style, stream=sys.stderr)
