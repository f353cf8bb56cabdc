"""The auditor's pages in a real Chromium: hostile text runs nothing, and what is on screen is what was logged."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story
from itmp.viewer import application, report
from itmp.viewer.account import account
from itmp.workspace import Workspace

pytestmark = pytest.mark.browser

TRAP = "document.title = 'owned'"
HOSTILE = f'<script>{TRAP}</script> <img src=x onerror="{TRAP}"> <b>bold</b>'
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--window-size=1200,1600",
)  # fmt: skip


@pytest.fixture
def story(tmp_path: Path) -> Story:
    made = story_on_disk(tmp_path)
    made.open(reason=HOSTILE)
    made.act("approve", "bob")
    made.execute(made.permit())
    made.close()
    return made


@pytest.fixture
def address(tmp_path: Path, story: Story) -> Iterator[str]:
    assert story.change
    server = uvicorn.Server(
        uvicorn.Config(application(Workspace.here(tmp_path)), host="127.0.0.1", port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def chromium(tmp_path: Path, url: str, *words: str) -> str:
    program = shutil.which("chromium")
    assert program, "make test-browser installs it"
    done = subprocess.run(
        [program, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *words, url],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.stdout


def test_hostile_text_runs_nothing_and_is_read_as_it_is(address: str, story: Story, tmp_path: Path) -> None:
    for path in ("/", f"/changes/{story.change}", "/leaves/1", "/exceptions"):
        told = chromium(tmp_path, address + path, "--dump-dom")
        title = re.search("<title>(.*?)</title>", told)
        assert title, told
        assert "owned" not in title[1]
        assert "<b>" not in told
        assert "<img" not in told
    assert "&lt;script&gt;" in chromium(tmp_path, f"{address}/changes/{story.change}", "--dump-dom")


def test_the_trap_would_show(tmp_path: Path) -> None:
    page = tmp_path / "trap.html"
    page.write_text(f"<title>fine</title>{HOSTILE}")
    assert "owned" in chromium(tmp_path, page.as_uri(), "--dump-dom")


def test_a_report_reads_without_the_server_and_prints(story: Story, tmp_path: Path) -> None:
    page, paper, shot = tmp_path / "change.html", tmp_path / "change.pdf", tmp_path / "change.png"
    page.write_text(report(account(Workspace.here(tmp_path), story.change)))
    assert "Every rule holds." in chromium(tmp_path, page.as_uri(), "--dump-dom")
    chromium(tmp_path, page.as_uri(), f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
    chromium(tmp_path, page.as_uri(), f"--screenshot={shot}")
    assert shot.read_bytes().startswith(b"\x89PNG")
