"""An answer that is read while it is printed: whole or an error, never half an object or a traceback."""

import errno
import json
import os
from collections.abc import Iterator

import pytest
import typer

from itmp.cli.printing import Answer, verb
from itmp.errors import EvidenceInvalidError


def counted(until: int, *, fails: bool) -> Iterator[dict[str, int]]:
    yield from ({"n": n} for n in range(until))
    if fails:
        raise EvidenceInvalidError("a leaf is not what was signed", where="leaf 7")


@verb
def told(until: int = 3, fails: bool = False, json: bool = False) -> Answer:  # noqa: ARG001, FBT001, FBT002 - as verbs are
    return Answer(
        data={"a": 1, "list": counted(until, fails=fails), "z": [None]},
        lines=(f"line {one['n']}" for one in counted(until, fails=fails)),
    )


def run(**options: object) -> int:
    with pytest.raises(typer.Exit) as ended:
        told(**options)  # type: ignore[arg-type]  # as typer passes them
    return ended.value.exit_code


@pytest.mark.parametrize("until", [0, 1, 3])
def test_a_long_answer_is_one_object(until: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(until=until, json=True) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out == json.dumps(json.loads(out), sort_keys=True) + "\n"
    assert json.loads(out)["list"] == [{"n": n} for n in range(until)]


def test_what_fails_while_it_is_read_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fails=True, json=True) == 40
    found = json.loads(capsys.readouterr().out)
    assert (found["exit_code"], found["error"]["where"]) == (40, "leaf 7")
    assert run(fails=True) == 40
    plain = capsys.readouterr()
    assert plain.out.splitlines() == ["line 0", "line 1", "line 2"]
    assert "leaf 7: a leaf is not what was signed" in plain.err
    assert "Traceback" not in plain.err


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 17), (errno.EDQUOT, 17), (errno.EIO, 70)])
def test_a_full_disk_is_the_operators_matter_and_no_bug(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    @verb
    def full(json: bool = False) -> Answer:  # noqa: ARG001, FBT001, FBT002 - as verbs are
        raise OSError(number, os.strerror(number), "/srv/tmp/layout")

    with pytest.raises(typer.Exit) as ended:
        full(json=True)
    assert ended.value.exit_code == code
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == code
    assert (told["error"].get("where") == "/srv/tmp/layout") is (code == 17)
