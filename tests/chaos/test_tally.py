"""A tally of harms is judged by its hits alone."""

import json
import os
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from plays import ACTS
from tally import Attempt, main, met, note, read, table, unmet, wrong

HIT = Attempt(
    test="t",
    prey="role",
    harm="kill_ssh",
    command="run",
    moment="run.started",
    under=["handler"],
    what="7 ssh",
    hit=True,
    code=0,
    seconds=1.0,
)
MISS = replace(HIT, hit=False, what="nothing")


def test_hits_alone_count_towards_the_moments() -> None:
    assert wrong(table([HIT] * 4), 4) == []
    assert wrong(table([HIT] * 4 + [MISS]), 5) == ["4 hits, 5 were to be made"]


def test_a_harm_that_seldom_hits_is_blunt() -> None:
    assert wrong(table([HIT] * 3 + [MISS] * 6), 3) == []
    assert wrong(table([HIT] * 3 + [MISS] * 7), 3) == ["kill_ssh hit 3 times in 10 attempts"]
    assert wrong(table([HIT] + [MISS] * 6), 1) == []
    assert wrong(table([MISS]), 0) == ["kill_ssh hit 0 times in 1 attempts"]


def test_many_moments_must_meet_every_kind_of_act_and_command() -> None:
    kinds = sorted({act.kind for act in ACTS.values()})
    whole = [replace(HIT, command=word, under=kinds) for word in ("run", "resume", "undo")]
    assert unmet(met(whole), 200) == []
    assert unmet(met([replace(whole[0], under=["handler", "handler"])]), 10) == []
    lacking = [*whole[:2], replace(whole[2], hit=False), replace(whole[0], under=[])]
    assert met(lacking)["handler"] == 2
    assert unmet(met(lacking), 200) == ["no strike met itmp undo"]
    assert "no strike met rescue" in unmet(met([HIT]), 200)


def test_several_processes_share_a_tally_and_its_end_is_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tally"
    for one in (HIT, replace(HIT, code=13), MISS):
        note(str(path), one)
    assert read(path) == [HIT, replace(HIT, code=13), MISS]
    assert json.loads(path.read_text().splitlines()[2]) == asdict(MISS)
    assert main(str(path), "2") == 0
    assert "kill_ssh                 3         2         1" in capsys.readouterr().out
    assert main(str(path), "3") == 1
    assert "CHAOS: 2 hits, 3 were to be made" in capsys.readouterr().out
    assert main(str(tmp_path / "none"), "1") == 1


def test_without_root_chaos_is_refused_and_not_passed_over() -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    text = (Path(__file__).parents[2] / "Makefile").read_text()
    done = subprocess.run(
        [*nobody, "make", "-f", "-", "test-chaos"],
        input=text, cwd="/", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "needs root" in done.stderr
