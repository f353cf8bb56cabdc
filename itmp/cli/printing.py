"""How a command answers: results on stdout, errors and progress on stderr, colours only on a terminal.

Rules kept here: text that came from outside (hosts, documents, modules) never reaches a terminal with control or
bidirectional characters in it; `--json` prints exactly one object, also for an error; an exception that is not an
`Error` is our bug, says so, and exits 70, but for a machine that has no room left.
"""

import errno
import functools
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final, ParamSpec

import typer

from itmp.cli import fitting
from itmp.errors import Error, InvalidInputError, ToolMissingError

P = ParamSpec("P")
_LOOK_AHEAD: Final = 200
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
RESULT_SCHEMA: Final = "itmp-result/v1"
_STYLES: Final = {
    "ok": "32", "changed": "33", "failed": "31", "unreachable": "31", "unknown": "35", "refused": "31",
    "skipped": "36", "not_reached": "36", "denied": "31", "bold": "1", "dim": "2",
}  # fmt: skip
STYLES: Final = {
    "ok": "green", "changed": "yellow", "failed": "red", "unreachable": "red", "denied": "red",
    "unknown": "magenta", "skipped": "cyan", "not_reached": "cyan", "bold": "bold",
    "dim": "dim",
}  # fmt: skip
"""The same styles by the names that rich has for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command has to say: `data` for machines, `lines` for people (`paged` on a terminal), its exit code.

    An iterator among `data` is read once, and printed as a list.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Iterable[str] = ()
    exit_code: int = 0
    paged: bool = False


def safe(text: object) -> str:
    """Return `text` with control, bidirectional and other invisible characters shown as escapes."""
    shown = str(text)
    if shown.isprintable():  # neither "other" nor, but for the space, "separator"
        return shown
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def colour(text: str, style: str, *, stream: Any = None) -> str:
    """Wrap `text` in a style when the stream is a terminal that wants colour."""
    code = _STYLES.get(style, "")
    return f"\x1b[{code}m{text}\x1b[0m" if code and wants_colour(stream or sys.stdout) else text


def wants_colour(stream: Any) -> bool:
    """Whether the stream is a terminal whose owner has not refused colour."""
    return bool(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def width_of(stream: Any) -> int | None:
    """Return how wide the stream's terminal is; None for what is no terminal, whose lines are never broken."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def fold(text: str, hang: int, *, stream: Any = None) -> tuple[str, ...]:
    """Return a line in as many as a terminal needs (`fitting.fold`), as it is for anything else."""
    width = width_of(stream or sys.stdout)
    return (text,) if width is None else tuple(fitting.fold(text, width, hang))


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> tuple[str, ...]:
    """Lay out rows in columns as wide as their longest cell; the last column is never padded."""
    cells = [[safe(cell) for cell in row] for row in rows]
    shown = ([list(header)] if header and cells else []) + cells
    widths = [
        max((len(row[i]) for row in shown if i < len(row)), default=0)
        for i in range(max(map(len, shown), default=0))
    ]
    return tuple(
        "  ".join(cell.ljust(widths[i]) if i < len(row) - 1 else cell for i, cell in enumerate(row)).rstrip()
        for row in shown
    )


def columns(
    rows: Iterable[Sequence[object]], header: Sequence[str], *, styled: int | None = None
) -> Iterator[str]:
    """Lay out rows as they come: columns as wide as the first rows need, later ones as they fit.

    Nothing at all is yielded without a row. The words of column `styled` name their own style; on a terminal a row
    that does not fit takes several lines.
    """
    coming = iter(rows)
    first = [[safe(cell) for cell in row] for row in itertools.islice(coming, _LOOK_AHEAD)]
    if not first:
        return
    widths = [max(map(len, column)) for column in zip(header, *first, strict=True)]
    rest = ([safe(cell) for cell in row] for row in coming)
    most = width_of(sys.stdout) or 1 << 30
    for row in itertools.chain([list(header)], first, rest):
        if styled is not None:
            row[styled] = colour(row[styled], row[styled])
        yield from fitting.lay(row, widths, most)


def count(number: int, noun: str) -> str:
    """Return `1 event`, `2 events`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def say(line: str) -> None:
    """Tell progress on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the command line's own voice


