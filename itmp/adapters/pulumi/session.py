"""One stack program's process with its stack open: previews and updates, one after the other.

Rules kept here: the process runs under the supervisor with exactly the given environment and ends with us;
while the engine works, the action socket is served from this thread; an answer that does not come is an error
that says how far things went. What the engine prints is never parsed, only its events.
"""

import json
import os
import select
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from itmp.adapters.actions import ActionServer
from itmp.adapters.pulumi.engine import VERSION
from itmp.adapters.pulumi.place import Place, StackName, unlinked
from itmp.adapters.supervisor import Supervised
from itmp.errors import RunFailedError, UnknownOutcomeError

OPEN_SECONDS: Final = 60.0
PREVIEW_SECONDS: Final = 300.0
_CHILD: Final = str(Path(__file__).with_name("_child.py"))
_TICK: Final = 0.5
_GRACE: Final = 5.0
_CHUNK: Final = 65536
_TAIL: Final = 2000
_NOISE: Final = "using pulumi-resource-itmp from $PATH"


class EngineError(RunFailedError):
    """The engine or the stack program failed, and says why."""


class EngineLostError(UnknownOutcomeError):
    """The engine or the stack program ended, or was ended, without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one request gave: the engine's steps, diagnostics and own summary (`None`: it gave none)."""

    ok: bool
    error: str
    steps: tuple[Mapping[str, Any], ...]
    diagnostics: tuple[Mapping[str, str], ...]
    summary: Mapping[str, int] | None

    def why(self, urn: str = "") -> str:
        """Return the errors, of one resource or of all, as one line."""
        found = [
            line["message"].strip()
            for line in self.diagnostics
            if line["severity"] == "error" and (not urn or line["urn"] == urn)
        ]
        own = [text for text in found if text not in {"update failed", "preview failed"}]
        text = "; ".join(own or found) or self.error[-_TAIL:].strip()
        return " ".join(text.removeprefix("Preview failed: ").split())


class Session:
    """One program with its stack open: a context manager, for one thread."""

    def __init__(
        self,
        *,
        place: Place,
        name: StackName,
        program: Path,
        environment: Mapping[str, str],
        token: str,
        log: Path,
        actions: ActionServer | None = None,
    ) -> None:
        """Prepare; `program` is a folder, `place` holds the stack's settings, `log` takes what they print."""
        self._place, self._name, self._program, self._log = place, name, program, log
        self._environment, self._token, self._actions = environment, token, actions
        self._pending = b""

    def __enter__(self) -> Self:
        """Start the process and open the stack; raise `EngineError` when it cannot be opened."""
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        try:
            with open(self._log, "ab", opener=unlinked) as errors:
                self._child = Supervised(
                    [sys.executable, "-I", "-B", _CHILD],
                    token=self._token,
                    environment={**self._environment, **(self._actions.environment if self._actions else {})},
                    folder=self._place.work(self._name),
                    shown=(self._place.root, self._log.parent),
                    stdin=requests,
                    stdout=answers,
                    stderr=errors,
                )
        except BaseException:
            os.close(self._requests)
            os.close(self._answers)
            raise
        finally:
            os.close(requests)
            os.close(answers)
        if self._actions:
            self._actions.watch(self._answers)
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _open(self) -> None:
        first = {
            "program": str(self._program),
            "work": str(self._place.work(self._name)),
            "stack": self._name.stack,
            "exists": self._place.exists(self._name),
            "version": VERSION,
        }
        answer = self._ask(first, OPEN_SECONDS)
        if not answer["ok"]:
            raise EngineError(
                f"the stack cannot be opened: {answer['error'][-_TAIL:].strip()}", where=self._where
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._requests)
        with self._child:
            if kind is None:
                self._child.wait(_GRACE)
        os.close(self._answers)

    @property
    def _where(self) -> str:
        return f"{self._name.program}/{self._name.stack}"

    def preview(self, plan: Path) -> Report:
        """Preview with a refresh, changing nothing, and save the engine's own plan."""
        return self._report({"do": "preview", "plan": str(plan)}, PREVIEW_SECONDS)

    def up(self, plan: Path, seconds: float) -> Report:
        """Carry out `plan`; raise `EngineLostError` when that was cut off."""
        return self._report({"do": "up", "plan": str(plan)}, seconds)

    def cancel(self) -> Report:
        """Drop the engine's lock on the stack."""
        return self._report({"do": "cancel", "plan": ""}, OPEN_SECONDS)

    def _report(self, request: Mapping[str, Any], seconds: float) -> Report:
        answer = self._ask(request, seconds)
        return Report(
            ok=answer["ok"],
            error=answer["error"],
            steps=tuple(answer["steps"]),
            diagnostics=tuple(line for line in answer["diagnostics"] if _NOISE not in line["message"]),
            summary=answer["summary"],
        )

    def _ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise self._lost("ended") from error
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._lost(f"gave no answer within {seconds:.0f} s and was ended")
            if self._ready(min(left, _TICK)):
                chunk = os.read(self._answers, _CHUNK)
                if not chunk:
                    raise self._lost("ended without an answer")
                self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ready(self, seconds: float) -> bool:
        if self._actions:
            self._actions.pump(seconds)
            seconds = 0
        return bool(select.select([self._answers], [], [], seconds)[0])

    def _lost(self, how: str) -> EngineLostError:
        self._child.end()
        tail = ""
        with suppress(OSError), open(self._log, "rb", opener=unlinked) as log:
            tail = log.read()[-_TAIL:].decode(errors="replace").strip()
        said = f": {' '.join(tail.split())}" if tail else ""
        return EngineLostError(
            f"the stack program {how}{said}", where=self._where, do="Read the present values, then resume."
        )


__all__ = ["EngineError", "EngineLostError", "Report", "Session"]
