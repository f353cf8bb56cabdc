"""What a person's terminal and a pipeline's parser get: one object, colours where wanted, nothing that bites."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from places import BIN, PATIENCE, WEB, Place, Terminal, rolling

from itmp.cli.main import app

pytestmark = pytest.mark.fleet

ESCAPE = "\x1b"
HOSTILE = "first\u2028\x1b[31mred\x1b]0;title\x07 \u202eevil\u2066 \x9b2J fin"
NOT_HERE = {
    "demo": "its own test runs it",
    "engine install": "builds the engine",
    "lab up": "tests of the lab",
    "lab down": "tests of the lab",
    "lab exec": "tests of the lab",
    "lab prepare": "builds a Debian system",
    "audit serve": "serves until it is ended; tests of the viewer",
    "witness serve": "serves until it is ended; tests of anchors",
    "patch resolve": "tests of patches, on namespace hosts",
    "audit rotate": "ends the log; tests of rotation",
    "audit revoke-key": "ends the log; tests of rotation",
    "audit separate": "makes an account; tests of anchors",
}
WRONG = {
    "show": ("nowhere.plan.tar",), "diff": ("a.plan.tar", "none.plan.tar"), "validate": ("none.yml",), "plan": ("none.yml",),
    "schema": ("nonsense",), "run": ("CHG-0000000000",), "propose": ("none.yml", "--reason", "x"), "audit show": ("99999",),
    "evidence": ("CHG-0000000000", "-o", "x.tar"), "policy sign": ("sha256:00",), "init": (), "hosts scan": ("-i", "none.yml"),
}  # fmt: skip


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every command of the program by its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path)
    else:
        for name, one in inner.items():
            yield from verbs(one, (*path, name))


ALICE, BOB = ("--key", "alice"), ("--key", "bob")
CHAPTERS: dict[str, dict[str, tuple[str, ...]]] = {
    "before a run": {
        "init": (), "validate": ("r.yml",), "schema": ("runbook",), "plan": ("r.yml", "-o", "b.plan.tar"),
        "show": ("a.plan.tar",), "diff": ("a.plan.tar", "b.plan.tar"), "propose": ("r.yml", "--reason", "x", *ALICE),
        "change open": ("a.plan.tar", "--reason", "x", "--external", "EXT-2", *ALICE), "change list": (),
        "reject": ("HELD", *BOB), "revoke": ("HELD", *BOB), "change cancel": ("HELD", "--reason", "x", *ALICE),
        "policy show": (), "policy propose": ("q.yml", *BOB), "policy sign": ("POLICY", *ALICE),
        "policy test": ("a.plan.tar",), "signers list": (), "signers add": ("erin@example.com", "alice.pub", "--role", "sre"),
        "signers remove": ("carol@example.com", "-o", "s.yml"), "hosts scan": (), "hosts list": (), "doctor": (),
        "engine status": (), "witness key": ("w1.example.net", "--state", "w1"),
    },
    "a run": {
        "change show": ("CHANGE",), "statement": ("CHANGE", "--signer", "carol@example.com"), "approve": ("CHANGE", *BOB),
        "run": ("CHANGE", *ALICE), "status": ("CHANGE",), "logs": ("CHANGE",), "wait": ("CHANGE",), "undo": ("CHANGE", *ALICE),
        "resume": ("CHANGE", *ALICE), "stop": ("CHANGE", "--reason", "x", *ALICE),
        "reconcile": ("CHANGE", "web1", "ok", "--reason", "x", *ALICE),
        "change review": ("CHANGE", "--reason", "x", *ALICE), "change close": ("CHANGE", "--reason", "x", *ALICE),
        "evidence": ("CHANGE", "-o", "e.tar"), "audit report": ("CHANGE", "-o", "change.html"),
        "audit reconcile": ("--records", "records"), "answer": ("CHANGE", "ask", "true", *ALICE),
    },
    "the trail of a run": {
        "audit list": (), "audit reindex": (), "audit show": ("0",), "audit verify": (), "audit checkpoint": (),
        "audit population": (), "audit sample": ("--seed", "s"), "audit access": (), "audit exceptions": (),
        "audit export": ("-o", "trail.jsonl"),
        "audit open": ("0",), "audit redact": ("0", "/diff", "--reason", "x", *ALICE), "audit retention": (),
        "audit restore": (".itmp/log", "--check"), "audit health": (), "audit archive": (), "audit anchor": (),
    },
}  # fmt: skip
"""Each verb with its words, in an order in which most of them do something; a chapter has a workspace of its own."""
MAY_REFUSE = {
    "init", "undo", "resume", "stop", "reconcile", "signers add", "engine status", "answer", "audit open", "audit redact",
}  # fmt: skip


def test_every_verb_is_in_a_chapter_or_has_its_own_tests() -> None:
    told = [verb for chapter in CHAPTERS.values() for verb in chapter]
    assert sorted([*told, *NOT_HERE]) == sorted(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_with_json_every_verb_answers_with_one_object(place: Place, chapter: str) -> None:
    means = _prepared(place, chapter)
    answers = {
        verb: _object(place, verb, tuple(means.get(word, word) for word in words))
        for verb, words in CHAPTERS[chapter].items()
    }
    wrong = {
        verb: answer
        for verb, answer in answers.items()
        if answer["exit_code"]
        and verb not in MAY_REFUSE
        and (verb, answer["exit_code"]) != ("audit reconcile", 41)  # this change left questions open
    }
    assert wrong == {}
    if "run" in answers:
        expected = {"exit_code", "retryable", "retry_at", "change", "plan", "run", "checks", "hosts"}
        assert expected <= set(answers["run"])


def _prepared(place: Place, chapter: str) -> dict[str, str]:
    """Make what a chapter's words name; return what those in capitals stand for."""
    change = place.propose(rolling("one", batches=(3,)))
    place.write("r.yml", rolling("one"))
    (place.root / "a.plan.tar").write_bytes((place.root.parent / "r.plan.tar").read_bytes())
    if chapter == "a run":
        for host in WEB:
            place.write(f"records/{host}/clock", "2026-11-28T00:00:00+0000\n")
        return {"CHANGE": change}
    if chapter == "the trail of a run":
        place.approve(change)
        place.run(change)
        return {}
    held = place.propose(rolling("one", batches=(3,)), "--external", "EXT-1")
    place.json("signers", "add", "dave@example.com", "carol.pub", "--role", "sre", "-o", "p.yml", expect=2)
    place.write("q.yml", (place.root / "policy.yml").read_text() + "# another version\n")
    return {"HELD": held, "POLICY": place.json("policy", "propose", "q.yml", "--key", "alice")["policy"]}


