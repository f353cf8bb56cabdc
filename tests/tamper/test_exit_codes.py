"""What `itmp-verify` ends with, case by case: 0, 40, 41, 42, and 2 where the auditor's own folder is at fault."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from attacks import altered as another

from itmp.cli.verify import main
from itmp.errors import EvidenceInvalidError
from itmp.evidence import Trust, archive, verify
from itmp.signing import NoteKey
from itmp.testing.forgery import repacked
from itmp.testing.story import Story, small_plan

Made = tuple[bytes, dict[str, bytes]]


@cache
def closed() -> Made:
    story = Story(plan=small_plan(hosts=["web1"]))
    kept = story.log.checkpoint().note
    story.tell()
    return story.evidence(since=kept), {**story.trust(), "checkpoint": kept}


def trusting(**files: bytes | None) -> Made:
    bundle, trust = closed()
    changed = {**trust, **{name.replace("_", "."): data for name, data in files.items()}}
    return bundle, {name: data for name, data in changed.items() if data is not None}


def open_change() -> Made:
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open()
    return story.evidence(), story.trust()


def without(prefix: str) -> Made:
    bundle, trust = closed()
    gone = {name: None for name in archive.unpack(bundle) if name.startswith(prefix)}
    return repacked(bundle, gone), trust


def altered() -> Made:
    bundle, trust = closed()
    return repacked(bundle, {"leaves/5": another(archive.unpack(bundle)["leaves/5"])}), trust


def forked() -> Made:
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open(seen="1 0RgTD8upVL8lZ2mV4Ezh6B1p9pVfWv2oRkz4pQh0q3Y=")
    return story.evidence(), story.trust()


def running() -> Made:
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    return story.evidence(), story.trust()


def unwitnessed() -> Made:
    bundle, trust = closed()
    witness = NoteKey.generate("witness.example.net/w1", b"w" * 32, algorithm=4)
    policy = trust["log.policy"].replace(b"quorum none\n", b"quorum w1\n")
    return bundle, {**trust, "log.policy": f"witness w1 {witness.vkey}\n".encode() + policy}


def longer() -> Made:
    bundle, trust = closed()
    return bundle + b"\0", trust


def not_handed_over() -> Made:
    bundle, trust = closed()
    return repacked(bundle, {"handovers/2/leaves/0": b"{}"}), trust


def rolled_back() -> Made:
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    bundle, change = story.evidence(), story.change
    story.open(reason="later")
    trust = {**story.trust(), "checkpoint": story.log.checkpoint().note}
    story.change = change
    return bundle, trust


CASES: dict[str, tuple[int, str, Callable[[], Made], list[str]]] = {
    "everything holds": (0, "", closed, []),
    "what was required was brought": (0, "", closed, ["--require", "checkpoint"]),
    "nothing optional was brought or asked for": (0, "", lambda: trusting(checkpoint=None), []),
    "the change is open": (41, "not-closed", open_change, []),
    "the plan's bytes are absent": (41, "plan-absent", lambda: without("plan/"), []),
    "no proof from the kept checkpoint": (41, "consistency-absent", lambda: without("consistency/1-"), []),
    "a checkpoint was required and not brought": (41, "required-absent", open_change, ["--require", "checkpoint"]),
    "a witness was required": (41, "required-absent", closed, ["--require", "witness"]),
    "a time stamp was required": (41, "required-absent", lambda: trusting(tsa_pem=b"x"), ["--require", "tsa"]),
    "a run goes on": (41, "run-not-ended", running, []),
    "no witness has cosigned": (40, "checkpoint-unsigned", unwitnessed, []),
    "a byte follows the end": (40, "archive-altered", longer, []),
    "handovers begin with the second": (40, "period-missing", not_handed_over, []),
    "one byte differs": (40, "leaf-not-included", altered, []),
    "a signer saw another history": (42, "forked", forked, []),
    "the auditor knows more": (42, "rolled-back", rolled_back, []),
    "no log policy": (2, "", lambda: trusting(log_policy=None), []),
    "no genesis": (2, "", lambda: trusting(genesis=None), []),
    "a kept checkpoint of another log": (2, "", lambda: trusting(checkpoint=b"other\n1\nx\n\nx\n"), []),
    "a stranger in the folder": (2, "", lambda: trusting(verify_sh=b"exit 0"), []),
}  # fmt: skip


PLACES: dict[str, str] = {
    "not-closed": "leaf ",
    "plan-absent": "plan/manifest",
    "consistency-absent": "consistency/1-",
    "required-absent": "TRUST/",
    "run-not-ended": "run run-1",
    "checkpoint-unsigned": "checkpoint",
    "archive-altered": "byte ",
    "period-missing": "handovers/",
    "leaf-not-included": "proofs/5",
    "forked": "consistency/1-",
    "rolled-back": "checkpoint",
}


@pytest.mark.parametrize("name", CASES)
def test_exit_code_and_finding(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, finding, make, more = CASES[name]
    bundle, trust = make()
    (tmp_path / "e.tar").write_bytes(bundle)
    (tmp_path / "trust").mkdir()
    for file, data in trust.items():
        (tmp_path / "trust" / file).write_bytes(data)
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "e.tar"), "--trust", str(tmp_path / "trust"), "--json", *more])
    report = json.loads(capsys.readouterr().out)
    assert (ended.value.code, report["exit_code"]) == (code, code)
    if code == 2:
        assert report["error"]
        return
    found = {rule["finding"]: rule for rule in report["rules"] if rule["finding"]}
    assert finding in found or not finding
    assert all(rule["n"] and rule["why"] and rule["place"] for rule in found.values())
    assert "the file" not in {rule["place"] for rule in found.values()}
    assert not finding or found[finding]["place"].startswith(PLACES[finding]), found[finding]["place"]
    assert all(rule["verdict"] in {"broken", "incomplete"} for rule in found.values())
    assert bool(found) == bool(code)


def test_what_was_not_brought_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, trust = open_change()
    (tmp_path / "e.tar").write_bytes(bundle)
    (tmp_path / "trust").mkdir()
    for file, data in trust.items():
        (tmp_path / "trust" / file).write_bytes(data)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "e.tar"), "--trust", str(tmp_path / "trust")])
    out = capsys.readouterr().out
    assert "no kept checkpoint" in out
    assert "no tsa.pem" in out


def test_the_rules_can_be_listed_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--rules"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    for name in ("leaf-not-included", "permit-unfounded", "forked", "rolled-back", "run-not-ended"):
        assert name in listed


def test_a_second_opinion_that_differs_is_failure() -> None:
    """`--strict`: a signature that ours accepts and stock ssh-keygen does not breaks rule 8."""

    def disagrees(*_: object) -> None:
        raise EvidenceInvalidError("ssh-keygen refuses it", where="statement")

    bundle, trust = closed()
    report = verify(bundle, Trust.from_files(trust), strict=disagrees)
    assert report.broken
    assert (report.exit_code, report.broken.n, report.broken.finding) == (40, 8, "statement-invalid")
