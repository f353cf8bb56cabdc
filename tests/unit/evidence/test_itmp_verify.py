import json
import subprocess
import sys
from pathlib import Path

import pytest

from itmp.cli.verify import main
from itmp.testing.story import Story, small_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    (tmp_path / "change.tar").write_bytes(story.evidence())
    (tmp_path / "trust").mkdir()
    for name, data in story.trust().items():
        (tmp_path / "trust" / name).write_bytes(data)
    return tmp_path


def run(folder: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(folder / "change.tar"), "--trust", str(folder / "trust"), *more])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_it_tells_the_story(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 0
    out = capsys.readouterr().out
    for text in ("everything holds", "approve by bob@example.com as approver", "1 changed", "self-attested"):
        assert text in out


def test_strict_asks_ssh_keygen(folder: Path) -> None:
    assert run(folder, "--strict") == 0


def test_json_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["exit_code"]) == ("itmp-report/v1", 0)
    assert [rule["n"] for rule in report["rules"]] == list(range(1, 22))
    assert report["change"]["runs"][0]["hosts"] == {"web1": "changed"}


def test_a_requirement_that_is_not_met_is_41(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--require", "witness") == 41
    assert "INCOMPLETE" in capsys.readouterr().out


def test_a_broken_file_is_40_and_names_the_rule(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((folder / "change.tar").read_bytes())
    data[5000] ^= 1
    (folder / "change.tar").write_bytes(bytes(data))
    assert run(folder) == 40
    assert "BROKEN" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["change.tar", "trust/genesis", "trust/log.policy"])
def test_what_cannot_be_read_is_a_usage_error(
    folder: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / missing).unlink()
    assert run(folder) == 2
    assert Path(missing).name in capsys.readouterr().err


def test_text_from_the_file_cannot_drive_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open()
    story.act("approve", "bob")
    permit = story.permit(run="run\u202e\x1b[31m")
    story.execute(permit)
    story.close()
    (folder / "change.tar").write_bytes(story.evidence())
    assert run(folder) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_it_starts_without_executor_workspace_or_extras(folder: Path) -> None:
    probe = (
        "import sys; from itmp.cli.verify import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as ended: code = ended.code\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in {'ansible', 'pulumi', 'boto3', 'paramiko', 'grpc'}\n"
        "       or m.startswith(('itmp.execution', 'itmp.workspace', 'itmp.testing', 'itmp.lab'))]\n"
        "print(bad, file=sys.stderr); sys.exit(code or len(bad))"
    )
    call = [sys.executable, "-c", probe, str(folder / "change.tar"), "--trust", str(folder / "trust")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