def test_with_json_a_refusal_is_one_object_too(place: Place) -> None:
    (place.root / "a.plan.tar").write_bytes(b"")
    for verb, words in WRONG.items():
        assert _object(place, verb, words)["exit_code"] in {2, 15}, verb


def _object(place: Place, verb: str, words: tuple[str, ...]) -> dict[str, Any]:
    done = place.itmp(*verb.split(), *words, "--json")
    assert done.out.count("\n") == 1, (verb, done)
    answer = done.json
    assert answer["schema"].startswith("itmp-"), verb
    assert answer["exit_code"] == done.rc, verb
    if done.rc and not {"checks", "findings", "problems", "disagreements"} & set(answer):
        assert answer["error"]["what"], verb
        assert set(answer["error"]) == {"type", "what", "where", "do"}, verb
    return answer


@pytest.mark.parametrize(
    "words", [("run",), ("no-such-verb",), ("run", "a", "b"), ("run", "a", "--no-such-option")]
)
def test_a_wrong_command_line_is_answered_in_json_too(place: Place, words: tuple[str, ...]) -> None:
    done = place.itmp(*words, "--json", expect=2)
    assert done.json["error"]["what"]
    plain = place.itmp(*words, expect=2)
    assert plain.out == ""
    assert "Usage" in plain.err


def test_colours_are_for_terminals_that_want_them(place: Place) -> None:
    change = place.propose(rolling("one"))
    words = ("run", change, "--key", "alice")
    assert ESCAPE not in "".join((piped := place.itmp(*words, expect=10, NO_COLOR="")).out + piped.err)
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb", "NO_COLOR": ""}):
        terminal = Terminal()
        place.environ |= {"TERM": "xterm", **unwanted}
        assert ESCAPE not in terminal.read(place.start(*words, **terminal.options()))
    place.environ |= {"TERM": "xterm", "NO_COLOR": ""}
    shown = {}
    for columns in (80, 200):
        terminal = Terminal(columns)
        shown[columns] = terminal.read(place.start(*words, **terminal.options()))
        assert f"{ESCAPE}[31mrefused{ESCAPE}[0m" in shown[columns]
        bare = re.sub(r"\x1b\[\d+m", "", shown[columns])
        assert ESCAPE not in bare
        assert f"itmp approve {change}" in bare
    assert shown[80] == shown[200], "no line is cut or wrapped by us: the terminal does that"


def test_a_reader_that_leaves_early_is_no_failure(place: Place) -> None:
    for n in range(3):
        place.propose(rolling("one"), "--external", f"EXT-{n}")
    for words in (["audit", "list"], ["audit", "list", "--json"], ["change", "list"]):
        for reader in (["head", "-1"], ["true"]):
            writer = subprocess.Popen(
                [BIN / "itmp", *words],
                cwd=place.root,
                env=place.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            place.running.append(writer)
            assert writer.stdout is not None
            assert writer.stderr is not None
            subprocess.run(
                reader, stdin=writer.stdout, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE
            )
            writer.stdout.close()
            with writer.stderr:
                assert writer.stderr.read() == b""
            assert writer.wait(PATIENCE) == 0


def test_nothing_from_a_host_reaches_the_terminal_raw(place: Place) -> None:
    (place.on("web1") / "say").write_text(HOSTILE)
    document = (
        rolling("one", hosts="web1").replace("/act one", "/say-it").replace("builtin.raw", "builtin.command")
    )
    (place.on("web1") / "say-it").write_text(
        'cat "$(dirname "$0")/say" >&2; cat "$(dirname "$0")/say"; exit 3\n'
    )
    change = place.ready(document)
    place.environ |= {"TERM": "dumb"}  # what a view that repaints shows is another test's
    terminal = Terminal(200)
    shown = [terminal.read(place.start("run", change, "--key", "alice", "-v", **terminal.options()))]
    for words in (
        ("logs", change),
        ("status", change),
        ("change", "show", change),
        ("audit", "list"),
        ("audit", "show", "8"),
    ):
        terminal = Terminal(200)
        shown.append(terminal.read(place.start(*words, **terminal.options())))
    assert "red" in shown[0]
    assert "evil" in shown[1]
    for text in shown:
        assert not set("\x1b\x07\x9b\u202e\u2066\u2028") & set(text), text
    for words in (("logs", change, "--json"), ("audit", "list", "--json")):
        out = place.itmp(*words, expect=0).out
        assert out.isascii()
        assert json.loads(out)