def verb(function: Callable[P, Answer]) -> Callable[P, None]:
    """Make a command of a function: print its answer, turn errors into their exit codes."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        machine = bool(kwargs.get("json") or kwargs.get("stream"))
        try:
            answer = function(*args, **kwargs)
            _print(answer, machine=machine)  # what is read while it is printed fails in here as well
        except Error as error:
            answer = _of_error(error, machine=machine)
            _print(answer, machine=machine)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the one place where a bug becomes exit code 70
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                answer = _of_error(_no_room(error), machine=machine)
            else:
                answer = _of_bug(error)
            _print(answer, machine=machine)
        raise typer.Exit(answer.exit_code)

    return command


def refuse_usage(message: str, *, machine: bool, example: str = "") -> int:
    """Answer a command line that names no command or not its arguments; return its exit code.

    `example` is a command line that would do.
    """
    error = InvalidInputError(message, do=f"For example: {example}" if example else "See --help.")
    if example:
        say(error.do)
    answer = _of_error(error, machine=True)
    if machine:
        _print(answer, machine=True)
    return answer.exit_code


def _print(answer: Answer, *, machine: bool) -> None:
    if not machine and answer.paged and page(answer.lines):
        return
    try:
        if machine:
            _print_object({"schema": RESULT_SCHEMA, "exit_code": answer.exit_code, **answer.data})
        else:
            for line in answer.lines:
                print(line, flush=sys.stdout.isatty())  # noqa: T201 - the result itself
        sys.stdout.flush()
    except BrokenPipeError:  # a reader that has seen enough; what is still buffered must not fail at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_object(body: Mapping[str, Any]) -> None:
    if not any(isinstance(value, Iterator) for value in body.values()):
        print(_json(body))  # noqa: T201 - the result itself
        return
    import tempfile  # noqa: PLC0415 - few answers are this long

    with tempfile.TemporaryFile("w+", encoding="ascii") as whole:  # it may fail before its end, and be long
        whole.writelines(_pieces(body))
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout)
        print()  # noqa: T201 - as above


def _pieces(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of an object in parts, a list's items one by one."""
    for key, before in zip(sorted(body), itertools.chain("{", itertools.repeat(", ")), strict=False):
        value = body[key]
        yield f"{before}{_json(key)}: "
        if isinstance(value, Iterator):
            yield "["
            for item, comma in zip(value, itertools.chain(("",), itertools.repeat(", ")), strict=False):
                yield comma + _json(item)
            yield "]"
        else:
            yield _json(value)
    yield "}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True)


def page(lines: Iterable[str]) -> bool:
    """Show lines in the person's pager as they come; return False when there is no terminal or no pager.

    The pager is `$PAGER`, else `less`; `PAGER=cat` or an empty one is none. A pager that is left early is no failure.
    """
    words = shlex.split(os.environ.get("PAGER", "less"))
    if not (sys.stdout.isatty() and sys.stdin.isatty()) or words in ([], ["cat"]):
        return False
    if os.environ.get("TERM", "dumb") == "dumb" or not shutil.which(words[0]):
        return False
    environ = {"LESS": "FRX", **os.environ}  # leave when all fits, pass colours, keep the screen
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE, env=environ, text=True, errors="replace") as pager,
        suppress(BrokenPipeError, KeyboardInterrupt),
    ):
        assert pager.stdin is not None  # noqa: S101 - asked for above
        with pager.stdin as pipe:
            for line in lines:
                pipe.write(line + "\n")
    return True


def _of_error(error: Error, *, machine: bool) -> Answer:
    problems = getattr(error, "problems", ())
    if not machine:
        word = colour("error", "failed", stream=sys.stderr)
        told = [f"{word}: {safe(problem)}" for problem in problems]
        if len(told) < 2:  # noqa: PLR2004 - several: each says its own
            told = f"{word}: {_first_line(error)}".split("\n")
            told += [f"  {safe(line)}" for line in error.do.splitlines()]
        for part in itertools.chain.from_iterable(fold(line, 2, stream=sys.stderr) for line in told):
            say(part)
    data: dict[str, Any] = {
        "error": {"type": type(error).__name__, "what": error.what, "where": error.where, "do": error.do},
        "retryable": error.retryable,
    }
    if problems:
        data["problems"] = [asdict(problem) for problem in problems]
    return Answer(data=data, exit_code=error.exit_code)


def _first_line(error: Error) -> str:
    place = f"{safe(error.where)}: " if error.where else ""
    return place + "\n".join(map(safe, error.what.split("\n")))


def _no_room(error: OSError) -> ToolMissingError:
    """Say what a full disk kept from being done: that is the operator's matter, wherever it was met."""
    return ToolMissingError(
        f"no room is left: {error.strerror}",
        where=str(error.filename or ""),
        do="Make room there and type the command again. What a run had begun by then: itmp status ID.",
    )


def _of_bug(error: Exception) -> Answer:
    import traceback  # noqa: PLC0415 - only when we failed

    traceback.print_exception(error, file=sys.stderr)
    say("This is a bug in itmp. Nothing was hidden: the log holds what happened before it.")
    return Answer(data={"error": {"type": type(error).__name__, "what": str(error)}}, exit_code=70)
