"""Folders that a child writes may hold links and pipes: the executor, to whom nothing is closed, follows none."""

import os
from pathlib import Path

import pytest

from itmp.adapters.ansible import _environments, _facts, _leftovers, _project, _slicing, layout
from itmp.adapters.secrets import Masker
from itmp.execution.doors import Room

MASKER = Masker([])


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(folder=tmp_path / "room", token="token", run="run", facts=tmp_path / "facts")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "log.key").write_text("closed to children")
    return tmp_path / "state" / "log.key"


@pytest.fixture
def short(tmp_path: Path) -> Path:
    (tmp_path / "short" / "facts").mkdir(parents=True)
    return tmp_path / "short"


def test_a_link_or_pipe_among_the_facts_is_not_kept(room: Room, short: Path, closed: Path) -> None:
    (short / "facts" / "web1").symlink_to(closed)
    os.mkfifo(short / "facts" / "web2")
    (short / "facts" / "web3").mkdir()
    (short / "facts" / "web4").write_text("{}")
    _facts.keep(room, short, MASKER)
    assert [file.name for file in _facts.kept(room).iterdir()] == ["web4"]


def test_a_link_in_place_of_the_facts_is_not_followed(room: Room, short: Path, closed: Path) -> None:
    (short / "facts").rmdir()
    (short / "facts").symlink_to(closed.parent)
    _facts.keep(room, short, MASKER)
    assert not _facts.kept(room).exists()


def test_facts_are_not_written_through_a_link(room: Room, short: Path, closed: Path) -> None:
    kept = _facts.kept(room)
    kept.mkdir()
    for name in ("web1", ".web1"):
        (kept / name).symlink_to(closed)
    (short / "facts" / "web1").write_text("{}")
    _facts.keep(room, short, MASKER)
    assert closed.read_text() == "closed to children"
    assert not (kept / "web1").is_symlink()
    assert (kept / "web1").read_text() == "{}"


def test_asking_for_left_overs_copies_no_linked_file(short: Path, closed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    folder.mkdir()
    (folder / "known_hosts").symlink_to(closed)
    (folder / "ssh_config").symlink_to(closed)
    _slicing.command(folder, short, {}, ["adhoc"], mark="A=b")
    copied = [path.read_bytes() for path in short.iterdir() if path.is_file()]
    assert not any(closed.read_bytes() in data for data in copied)


def test_an_answer_that_is_a_link_or_a_pipe_is_none(short: Path, closed: Path) -> None:
    (short / "answers").mkdir()
    (short / "answers" / "web1").symlink_to(closed)
    os.mkfifo(short / "answers" / "web2")
    closed.write_text('{"stdout": "itmp-found 1 key"}')
    said = _leftovers.read(("web1", "web2"), short, raw=False, written=bool)
    assert said == tuple(f"{host}: cannot be asked for left-overs: no answer" for host in ("web1", "web2"))


def test_a_program_that_a_child_named_as_its_engine_is_not_started(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    evil = layout.write(tmp_path, "evil", b"#!/bin/sh\n: > " + bytes(tmp_path / "started") + b"\n")
    layout.write(tmp_path, _environments.ENGINE, str(evil).encode())
    assert list(_environments.sweep(tmp_path, room)) == []
    assert not (tmp_path / "started").exists()


def test_a_catalog_may_be_a_link_to_a_folder_of_the_workspace_alone(tmp_path):
    root = tmp_path / "workspace"
    for folder in (root / "checkout", tmp_path / "checkout"):
        folder.mkdir(parents=True)
        (folder / "site.yml").write_text("[]")
    (root / "playbooks").symlink_to("checkout")
    assert _project.collect(root, "playbooks") == ({"project/playbooks/site.yml": b"[]"}, [])
    (root / "playbooks").unlink()
    (root / "playbooks").symlink_to(tmp_path / "checkout")
    artifacts, [problem] = _project.collect(root, "playbooks")
    assert artifacts == {}
    assert problem.path == "playbooks/site.yml"
