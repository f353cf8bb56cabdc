"""What anchors hold of a period that has ended: its key may turn up again, and then another history of it shows."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anchored import Site, bucket, new_witness, witness
from two_periods import pass_on

from itmp.adapters.anchors.folder import slug
from itmp.audit import Checkpoint
from itmp.workspace import audit_verify


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Site(tmp_path / "w")


@pytest.fixture
def thief(site: Site) -> Site:
    """A copy of the workspace, key and all, that tells the period otherwise."""
    copy = Site.__new__(Site)
    copy.root = site.root.parent / "thief"
    return copy


@contextmanager
def witnessed(site: Site, thief: Site, state: Path) -> Iterator[None]:
    """Have a witness cosign the log, and the thief take a copy then."""
    vkey = new_witness(state)
    with witness(state, site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": vkey})
        assert site.states() == [("witness", "ok")]
        shutil.copytree(site.root, thief.root)
        yield


def test_a_witness_that_saw_an_ended_period_go_on_names_it(site: Site, thief: Site, tmp_path: Path) -> None:
    with witnessed(site, thief, tmp_path / "w1"):
        thief.grow(9, "mallory@example.com")
        assert thief.states() == [("witness", "ok")]
        pass_on(site.story, site.root)
        assert site.named() == (42, {("rolled-back", "period 2026: anchor witness")})


def test_verifying_an_ended_period_has_its_witness_know_the_last_head(
    site: Site, thief: Site, tmp_path: Path
) -> None:
    with witnessed(site, thief, tmp_path / "w1"):
        pass_on(site.story, site.root)
        assert site.named() == (0, set())
        thief.grow(9, "mallory@example.com")
        assert thief.states() == [("witness", "fork")]


def test_a_locked_object_of_an_ended_period_names_a_fork(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    old = site.story.key
    with bucket(monkeypatch) as client:
        site.anchors({"kind": "s3", "bucket": "anchors"})
        assert site.states() == [("s3", "ok")]
        pass_on(site.story, site.root)
        assert site.named() == (0, set())
        head = Checkpoint(origin=old.name, size=5, root=bytes(32))
        key = f"{slug(old.verifier)}/{head.size:019d}.note"
        client.put_object(Bucket="anchors", Key=key, Body=old.sign(head.to_text()))
        assert site.named() == (42, {("forked", "period 2026: anchor s3")})


def test_a_witness_is_asked_also_where_no_copy_of_its_cosignature_was_kept(
    site: Site, thief: Site, tmp_path: Path
) -> None:
    with witnessed(site, thief, tmp_path / "w1"):
        thief.grow(9, "mallory@example.com")
        assert thief.states() == [("witness", "ok")]
        pass_on(site.story, site.root)
        for note in site.root.glob("**/periods/2026/**/witness.note"):
            note.unlink()
        assert site.named() == (42, {("rolled-back", "period 2026: anchor witness")})


def test_an_anchor_that_fails_for_an_ended_period_alone_is_named(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    site.anchors({"kind": "directory", "path": str(folder)})
    assert site.states() == [("directory", "ok")]
    pass_on(site.story, site.root)
    assert site.named() == (0, set())
    held = folder / slug(site.story.key.verifier)
    (own,) = [one for one in folder.iterdir() if any(one.glob("*.note")) and "2026" in one.name] or [held]
    shutil.rmtree(own)
    own.write_text("no folder\n")
    report = audit_verify(site.place)
    assert ("anchor-failed", "period 2026: anchor directory") in {(f.name, f.place) for f in report.findings}
