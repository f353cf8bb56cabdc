"""`audit verify` against what its caller brings: another log in this one's place is named, whoever made it."""

import shutil
from pathlib import Path

import pytest
from keep import again, found, key_of

from itmp import workspace
from itmp.adapters.clock import new_id
from itmp.adapters.posix_log import packed
from itmp.audit import Event
from itmp.errors import InvalidInputError
from itmp.signing import NoteKey
from itmp.workspace.auditing import LogReport
from itmp.workspace.place import EXECUTOR


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    return found(tmp_path / "w")


def grave(report: LogReport) -> set[str]:
    return {one.name for one in report.findings if one.grave}


def noted(place: workspace.Workspace) -> None:
    place.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    place.log.checkpoint()


def replaced(place: workspace.Workspace) -> workspace.Workspace:
    """Put a wholly new log of the same name in the place of the log; `trust` and the anchors stay."""
    other = found(place.root.parent / "other")
    shutil.rmtree(place.state)
    shutil.copytree(other.state, place.state)
    shutil.rmtree(other.root)
    return again(place)


def without_anchors(place: workspace.Workspace) -> workspace.Workspace:
    settings = place.root / "itmp.yml"
    settings.write_text(settings.read_text().partition("anchors:")[0])
    return again(place)


def test_the_workspaces_own_trust_is_used_and_named(place: workspace.Workspace, tmp_path: Path) -> None:
    report = workspace.audit_verify(place)
    assert (report.exit_code, report.trusted) == (0, (f"trust: key and genesis of {place.log.origin}",))
    (place.root / "trust").rename(tmp_path / "mine")
    assert workspace.audit_verify(again(place)).trusted == ()
    report = workspace.audit_verify(again(place), trust=tmp_path / "mine")
    assert (report.exit_code, len(report.trusted)) == (0, 1)


def test_another_log_in_its_place_is_not_the_trusted_one(place: workspace.Workspace) -> None:
    report = workspace.audit_verify(replaced(without_anchors(place)), strict=True)
    assert grave(report) == {"genesis-untrusted", "key-untrusted"}
    assert report.exit_code == 40


