"""What a person's terminal and a pipeline's parser get: one object, colours where wanted, nothing that bites."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from places import BIN, PATIENCE, Place, Terminal, rolling

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


def test_with_json_every_verb_answers_with_one_object(place: Place) -> None:
    change = place.propose(rolling("one", batches=(3,)))
    held = place.propose(rolling("one", batches=(3,)), "--external", "EXT-1")
    place.write("r.yml", rolling("one"))
    for host in ("web1", "web2", "web3"):
        place.write(f"records/{host}/clock", "2026-11-28T00:00:00+0000\n")
    (place.root / "a.plan.tar").write_bytes((place.root.parent / "r.plan.tar").read_bytes())
    place.json("signers", "add", "dave@example.com", "carol.pub", "--role", "sre", "-o", "p.yml", expect=2)
    policy = (place.root / "policy.yml").read_text()
    place.write("q.yml", policy + "# another version\n")
    digest = place.json("policy", "propose", "q.yml", "--key", "alice")["policy"]
    answers: dict[str, dict[str, Any]] = {}
    alice, bob = ("--key", "alice"), ("--key", "bob")
    story: dict[str, tuple[str, ...]] = {
        "init": (), "validate": ("r.yml",), "schema": ("runbook",), "plan": ("r.yml", "-o", "b.plan.tar"),
        "show": ("a.plan.tar",), "diff": ("a.plan.tar", "b.plan.tar"), "propose": ("r.yml", "--reason", "x", *alice),
        "change open": ("a.plan.tar", "--reason", "x", "--external", "EXT-2", *alice), "change list": (),
        "change show": (change,), "statement": (change, "--signer", "carol@example.com"), "approve": (change, *bob),
        "run": (change, *alice), "status": (change,), "logs": (change,), "wait": (change,), "undo": (change, *alice),
        "resume": (change, *alice), "stop": (change, "--reason", "x", *alice),
        "reconcile": (change, "web1", "ok", "--reason", "x", *alice),
        "change review": (change, "--reason", "x", *alice), "change close": (change, "--reason", "x", *alice),
        "evidence": (change, "-o", "e.tar"), "reject": (held, *bob), "revoke": (held, *bob),
        "change cancel": (held, "--reason", "x", *alice), "audit list": (), "audit reindex": (), "audit show": ("0",), "audit verify": (),
        "audit checkpoint": (), "policy show": (), "policy propose": ("q.yml", *bob), "policy sign": (digest, *alice),
        "policy test": ("a.plan.tar",), "signers list": (), "signers add": ("erin@example.com", "alice.pub", "--role", "sre"),
        "signers remove": ("carol@example.com", "-o", "s.yml"), "hosts scan": (), "hosts list": (), "doctor": (),
        "audit population": (), "audit sample": ("--seed", "s"), "audit access": (), "audit exceptions": (),
        "audit export": ("-o", "trail.jsonl"), "audit report": (change, "-o", "change.html"),
        "audit reconcile": ("--records", "records"), "answer": (change, "ask", "true", *alice),
        "audit open": ("0",), "audit redact": ("0", "/diff", "--reason", "x", *alice), "audit retention": (),
        "audit restore": (".itmp/log", "--check"), "audit health": (), "audit archive": (),
        "engine status": (), "audit anchor": (), "witness key": ("w1.example.net", "--state", "w1"),
    }  # fmt: skip
    assert {*story, *NOT_HERE} == set(verbs(typer.main.get_command(app)))
    for verb, words in story.items():
        answers[verb] = _object(place, verb, words)
    for verb, words in WRONG.items():
        assert _object(place, verb, words)["exit_code"] in {2, 15}, verb
    wrong = {
        verb: answer
        for verb, answer in answers.items()
        if answer["exit_code"]
        and verb
        not in {
            "init",
            "undo",
            "resume",
            "stop",
            "reconcile",
            "signers add",
            "engine status",
            "answer",
            "audit open",
            "audit redact",
        }
        and (verb, answer["exit_code"]) != ("audit reconcile", 41)  # this change left questions open
    }
    assert wrong == {}
    assert {"exit_code", "retryable", "retry_at", "change", "plan", "run", "checks", "hosts"} <= set(
        answers["run"]
    )


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
