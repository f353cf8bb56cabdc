"""A copy of the log that somebody else made: what in it counts, and what it may lack."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from itmp.adapters.clock import new_id
from itmp.adapters.posix_log.frames import scan
from itmp.audit import Event
from itmp.cli.main import app
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story
from itmp.workspace import (
    Workspace,
    audit_account,
    audit_exceptions,
    audit_population,
    audit_reconcile,
    audit_sample,
    audit_verify,
)

SKIPPED = {"skip": ["web1"]}


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A change that was approved, and no more; a head covers it."""
    made = story_on_disk(tmp_path / "w")
    made.open()
    made.act("approve", "bob")
    made.log.checkpoint()
    return made


def copied(root: Path) -> Workspace:
    """Copy what an auditor's guide says: `itmp.yml` and `log/`."""
    (root / ".itmp").mkdir(parents=True)
    for path in ("itmp.yml", ".itmp/log"):
        source = root.parent / "w" / path
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / path)
    return Workspace.here(root)


@pytest.fixture
def forged(story: Story, tmp_path: Path) -> Workspace:
    """After the newest head come a run of the change and a change that never was: frames need no key."""
    story.execute(story.permit("alice"))
    actor, plan = {"kind": "executor", "id": "itmp"}, story.plan.digest
    story.log.append(
        Event(id=new_id(), type="run.resumed", actor=actor, change="CHG-ffffffffff", plan=plan, data=SKIPPED)
    )
    return copied(tmp_path / "copy")


def unsigned(story: Story) -> int:
    head = story.log.published()
    assert head is not None
    return story.log.size() - head.checkpoint.size


def test_what_nobody_signed_is_no_part_of_an_answer(forged: Workspace, story: Story) -> None:
    found = audit_population(forged)
    assert (found.span.bases[0].unsigned, unsigned(story) > 1) == (unsigned(story), True)
    assert found.size == story.log.size() - unsigned(story)
    assert [(case.id, case.runs) for case in found.cases] == [(story.change, ())]
    assert audit_sample(forged, seed="mine", count=5).of == 1
    assert not [one for one in audit_exceptions(forged) if one.index >= found.size]


def test_how_much_was_left_out_is_said(
    forged: Workspace, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    (forged.root / "records").mkdir()
    assert audit_reconcile(forged, forged.root / "records").unsigned == unsigned(story)
    monkeypatch.setenv("ITMP_WORKSPACE", str(forged.root))
    done = CliRunner().invoke(app, ["audit", "population"])
    assert f"left out: {unsigned(story)} events after the newest signed head" in done.stdout
    data = json.loads(CliRunner().invoke(app, ["audit", "population", "--json"]).stdout)
    assert (data["unsigned"], data["rests_on"][0]["unsigned"], len(data["changes"])) == (
        unsigned(story),
        unsigned(story),
        1,
    )


def test_whoever_has_the_key_is_told_of_every_leaf(forged: Workspace, tmp_path: Path) -> None:
    found = audit_population(Workspace.here(tmp_path / "w"))
    assert found.span.bases[0].unsigned == 0
    assert {case.id for case in found.cases} > {case.id for case in audit_population(forged).cases}


@pytest.mark.parametrize("left", [0, 1], ids=["no frame", "the first frame"])
def test_a_journal_that_was_copied_before_its_head_is_no_rollback(
    story: Story, tmp_path: Path, left: int
) -> None:
    place = copied(tmp_path / "copy")
    for journal in (place.state / "log/.state").rglob("journal.0"):  # it has two names
        whole = journal.read_bytes()
        journal.write_bytes(whole[: scan(whole).ends[0] if left else 0])
    report = audit_verify(place)
    assert report.exit_code == 0, report.findings
    assert report.size == story.log.size()
    assert [case.id for case in audit_population(place).cases] == [story.change]


def test_a_change_is_accounted_for_without_a_journal(story: Story, tmp_path: Path) -> None:
    place = copied(tmp_path / "copy")
    shutil.rmtree(place.state / "log/.state")
    account = audit_account(place, story.change)
    assert account.case.id == story.change
    assert account.report is not None
