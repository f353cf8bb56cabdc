"""Who watches a run: a live view on a terminal, plain lines without one, JSON lines for programs.

Rules kept here: the terminal is repainted at most twice a second, and only when something shown has changed, so that a
slow line keeps up; what went wrong is printed above the view and stays; at the end the view is gone and the summary
stands; a view that cannot be drawn never stops a run.
"""

import json
import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from itmp.cli.board import FINE, Board, Line, lines
from itmp.cli.narration import Narrator
from itmp.cli.printing import STYLES, wants_colour
from itmp.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.live import Live
    from rich.text import Text

    from itmp.workspace.events import OnEvent, Outline, RunEvent

REPAINT: Final = 0.5
"""Seconds between two repaints at the least."""
_RESERVED: Final = 10
"""Lines of the terminal that hosts at work leave to everything else."""


@contextmanager
def watching(
    outline: "Callable[[], Outline]", *, verbose: bool = False, stream: bool = False
) -> "Iterator[OnEvent]":
    """Give the callable that a run tells its events to; `outline` is asked for once the run has started."""
    if stream:
        yield _tell
    elif not _terminal():
        yield Narrator(verbose=verbose).on_event
    else:
        view = _View(outline, verbose=verbose)
        try:
            yield view.on_event
        finally:
            view.end()


def _terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}


def _tell(event: "RunEvent") -> None:
    """Print the event as one line of JSON."""
    from itmp.workspace.events import event_json  # noqa: PLC0415 - help stays fast

    print(json.dumps(event_json(event), ensure_ascii=True, sort_keys=True), flush=True)  # noqa: T201 - the result itself


class _View:
    """The live view; begins with the run."""

    def __init__(self, outline: "Callable[[], Outline]", *, verbose: bool) -> None:
        self._outline, self._verbose = outline, verbose
        self._board = Board()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._live: Live | None = None
        self._narrator = Narrator(verbose=verbose, quiet=FINE, say=self._print)
        self._shown: tuple[Line, ...] = ()

    def on_event(self, event: "RunEvent", /) -> None:
        """Take note; the painter paints."""
        from itmp.workspace.events import RunFinished, RunStarted  # noqa: PLC0415 - help stays fast

        with self._lock:
            if isinstance(event, RunStarted):
                self._begin()
            self._board.take(event, time.monotonic())
        if isinstance(event, RunFinished):
            self.end()
        self._narrator.on_event(event)

    def end(self) -> None:
        """Take the view away."""
        self._over.set()
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _begin(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.live import Live  # noqa: PLC0415 - as above

        console = Console(
            stderr=True, highlight=False, color_system="standard" if wants_colour(sys.stderr) else None
        )
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._live.start()
        for work in (self._paint, self._read_outline):
            threading.Thread(target=work, name="itmp-view", daemon=True).start()

    def _read_outline(self) -> None:
        """Find out what is to come; it may take a while in a long log, and the view does without."""
        with suppress(Error):
            found = self._outline()
            with self._lock:
                self._board.outline = found

    def _paint(self) -> None:
        while not self._over.wait(REPAINT):
            size = shutil.get_terminal_size()
            with self._lock:
                most = max(0, min(size.lines - _RESERVED, 6))
                shown = lines(self._board, time.monotonic(), width=size.columns - 1, most=most)
                if self._live is None or shown == self._shown:
                    continue
                self._shown = shown
                self._live.update(_text(shown), refresh=True)

    def _print(self, line: str) -> None:
        with self._lock:
            if self._live is not None:
                from rich.text import Text  # noqa: PLC0415 - only on a terminal

                self._live.console.print(Text.from_ansi(line), soft_wrap=True)
                return
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - the command line's own voice


def _text(shown: tuple[Line, ...]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only on a terminal

    text = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(shown):
        text.append("\n" if number else "")
        for piece in line:
            text.append(piece.text, style=STYLES.get(piece.style, ""))
    return text
