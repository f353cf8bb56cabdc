"""The auditor's pages in a real Chromium: hostile text runs nothing, and what is on screen is what was logged."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from devtools import FLAGS, program, tab
from fastapi.routing import APIRoute

from itmp.documents.text import visible
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story, small_plan
from itmp.viewer import application, report
from itmp.viewer.account import account
from itmp.workspace import Workspace

pytestmark = pytest.mark.browser

TRAP = "document.title = 'owned'"
HOSTILE = f'<script>{TRAP}</script> <img src=x onerror="{TRAP}"> <b>bold</b>'
# What a host may answer, in a result's message: an ANSI colour and title, a turned direction, line ends of three kinds.
SAID = f"said \x1b[31mred\x1b]0;owned\x07 \u202eevil\u2066 first\u2028second\u2029 \u200b\x9b2J {HOSTILE} end"
DECEIVING = set("\x1b\x07\x9b\u200b\u202e\u2066\u2028\u2029")


@pytest.fixture
def story(tmp_path: Path) -> Story:
    made = story_on_disk(tmp_path, roots=["alice"])  # an exception to be listed
    made.open(reason=HOSTILE)
    made.act("approve", "bob")
    tell_run(made)
    made.close()
    made.log.checkpoint()  # pages sign nothing
    (tmp_path / "report.html").write_text(report(account(Workspace.here(tmp_path), made.change)))
    return made


def tell_run(story: Story) -> None:
    """Tell a whole run of one slice, in which a host answers with hostile text."""
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    intent = story.intend(permit, step, step.hosts)
    task, hosts = step.expected[0], dict.fromkeys(step.hosts, "ok")
    for host in hosts:
        where = {"path": task.path, "line": task.line, "name": task.name}
        words: dict[str, Any] = {"target": {"kind": "host", "id": host}, "data": {**where, "message": SAID}}
        one = {"step": step.id, "phase": "do", "intent": intent.hash, "action": task.action, "outcome": "ok"}
        story.say(permit, "action.finished", rc=0, **one, **words)
    done = {"slice": (intent.leaf.event.data or {})["slice"], "hosts": hosts}
    story.say(permit, "slice.finished", step=step.id, phase="do", intent=intent.hash, data=done)
    story.say(permit, "run.finished", outcome="ok", data={"state": "succeeded", "hosts": hosts})


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


def pages(story: Story) -> dict[str, str]:
    """Every kind of page, by a name for it; lists are opened with and without something to find."""
    return {
        "changes": "/",
        "search": "/?q=alice&start=2026-11-22",
        "nothing found": "/?q=nobody",
        "change": f"/changes/{story.change}",
        "leaf": "/leaves/1",
        "exceptions": "/exceptions",
        "access": "/access",
        "log": "/log",
        "not there": "/changes/CHG-0000000000",
        "refused": "/?start=yesterday",
    }


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scripts", [True, False], ids=["JavaScript", "no JavaScript"])
def test_every_page_fits_and_says_nothing_on_the_console(
    address: str, story: Story, tmp_path: Path, *, width: int, scripts: bool
) -> None:
    seen = {one.path for one in application(Workspace.here(tmp_path)).routes if isinstance(one, APIRoute)}
    opened = {
        re.sub(r"(/changes/|/leaves/).*", r"\1{}", path.partition("?")[0]) for path in pages(story).values()
    }
    known = {re.sub("{.*}", "{}", path) for path in seen}
    assert known - opened == {"/changes/{}/report", "/style.css"}, "every kind of page is opened"
    shots = Path(os.environ.get("ITMP_SHOTS", tmp_path))
    with tab(tmp_path) as page:
        for name, path in pages(story).items():
            page.open(address + path, width=width, scripts=scripts)
            page.shot(shots / f"{name}-{width}-{'with' if scripts else 'without'}.png")
            found = [line for line in page.told if not refused(name, line)]
            assert not found, (name, found)
            assert page.size()[0] <= width, f"{name} is {page.size()[0]} wide"
        page.open((tmp_path / "report.html").as_uri(), width=width, scripts=scripts)
        page.shot(shots / f"report-{width}-{'with' if scripts else 'without'}.png")
        assert not page.told
        assert page.size()[0] <= width


def refused(name: str, line: str) -> bool:
    """The browser notes an answer that is no 200: that is what these two pages are."""
    return (
        name in {"not there", "refused"}
        and "Failed to load resource: the server responded with a status" in line
    )


def test_what_is_wrong_with_a_page_would_show(tmp_path: Path) -> None:
    page = tmp_path / "wrong.html"
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    page.write_text(
        f"{policy}<title>x</title><script>1</script><div style='width:900px'>x</div><pre>{'x' * 300}"
    )
    with tab(tmp_path) as found:
        found.open(page.as_uri(), width=400, scripts=True)
        assert any("Content Security Policy" in line for line in found.told)
        assert found.size()[0] > 400


def chromium(tmp_path: Path, url: str, *words: str) -> str:
    done = subprocess.run(
        [
            program(),
            *FLAGS,
            "--window-size=1200,1600",
            f"--user-data-dir={tmp_path / 'profile'}",
            *words,
            url,
        ],
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


def test_what_a_host_said_can_neither_hide_nor_turn_what_is_read(
    address: str, story: Story, tmp_path: Path
) -> None:
    said = next(leaf for leaf in story.log.leaves() if SAID.encode("utf-8")[:5] in leaf.data)
    assert (said.event.data or {})["message"] == SAID, "the log keeps it as it came"
    told = {
        "list": (f"{address}/", ""),
        "change": (f"{address}/changes/{story.change}", visible(SAID)),
        "leaf": (f"{address}/leaves/{said.index}", r"\u2028second\u2029"),
        "report": ((tmp_path / "report.html").as_uri(), visible(SAID)),
    }
    with tab(tmp_path) as page:
        for name, (url, shown) in told.items():
            page.open(url, width=1280, scripts=True)
            source, text = (
                page.read("document.documentElement.outerHTML"),
                page.read("document.body.innerText"),
            )
            assert not DECEIVING & set(source + text), (name, DECEIVING & set(source + text))
            assert shown in text, (name, "is written out, where it is read")
            assert HOSTILE in text or name == "leaf", name
            assert page.read("document.querySelectorAll('script, img, b').length") == "0", name
            assert "owned" not in page.read("document.title"), name


def test_a_turned_direction_would_show(tmp_path: Path) -> None:
    page = tmp_path / "turned.html"
    page.write_text(f"<meta charset=utf-8><title>x</title><pre>{escape(SAID)}</pre>")
    with tab(tmp_path) as found:
        found.open(page.as_uri(), width=1280, scripts=True)
        assert set("\x1b\u202e\u2028") <= set(found.read("document.documentElement.outerHTML"))
        assert set("\u202e\u2028") <= set(found.read("document.body.innerText"))


def test_the_trap_would_show(tmp_path: Path) -> None:
    page = tmp_path / "trap.html"
    page.write_text(f"<title>fine</title>{HOSTILE}")
    assert "owned" in chromium(tmp_path, page.as_uri(), "--dump-dom")


LONG = "web-with-a-name-that-no-column-of-a-page-holds.rack-0000.row-00.hall-0.site-of-the-house.example.com"


def told_at_length(story: Story) -> None:
    """Tell a change whose timeline is wider than paper: long hosts and, in its last column, the last words of each row."""
    story.plan = small_plan(hosts=[f"{n}.{LONG}" for n in range(2)])
    story.open(reason="wide")
    story.act("approve", "bob")
    tell_run(story)
    story.close()
    story.log.checkpoint()


def test_printed_pages_lose_no_column(address: str, story: Story, tmp_path: Path) -> None:
    """A served page, on A4: what scrolls on a screen is wrapped on paper, down to the last cell of the widest table."""
    told_at_length(story)
    url, paper = f"{address}/changes/{story.change}", tmp_path / "change.pdf"
    with tab(tmp_path / "tab") as page:
        page.open(url, width=600, scripts=True)
        widest = (
            "[...document.querySelectorAll('.wide table')]"
            ".sort((a, b) => b.scrollWidth - a.scrollWidth || b.rows.length - a.rows.length)[0]"
        )
        heads = page.read(f"[...{widest}.rows[0].cells].map(c => c.innerText).join('|')").split("|")
        said = page.read(f"[...{widest}.rows].map(r => r.cells[r.cells.length - 1].innerText).join('|')")
        wide = page.read(f"{widest}.scrollWidth")
    assert heads[-1] == "what"
    assert int(wide) > 800, wide
    chromium(tmp_path, url, f"--print-to-pdf={paper}")
    text = subprocess.run(
        ["pdftotext", "-layout", paper, "-"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert " ".join(heads) in lines, text
    cells = {cell for cell in said.split("|") if cell.strip() and cell != heads[-1]}
    assert cells
    for words in (part for cell in cells for part in (cell.split()[:2], cell.split()[-2:])):
        assert any(" ".join(words) in line for line in lines), (words, text)


def test_a_report_reads_without_the_server_and_prints(story: Story, tmp_path: Path) -> None:
    page, paper, shot = tmp_path / "change.html", tmp_path / "change.pdf", tmp_path / "change.png"
    page.write_text(report(account(Workspace.here(tmp_path), story.change)))
    assert "Every rule holds." in chromium(tmp_path, page.as_uri(), "--dump-dom")
    chromium(tmp_path, page.as_uri(), f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
    chromium(tmp_path, page.as_uri(), f"--screenshot={shot}")
    assert shot.read_bytes().startswith(b"\x89PNG")
