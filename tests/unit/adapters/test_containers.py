"""What an engine is asked, whichever it is: engines here are small programs that note their arguments."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from itmp.adapters import containers
from itmp.adapters.containers import Container, Image
from itmp.errors import InvalidInputError, StaleError, ToolMissingError

DIGEST = f"sha256:{'ab' * 32}"
NAME = f"registry.example.org:5000/team/ee@{DIGEST}"


def engine(folder: Path, kind: str, answers: dict[str, object], rc: int = 0) -> Path:
    """Write an engine that answers `image inspect` and `image ls`, and notes every call in `calls`."""
    program = folder / kind
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open({str(folder / 'calls')!r}, 'a').write({kind!r} + ' ' + ' '.join(sys.argv[1:]) + '\\n')\n"
        f"answers = {answers!r}\n"
        "text = answers.get(' '.join(sys.argv[1:3]))\n"
        f"print(text) if text is not None else (print('no such thing', file=sys.stderr), sys.exit({rc} or 125))\n"
    )
    program.chmod(0o755)
    return program


def told(digest: str = DIGEST, **more: object) -> str:
    return json.dumps([{"Id": "1d" * 32, "Digest": digest, "RepoDigests": [f"x@{digest}"], **more}])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_podman_is_preferred_and_the_id_is_what_runs(path: Path) -> None:
    engine(path, "podman", {"image inspect": told()})
    engine(path, "docker", {"image inspect": told()})
    assert containers.find(NAME) == Image(name=NAME, engine=str(path / "podman"), id="1d" * 32)


def test_docker_is_taken_where_podman_does_not_have_the_image(path: Path) -> None:
    engine(path, "podman", {})
    engine(path, "docker", {"image inspect": json.dumps([{"Id": "2e", "RepoDigests": [NAME]}])})
    found = containers.find(NAME)
    assert (found.kind, found.id) == ("docker", "2e")


def test_a_missing_image_says_what_each_engine_said_and_what_is_here_instead(path: Path) -> None:
    other = f"sha256:{'cd' * 32}"
    engine(path, "podman", {"image ls": other})
    engine(path, "docker", {})
    with pytest.raises(ToolMissingError) as caught:
        containers.find(NAME)
    assert f"is here as {other}, which is another image" in caught.value.what
    assert "podman: no such thing; docker: no such thing" in caught.value.what
    assert (caught.value.do, caught.value.exit_code) == (f"Type: podman pull {NAME}", 17)


@pytest.mark.parametrize("answer", ["", "{}", "[]", "[1]", '[{"Id": "x"}]', "[" + told() + "]"])
def test_an_answer_that_is_none_is_an_error(path: Path, answer: str) -> None:
    engine(path, "podman", {"image inspect": answer})
    with pytest.raises((ToolMissingError, StaleError)):
        containers.find(NAME)


def test_another_digest_than_the_asked_one_is_refused(path: Path) -> None:
    engine(path, "podman", {"image inspect": told(f"sha256:{'00' * 32}")})
    with pytest.raises(StaleError, match="another digest"):
        containers.find(NAME)


@pytest.mark.parametrize(
    "name", ["ee", "ee:v1", f"ee:v1@{DIGEST}", f"--x@{DIGEST}", f"ee@{DIGEST}\n", f"{'a' * 400}@{DIGEST}"]
)
def test_a_plan_that_names_no_image_by_digest_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="not an image by digest"):
        containers.find(name)


def container(folder: Path) -> Container:
    return Container(
        name="itmp-1",
        mark="m",
        folder=folder,
        seen={folder: True, folder / "a,b": False},
        also={Path("/inside/key"): folder / "key"},
        variables=("TOKEN", "HOME"),
    )


@pytest.mark.parametrize(("kind", "user"), [("podman", "0:0"), ("docker", f"{os.getuid()}:{os.getgid()}")])
def test_a_container_gets_what_is_named_and_no_value_of_a_variable(path: Path, kind: str, user: str) -> None:
    line = containers.command(
        Image(name=NAME, engine=f"/usr/bin/{kind}", id="1d"), container(path), ["python3", "-m", "x"]
    )
    assert line[:5] == [f"/usr/bin/{kind}", "run", "--rm", "--interactive", "--pull=never"]
    assert {"--network=host", f"--user={user}", "--name=itmp-1", "--label=itmp.run=m"} <= set(line)
    mounts = [line[at + 1] for at, word in enumerate(line) if word == "--mount"]
    assert mounts == [
        "type=bind,source=" + f"{path}/key,target=/inside/key,readonly",
        f"type=bind,source={path},target={path}",
        f'type=bind,"source={path}/a,b","target={path}/a,b",readonly',
    ]
    assert [line[at + 1] for at, word in enumerate(line) if word == "--env"] == ["HOME", "TOKEN"]
    assert line[-4:] == ["--entrypoint=python3", "1d", "-m", "x"]
    assert not {"--privileged", "--cap-add", "--pid=host", "--ipc=host"} & set(line)


def test_what_a_dead_run_left_is_found_by_its_mark_and_removed(path: Path) -> None:
    program = engine(path, "podman", {"ps --all": "itmp-1\nitmp-2", "rm --force": ""})
    assert containers.sweep(str(program), "m") == ("itmp-1", "itmp-2")
    calls = (path / "calls").read_text().splitlines()
    assert "--filter=label=itmp.run=m" in calls[0]
    assert calls[1] == "podman rm --force --time=0 --ignore itmp-1 itmp-2"


def test_what_runs_in_a_container_needs_the_standard_library_and_ansible_alone() -> None:
    """An image holds nothing of what itmp itself needs."""
    names = (
        "inspect",
        "_parse",
        "_versions",
        "start",
        "contained",
        "vault_client",
        "_bounds",
        "_handlers",
        "_results",
    )
    modules = [f"itmp.adapters.ansible.{name}" for name in names]
    modules += [
        "itmp.adapters.ansible.plugins.callback.itmp_actions",
        "itmp.adapters.ansible.plugins.lookup.itmp_secret",
    ]
    modules += ["itmp.adapters.ansible.plugins.cache.itmp_facts"]
    script = (
        "import importlib, sys\n"
        "class Closed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in {'pydantic', 'rich', 'typer', 'ansible_runner', 'paramiko', 'boto3'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Closed())\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-600:]
