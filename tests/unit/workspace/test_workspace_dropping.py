"""Previews that go with a redacted diff: after a kill, beside files of others, and where leaves are missing."""

import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from keep import SECRET, again, found, holders, keep, key_of, store

from itmp import workspace
from itmp.adapters import private
from itmp.audit import Log
from itmp.workspace import dropping
from itmp.workspace.contents import owed


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    return found(tmp_path / "w")


def redact(place: workspace.Workspace) -> workspace.Shown:
    return workspace.audit_redact(again(place), "1", "/diff", reason="a password", key=key_of(place))


def preview(place: workspace.Workspace, number: int) -> Path:
    """Put a preview that may be of any plan."""
    path = place.state / private.PRIVATE / f"{private.PREVIEW}{number:032x}"
    path.write_bytes(b"s" * 32 + SECRET.encode())
    return path


def named(place: workspace.Workspace) -> list[str]:
    """Return the previews that the log says went with a content."""
    leaves = [leaf.event for leaf in again(place).log.leaves() if leaf.event.type == "redaction.done"]
    return [name for event in leaves for name in (event.data or {}).get("previews", [])]


@pytest.mark.parametrize("moment", ["before it is written", "after it was written"])
def test_what_a_killed_redaction_took_is_named_all_the_same(
    place: workspace.Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    keep(place, SECRET)
    paths = [preview(place, number) for number in range(3)]
    shutil.copytree(place.state / private.PRIVATE, tmp_path / "backup")

    def killed() -> NoReturn:
        raise KeyboardInterrupt

    real = Log.extend
    with monkeypatch.context() as patched:
        if moment.startswith("before"):
            patched.setattr(Log, "extend", lambda log, events, **how: (
                killed() if events[0].type == "redaction.done" else real(log, events, **how)
            ))  # fmt: skip
        else:
            count = iter(range(9))
            destroy = private.destroy
            patched.setattr(
                private,
                "destroy",
                lambda path: killed() if path in paths and next(count) == 1 else destroy(path),
            )
        with pytest.raises(KeyboardInterrupt):
            redact(place)
    shown = redact(place)
    assert holders(place.root, SECRET) == []
    assert sorted(named(place)) == sorted(shown.previews) == [path.name[8:] for path in paths]
    shutil.copytree(tmp_path / "backup", place.state / private.PRIVATE, dirs_exist_ok=True)
    assert owed(again(place)) == {"redacted-content": 4}
    assert workspace.audit_retention(again(place), apply=True).dropped == 4
    assert holders(place.root, SECRET) == []


@pytest.mark.parametrize("kind", ["link", "folder", "another name"])
def test_a_file_that_is_not_ours_keeps_no_redaction_from_its_end(
    place: workspace.Workspace, tmp_path: Path, kind: str
) -> None:
    keep(place, SECRET)
    before, after = preview(place, 1), preview(place, 3)
    theirs = before.with_name(f"{private.PREVIEW}{2:032x}")
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(b"s" * 40)
        theirs.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        theirs.mkdir()
    else:
        theirs = theirs.with_name(f"{private.PREVIEW}2.old")
        theirs.symlink_to(before)
    shown = redact(place)
    name = theirs.relative_to(place.state).as_posix()
    assert (shown.state, shown.unjudged, holders(place.root, SECRET)) == ("redacted", (name,), [])
    assert f"could not be destroyed: {name}" in shown.why
    assert not before.exists()
    assert not after.exists()
    assert redact(place).state == "redacted"
    assert workspace.audit_retention(again(place), apply=True).dropped == 0
    if kind == "link":
        assert (tmp_path / "elsewhere").read_bytes() == b"s" * 40


def test_a_leaf_names_no_more_previews_than_it_can_hold(
    place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropping, "MOST", 2)
    keep(place, SECRET)
    for number in range(4):
        preview(place, number)
    assert len(redact(place).previews) == len(named(place)) == 2
    assert holders(place.root, SECRET) == []


def test_missing_leaves_are_told_where_no_stray_file_is(place: workspace.Workspace, tmp_path: Path) -> None:
    keep(place, SECRET)
    shutil.copytree(place.state, tmp_path / "old")
    keep(again(place), "later")
    head = again(place).log.published()
    assert head
    shutil.rmtree(place.state)
    shutil.copytree(tmp_path / "old", place.state)
    again(place).log.keep(f"{head.checkpoint.size}/web.note", head.note)
    shown = redact(place)
    assert (shown.unjudged, len(shown.behind)) == ((), 1)
    assert "leaves that are missing here may commit to it too (log/anchors" in shown.why
    assert len(list(store(place).kept())) == 0
