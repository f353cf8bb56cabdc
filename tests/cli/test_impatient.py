"""What an impatient person types: in an empty folder, without a log, with wrong words; each answer says what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).with_name("itmp")
VERBS = (
    "show nope", "propose x.yml --reason t", "approve nope", "statement nope --signer a@example.com", "statement add a b",
    "run nope", "reconcile nope h maybe --reason x", "status nope", "logs nope", "wait nope --for never",
    "evidence nope -o e.tar", "audit show 99", "policy propose nope",
)  # fmt: skip


def itmp(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run([BIN, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in ("empty", "nolog", "fresh")}
    (made["nolog"] / "itmp.yml").write_text("organization: example.com\n")
    key = made["fresh"] / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    done = itmp(
        made["fresh"], "init", "--key", "key", "--organization", "example.com", "--signer", "a@example.com"
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("where", ["empty", "nolog"])
def test_without_a_workspace_or_a_log_the_next_command_is_named(places: dict[str, Path], where: str) -> None:
    for words in ("run nope", "status nope"):
        done = itmp(places[where], *words.split())
        assert done.returncode == 2, done
        assert "itmp init" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", VERBS)
def test_what_is_not_there_is_named_with_the_next_command(places: dict[str, Path], words: str) -> None:
    done = itmp(places["fresh"], *words.split(), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 2, told
    assert told["error"]["what"]
    assert told["error"]["do"]
    assert "Traceback" not in done.stderr


def test_a_wrong_command_line_gets_an_example(places: dict[str, Path]) -> None:
    for words, example in (
        ("stop nope", "itmp stop CHG-"),
        ("status", "itmp status CHG-"),
        ("run a b", "itmp run CHG-"),
    ):
        done = itmp(places["fresh"], *words.split())
        assert done.returncode == 2
        assert f"For example: {example}" in done.stderr
        told = itmp(places["fresh"], *words.split(), "--json")
        assert json.loads(told.stdout)["error"]["do"].startswith(f"For example: {example}")