def test_a_folder_that_all_logs_share_holds_no_name_against_a_log(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    """Whoever tries `itmp init` twice has two logs of one name, and neither took the other's place."""
    other = found(tmp_path / "again")
    for one in (place, other):
        workspace.audit_anchor(one)
    assert place.log.origin == other.log.origin
    assert [workspace.audit_verify(again(one)).exit_code for one in (place, other)] == [0, 0]


def test_a_folder_of_its_own_that_knows_the_name_under_another_key_tells_a_fork(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    settings = place.root / "itmp.yml"
    before = settings.read_text().partition("anchors:")[0]
    settings.write_text(f"{before}anchors: [{{kind: directory, path: {tmp_path / 'second'}}}]\n")
    place = again(place)
    workspace.audit_anchor(place)
    after = replaced(place)
    shutil.rmtree(after.root / "trust")
    report = workspace.audit_verify(after)
    assert (report.exit_code, grave(report)) == (42, {"forked"})
    assert [one.rule for one in report.findings if one.grave] == [15]


def test_a_kept_checkpoint_tells_a_fork_a_rollback_and_another_key(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    kept, copy = tmp_path / "kept.note", tmp_path / "copy"
    shutil.copytree(place.state, copy)
    noted(place)
    kept.write_bytes(place.log.checkpoint().note)
    assert workspace.audit_verify(again(place), kept=kept).exit_code == 0
    alone = without_anchors(place)
    shutil.rmtree(alone.state)
    shutil.copytree(copy, alone.state)
    report = workspace.audit_verify(again(alone), kept=kept)
    assert (report.exit_code, grave(report)) == (42, {"rolled-back"})
    noted(again(alone))
    report = workspace.audit_verify(again(alone), kept=kept)
    assert (report.exit_code, grave(report)) == (42, {"forked"})
    shutil.rmtree(alone.root / "trust")
    report = workspace.audit_verify(replaced(alone), kept=kept)
    assert (report.exit_code, grave(report)) == (42, {"forked"})


def test_a_kept_file_that_nobody_signed_is_no_finding_but_an_error(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.note"
    kept.write_bytes(place.log.checkpoint().note.replace(b"\n1\n", b"\n2\n"))
    with pytest.raises(InvalidInputError):
        workspace.audit_verify(place, kept=kept)
    kept.write_bytes(b"example.com/other/2026\n")
    report = workspace.audit_verify(again(place), kept=kept)
    assert (report.exit_code, grave(report)) == (40, {"kept-foreign"})


def test_trust_of_an_earlier_period_leads_to_this_one(place: workspace.Workspace, tmp_path: Path) -> None:
    noted(place)
    kept = tmp_path / "kept.note"
    kept.write_bytes(place.log.checkpoint().note)
    noted(place)
    workspace.rotate(place, period="2027", key=key_of(place))
    report = workspace.audit_verify(again(place), kept=kept)
    assert (report.exit_code, grave(report)) == (0, set())
    (place.root / "trust/genesis").write_text("sha256:" + "0" * 64 + "\n")
    report = workspace.audit_verify(again(place))
    assert (report.exit_code, grave(report)) == (40, {"genesis-untrusted"})


def test_a_drill_names_another_log_in_the_trusted_ones_place(place: workspace.Workspace) -> None:
    shutil.copytree(place.state / "log", place.root / "backup")
    after = replaced(place)
    assert workspace.audit_restore(after, after.state / "log").drill.exit_code == 42
    drilled = workspace.audit_restore(again(place), place.root / "backup").drill
    assert (drilled.exit_code, {one.name for one in drilled.findings if one.grave}) == (42, {"forked"})


def test_health_compares_with_trust_and_gives_witnesses_a_day(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(place.root / "trust", folder)
    witness = NoteKey.generate("w1.example.net", bytes(32), algorithm=4)
    lines = f"log {place.log.vkey}\nwitness w1 {witness.vkey}\nquorum w1\n"
    (folder / "log.policy").write_text(lines)
    assert workspace.audit_verify(again(place), trust=folder).exit_code == 40
    assert workspace.audit_health(again(place), trust=folder).faults == (), "the log is younger than a day"
    (folder / "genesis").write_text("sha256:" + "0" * 64 + "\n")
    (found_,) = workspace.audit_health(again(place), trust=folder).faults
    assert found_[0] == "genesis-untrusted"
    (folder / "log.policy").write_text("nonsense\n")
    (found_,) = workspace.audit_health(again(place), trust=folder).faults
    assert found_[0] == "trust-unreadable"
    assert workspace.audit_health(again(place)).faults == ()


def test_health_finds_another_log_and_another_history_by_trust(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place.state, copy)
    noted(place)
    (place.root / "trust/checkpoint").write_bytes(place.log.checkpoint().note)
    assert workspace.audit_health(again(place)).faults == ()
    alone = without_anchors(place)
    shutil.rmtree(alone.state)
    shutil.copytree(copy, alone.state)
    fitness = workspace.audit_health(again(alone))
    assert (fitness.exit_code, [name for name, _ in fitness.faults]) == (42, ["rolled-back"])
    noted(again(alone))
    fitness = workspace.audit_health(again(alone))
    assert (fitness.exit_code, [name for name, _ in fitness.faults]) == (42, ["forked"])
    fitness = workspace.audit_health(replaced(alone))
    assert {name for name, _ in fitness.faults} >= {"genesis-untrusted", "key-untrusted"}
    assert fitness.exit_code == 42


def unsigned(place: workspace.Workspace) -> set[str]:
    findings = workspace.audit_verify(again(place)).findings
    return {one.place for one in findings if one.name == "checkpoint-unsigned"}


def test_a_period_that_has_ended_is_held_against_revoked_keys_and_witnesses(
    place: workspace.Workspace,
) -> None:
    old = place.log.vkey
    workspace.rotate(place, period="2027", key=key_of(place))
    trust = place.root / "trust"
    (trust / "revoked").write_text(f"{old} 2\n")
    assert workspace.audit_verify(again(place)).exit_code == 0
    (trust / "revoked").write_text(f"{old} 1\n")
    report = workspace.audit_verify(again(place))
    assert (report.exit_code, "key-revoked" in grave(report)) == (40, True)
    (trust / "revoked").unlink()
    witness = NoteKey.generate("w1.example.net", bytes(32), algorithm=4)
    (trust / "log.policy").write_text(f"log {old}\nwitness w1 {witness.vkey}\nquorum w1\n")
    report = workspace.audit_verify(again(place))
    places = unsigned(place)
    assert (report.exit_code, places) == (40, {"checkpoint", "period 2026: checkpoint"})
    ended = place.state / "periods/2026"
    packed.pack(ended, ended.with_suffix(".tar"))
    shutil.rmtree(ended)
    assert unsigned(place) == places, "packed"
    ended.with_suffix(".tar").unlink()
    assert unsigned(place) == places, "dropped"
