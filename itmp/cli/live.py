"""Who watches a run: a live view on a terminal, plain lines without one, JSON lines for programs.

Rules kept here: the terminal is repainted at most twice a second, and only when something shown has changed, so that a
slow line keeps up; what went wrong is printed above the view and stays; at the end the view is gone and the summary
stands. One thread writes to the terminal and holds no lock meanwhile: a line that is slow or stands still holds up what
is shown, never the run, and a view that cannot be drawn stops nothing.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from itmp.cli.board import FINE, Board, Line, lines
from itmp.cli.narration import Narrator
from itmp.cli.printing import STYLES, fold, say, wants_colour
from itmp.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.live import Live
    from rich.text import Text

    from itmp.workspace.events import OnEvent, Outline, RunEvent

REPAINT: Final = 0.5
"""Seconds between two repaints at the least."""
_HANG: Final = 16
"""Where a line that does not fit goes on: behind an outcome, at the host's name."""
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
        self._outline = outline
        self._board = Board()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._painter: threading.Thread | None = None
        self._said = deque[str]()
        self._narrator = Narrator(verbose=verbose, quiet=FINE, say=self._say)
        self._shown: tuple[Line, ...] = ()

    def on_event(self, event: "RunEvent", /) -> None:
        """Take note; the painter paints."""
        from itmp.workspace.events import RunStarted  # noqa: PLC0415 - help stays fast

        with self._lock:
            self._board.take(event, time.monotonic())
        self._narrator.on_event(event)
        if isinstance(event, RunStarted) and self._painter is None:
            self._painter = self._begin(self._paint)
            self._begin(self._read_outline)

    def end(self) -> None:
        """Wait until everything has been shown, and take the view away; the run is over, and so are its locks."""
        self._over.set()
        if self._painter is not None:
            self._painter.join()
        for line in self._lines_said():
            say(line)

    def _say(self, line: str) -> None:
        """Leave a line to the painter, if there is one already."""
        if self._painter is None:
            say(line)
        else:
            self._said.append(line)

    def _begin(self, work: "Callable[[], None]") -> threading.Thread:
        thread = threading.Thread(target=work, name="itmp-view", daemon=True)
        thread.start()
        return thread

    def _read_outline(self) -> None:
        """Find out what is to come; it may take a while in a long log, and the view does without."""
        with suppress(Error):
            found = self._outline()
            with self._lock:
                self._board.outline = found

    def _paint(self) -> None:
        """Write all that is written while the view is there. `OSError`: the terminal is gone, and the run goes on."""
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.live import Live  # noqa: PLC0415 - as above

        console = Console(
            stderr=True, highlight=False, color_system="standard" if wants_colour(sys.stderr) else None
        )
        with (
            suppress(OSError),
            Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live,
        ):
            while not self._over.wait(REPAINT):
                self._repaint(live)
            self._print(live)

    def _repaint(self, live: "Live") -> None:
        self._print(live)
        size = shutil.get_terminal_size()
        most = max(0, min(size.lines - _RESERVED, 6))
        with self._lock:
            shown = lines(self._board, time.monotonic(), width=size.columns - 1, most=most)
        if shown != self._shown:
            self._shown = shown
            live.update(_text(shown), refresh=True)

    def _print(self, live: "Live") -> None:
        from rich.text import Text  # noqa: PLC0415 - only on a terminal

        for line in self._lines_said():
            for part in fold(line, _HANG, stream=sys.stderr):
                live.console.print(Text.from_ansi(part), soft_wrap=True)

    def _lines_said(self) -> "Iterator[str]":
        """Yield what the narrator has said and nobody has printed yet."""
        while self._said:
            yield self._said.popleft()


def _text(shown: tuple[Line, ...]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only on a terminal

    text = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(shown):
        text.append("\n" if number else "")
        for piece in line:
            text.append(piece.text, style=STYLES.get(piece.style, ""))
    return text
