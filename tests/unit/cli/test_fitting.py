"""What people read fits their terminal: broken between words, a host's name and a command never."""

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from places import BIN, Terminal

from itmp.adapters import posix_log
from itmp.cli import printing
from itmp.cli.fitting import VERB, fold, lay, shown
from itmp.cli.main import app
from itmp.cli.narration import summary
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace import Result

LONG = "prod-web-frontend-04.eu-central-1.compute.internal.example.com"
COMMAND = f"itmp reconcile CHG-9191d1b21b {LONG} ok|failed --reason TEXT"
ROWS = (
    ("2026-11-22T20:00:00Z", "drain", "web1", "failed", "Restart nginx: " + "it is in a bad state " * 9),
    ("2026-11-22T20:00:00Z", "drain", LONG, "unreachable", "Restart nginx"),
    ("2026-11-22T20:00:00Z", "drain", "web2", "ok", ""),
)


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_a_line_is_broken_between_words_alone(width: int) -> None:
    for text in (f"  note: left {LONG} unknown; do this: {COMMAND}", "short", "", "  ", "x" * 300, COMMAND):
        lines = list(fold(text, width, 4))
        assert " ".join(line.strip(" ") for line in lines) == text.strip(" "), "nothing is lost"
        for line in lines:
            body = line.strip(" ")
            assert len(line) <= width or " " not in body or body == COMMAND
        assert all(line.startswith("    ") for line in lines[1:])
    assert list(fold("as it is:  columns  stay", 40)) == ["as it is:  columns  stay"]


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_row_keeps_its_cells_whole(width: int) -> None:
    wide = [max(len(row[n]) for row in ROWS) for n in range(5)]
    for row in ROWS:
        lines = list(lay(row, wide, width))
        for cell in row[:4]:
            assert sum(cell in line.split() for line in lines) == 1, f"{cell} in {lines}"
        assert " ".join(" ".join(lines).split()) == " ".join(" ".join(row).split())
        assert all(len(line) <= width or " " not in line.strip(" ") for line in lines)
    assert list(lay(ROWS[1], wide, 1 << 30)) == [
        "  ".join(c.ljust(w) for c, w in zip(ROWS[1], wide, strict=True)).rstrip()
    ]
    (coloured,) = lay([*ROWS[2][:3], "\x1b[32mok\x1b[0m", "x"], wide, 200)
    (plain,) = lay([*ROWS[2][:4], "x"], wide, 200)
    assert re.sub(r"\x1b\[[0-9]*m", "", coloured) == plain
    assert shown(coloured) == len(plain) < len(coloured)


def test_only_a_command_of_ours_is_kept_whole_and_each_of_several_has_its_own_line() -> None:
    prose = (
        "a " * 20 + "become program is not piped to; itmp pipes what it runs on hosts, which it may not bear"
    )
    assert all(len(line) <= 80 for line in fold(prose, 80))
    several = [f"itmp reconcile ID web{n} ok|failed --reason …" for n in range(1, 5)]
    lines = [
        line.strip(" ")
        for line in fold("Say what became of each of those hosts, then go on: " + "; ".join(several), 80)
    ]
    assert lines == [
        "Say what became of each of those hosts, then go on:",
        *(f"{one};" for one in several[:-1]),
        several[-1],
    ]


def test_every_command_is_known_to_be_one() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    assert [verb for verb in verbs if not VERB.fullmatch(verb)] == []
    assert not VERB.fullmatch("pipes")


class Looked:
    """A workspace over hosts with long names whose run has failed on two of them, and a terminal to look at it on."""

    def __init__(self, root: Path) -> None:
        self.root, self.hosts = root, tuple(LONG.replace("04", f"{n:02}") for n in range(1, 6))
        (root / ".itmp").mkdir(mode=0o700)
        (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
        story = Story(plan=small_plan(hosts=self.hosts))
        genesis = story.log.leaf(0).event
        story.log = posix_log.create(
            root / ".itmp", origin=ORIGIN, genesis=genesis, key=story.key, clock=story.clock
        )
        story.open()
        story.act("approve", "bob")
        permit = story.permit()
        story.say(permit, "run.started", data={"permit": permit.leaf})
        step = story.steps()[0]
        intent = story.intend(permit, step, step.hosts)
        ends = {host: "failed" if n in (1, 3) else "changed" for n, host in enumerate(self.hosts)}
        for host, outcome in ends.items():
            story.result(permit, step, intent.hash, host, outcome=outcome)
        done = {"slice": "drain", "hosts": ends}
        story.say(permit, "slice.finished", step="drain", phase="do", intent=intent.hash, data=done)
        story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": ends})
        story.log.checkpoint()
        self.change = story.change

    def look(self, verb: str, columns: int, *, coloured: bool) -> str:
        """What `itmp VERB CHANGE` shows on a terminal."""
        environ = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
        environ |= {"TERM": "xterm", "PAGER": "cat"} | ({} if coloured else {"NO_COLOR": "1"})
        terminal = Terminal(columns)
        command = [BIN / "itmp", verb, self.change]
        process = subprocess.Popen(command, cwd=self.root, env=environ, **terminal.options())
        return terminal.read(process)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    return Looked(tmp_path_factory.mktemp("looked"))


@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("verb", ["status", "logs"])
def test_what_is_looked_at_fits_and_names_are_whole(
    looked: Looked,
    verb: str,
    columns: int,
    coloured: bool,  # noqa: FBT001 - a parameter
) -> None:
    shown = looked.look(verb, columns, coloured=coloured)
    assert ("\x1b[31mfailed" in shown) == coloured, "a failure is red where colours are wanted"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "\x1b" not in plain
    lines = plain.splitlines()
    assert max(map(len, lines)) <= columns, plain
    words = [word for line in lines for word in line.split()]
    for host, ends in zip(looked.hosts, ("changed", "failed", "changed", "failed", "changed"), strict=True):
        if verb == "logs" or ends == "failed":
            assert host in words, "no name is broken or cut"
    if verb == "status":
        assert f"  next: itmp resume {looked.change} --retry failed,unreachable" in lines


@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize("columns", [80, 200])
def test_a_summary_breaks_neither_names_nor_commands(
    columns: int,
    coloured: bool,  # noqa: FBT001 - as above
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(printing, "wants_colour", lambda _: coloured)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    note = f"CHG-9191d1b21b has left {LONG} unknown, which nobody has looked at for a while; type: {COMMAND}"
    result = Result(
        exit_code=13, change="CHG-9191d1b21b", plan="", run="r", state="failed",
        hosts={LONG: "failed"}, notes=(note, "two\n  lines"), next=(COMMAND,),
        asks=({"step": "confirm", "question": "Is the error rate back to normal? " * 4, "answer": "boolean", "roles": ["sre"]},),
        checks=({"n": 6, "name": "starting state", "outcome": "refused", "why": f"{LONG} has moved " * 3, "do": "Plan anew."},),
    )  # fmt: skip
    lines = summary(result)
    assert any("\x1b[" in line for line in lines) == coloured
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert all(len(line) <= columns or line.strip().removeprefix("next: ") == COMMAND for line in plain), (
        plain
    )
    assert f"  next: {COMMAND}" in plain, "it is copied as one line"
    assert sum(COMMAND in line for line in plain) == 2
    assert sum(line.count(LONG) for line in plain) == 1 + 3 + 1 + 2, (
        "in the hosts, the check, the note, the commands"
    )
