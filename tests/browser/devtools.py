"""Chromium over its debugging pipe: one browser, one page, no port and no further program.

Messages are JSON with a NUL behind each, out on descriptor 3 of the browser, back on 4.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 120.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def program() -> str:
    found = shutil.which("chromium")
    assert found, "make test-browser installs it"
    return found


class Tab:
    """One page; `told` is what it said on its console, blocked or failed to load since `clear`."""

    def __init__(self, out: int, back: int) -> None:
        self._out, self._back, self._rest = out, back, b""
        self._count, self._session = 0, ""
        self.told: list[str] = []
        self._events: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network", "Audits"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **values: Any) -> dict[str, Any]:
        """Send one command and return its answer."""
        self._count += 1
        number, session = self._count, {"sessionId": self._session} if self._session else {}
        message = {"id": number, "method": method, "params": values, **session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, url: str, *, width: int, scripts: bool) -> None:
        """Load a page that is `width` wide, to its end."""
        self.told.clear()
        self._events.clear()
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        self.ask("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._next()
        self.ask("Runtime.evaluate", expression="0")  # whatever was on its way has come

    def read(self, expression: str) -> str:
        """Return what an expression over the page says, as text."""
        answer = self.ask("Runtime.evaluate", expression=f"String({expression})", returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return str(answer["result"]["value"])

    def size(self) -> tuple[int, int]:
        """Width and height of all that is on the page."""
        content = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return int(content["width"]), int(content["height"])

    def shot(self, file: Path) -> None:
        """Take a picture of the whole page."""
        width, height = self.size()
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 4000), "scale": 1}
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(taken["data"]))

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            assert select.select([self._back], [], [], max(0.0, end - time.monotonic()))[0], "no answer"
            more = os.read(self._back, 1 << 16)
            assert more, "the browser has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        name, values = message.get("method", ""), message.get("params", {})
        self._events.append(name)
        if name in {
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Audits.issueAdded",
        }:
            self.told.append(f"{name}: {json.dumps(values)[:600]}")
        elif name == "Network.loadingFailed":
            self.told.append(f"{name}: {values.get('errorText')} {values.get('blockedReason', '')}")
        return message


@contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """Start a browser with a fresh profile in `folder`; end it and all that it started."""
    there, out = os.pipe()
    back, here = os.pipe()
    argv = [program(), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    # the shell puts both ends where the browser looks for them
    shell = ["bash", "-c", f'exec "$@" 3<&{there} 4>&{here}', "bash", *argv]
    with subprocess.Popen(
        shell, pass_fds=(there, here), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        os.close(there)
        os.close(here)
        try:
            yield Tab(out, back)
        finally:
            os.close(out)  # it ends with its pipe
            os.close(back)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
