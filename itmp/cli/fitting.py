"""Lines that fit a terminal: broken between words, never within a host's name or a command to type.

Rules kept here: nothing is left out; a word that is longer than the terminal, and a command with all that follows it,
stay whole on a line of their own, which the terminal wraps by itself and a person copies as one; of several with `;`
between them each has its own; colours take no room.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
_HANG: Final = 4
VERB: Final = re.compile(
    "answer|approve|audit|change|demo|diff|doctor|engine|evidence|hosts|init|lab|logs|patch|plan|policy|propose|reconcile|"
    "reject|resume|revoke|run|schema|show|signers|statement|status|stop|undo|validate|wait|witness"
)
"""What stands after `itmp` in a command; any other word is prose about the program."""
_COMMAND: Final = re.compile(rf"(?<= )(?=itmp (?:{VERB.pattern})(?![\w-]))")
_NEXT: Final = re.compile(r"(?<=;) (?=itmp )")
_GAP: Final = "  "
_LAST: Final = 24
"""Characters that the last cell of a row wants at the end of a line; with fewer it begins one."""


def fold(text: str, width: int, hang: int = _HANG) -> Iterator[str]:
    """Yield a line in as many as it needs; those after the first begin with `hang` spaces."""
    if shown(text) <= width:
        yield text
        return
    body = text.lstrip(" ")
    line, empty = text[: len(text) - len(body)], True
    prose, *rest = _COMMAND.split(body, maxsplit=1)
    commands = (command for text in rest for command in _NEXT.split(text))
    for word in (*prose.rstrip(" ").split(" "), *commands):
        if not empty and shown(line) + 1 + shown(word) > width:
            yield line.rstrip(" ")
            line, empty = " " * hang, True
        line, empty = (line + word if empty else f"{line} {word}"), False
    yield line


def lay(cells: Sequence[str], widths: Sequence[int], width: int) -> Iterator[str]:
    """Yield one row: its cells in columns, as many on a line as there is room for; the last one is folded."""
    line, last = "", len(cells) - 1
    for n, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
        placed = f"{line}{_GAP}" if line.strip(" ") else line
        if (
            placed.strip(" ")
            and shown(placed) + (shown(cell) if n < last else min(_LAST, shown(cell))) > width
        ):
            yield line.rstrip(" ")
            placed = " " * _HANG
        line = placed + cell + " " * (wide - shown(cell) if n < last else 0)
    yield from fold(line.rstrip(" "), width)


def shown(text: str) -> int:
    """Return how many characters a terminal shows of a text with colours."""
    return len(_STYLE.sub("", text) if "\x1b" in text else text)
