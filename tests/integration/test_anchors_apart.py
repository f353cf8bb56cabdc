"""An anchor that another account keeps: the log's own account cannot make it forget, and a rollback shows against it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.hosts, pytest.mark.skipif(os.getuid() != 0, reason="needs root")]

STORY = Path(__file__).with_name("apart_story.py")


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    call = ["unshare", "--mount", "--propagation", "private", sys.executable, str(STORY)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_follows_signed_acts_and_says_whose_it_is(seen: dict[str, Any]) -> None:
    assert seen["first"]["exit"] == seen["grown"]["exit"] == 0
    assert (seen["first"]["anchor"]["size"], seen["grown"]["anchor"]["size"]) == (1, 3)
    assert seen["grown"]["anchor"]["tail"] == 0
    assert seen["grown"]["anchor"]["note"] == "kept by account itmp-anchor, which this account cannot act as"
    assert seen["root"]["anchor"]["note"] == "kept by account itmp-anchor; root could change it still"


def test_the_logs_own_account_can_change_nothing_there(seen: dict[str, Any]) -> None:
    assert {name for name, code in seen["attacks"].items() if code == 0} == set()
    assert len(seen["attacks"]) == 9
    assert seen["owners"] == ["itmp-anchor"]
    assert seen["unchanged"]
    assert seen["separate"] == 15


def test_the_keeper_refuses_what_does_not_continue_even_with_the_logs_key(seen: dict[str, Any]) -> None:
    assert {name: answer.split()[0] for name, answer in seen["forged"].items()} == {
        "beyond": "fork:",
        "same size": "fork:",
        "before": "fork:",
        "from nothing": "newest",
        "unsigned": "refused:",
        "noise": "refused:",
    }


def test_a_rollback_of_everything_is_named_and_nothing_more_is_signed(seen: dict[str, Any]) -> None:
    assert seen["rolled back"]["exit"] == 42
    assert seen["rolled back"]["findings"] == [["rolled-back", "anchor directory"]]
    assert (seen["act"]["exit_code"], seen["act"]["error"]["where"]) == (42, "anchor directory")
    assert seen["still unchanged"]
