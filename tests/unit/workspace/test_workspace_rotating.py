"""`itmp audit rotate` on a real workspace: one log ends, the next begins, and everything old can still be read."""

import json
import os
import threading
import time
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from keep import again, files, found, keep, make_key, store

from itmp import workspace
from itmp.adapters import posix_log
from itmp.adapters.anchors import FolderAnchor
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log import periods
from itmp.adapters.posix_log.locks import locked
from itmp.adapters.ssh_keygen import SshKey
from itmp.audit import Checkpoint, Event, Expect, HeadMovedError, Log, LogEndedError, SignedCheckpoint
from itmp.canonical import Digest
from itmp.errors import BusyError, Error, InvalidInputError, LogUnavailableError, NotFoundError
from itmp.evidence import archive
from itmp.evidence.seen import seen_in
from itmp.signing import Statement, sign_statement
from itmp.testing.story import small_plan
from itmp.workspace import anchoring, handing, remembered, rotating, statements
from itmp.workspace.periods import leaves_of
from itmp.workspace.place import EXECUTOR


def noted(place: workspace.Workspace) -> None:
    place.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    place.log.checkpoint()


def key_of(place: workspace.Workspace) -> str:
    return str(place.root / "key")


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    place = found(tmp_path / "w")
    noted(place)
    return place


def test_one_person_rotates_in_one_command(place: workspace.Workspace) -> None:
    old = place.log
    secret = posix_log.read_key(place.state / "keys/log.key").to_text().rpartition("+")[2]
    done = workspace.rotate(place, period="2027", key=key_of(place))
    assert (done.done, done.size, done.new) == (True, 3, "example.com/ops/2027")
    with pytest.raises(LogUnavailableError, match=r"another log lies here|ended"):
        old.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    unfit = old.health(SystemClock().now()).findings
    assert any(one.grave and "another log lies here" in one.message for one in unfit)
    after = again(place)
    assert after.log.origin == "example.com/ops/2027"
    assert after.log.size() == 1
    noted(after)
    report = workspace.audit_verify(after)
    assert (report.exit_code, report.older) == (0, ((old.origin.rpartition("/")[2], 3),)), report.findings
    assert not [
        path for path in place.state.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert after.history().latest.policy.digest == after.history().genesis.policy.digest
    ended = workspace.of_period(after, "2026").log
    with pytest.raises(LogEndedError, match="ended"):
        ended.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    assert ended.leaf(2).event.type == "key.rotated"


def test_a_leaf_of_an_earlier_period_is_found_by_its_hash(place: workspace.Workspace) -> None:
    leaf = place.log.leaf(1)
    workspace.rotate(place, period="2027", key=key_of(place))
    after = again(place)
    assert workspace.audit_show(after, leaf.hash) == leaf
    assert workspace.audit_show(workspace.of_period(after, "2026"), "1") == leaf
    with pytest.raises(NotFoundError, match="the log has no leaf 1; its last is 0"):
        workspace.audit_show(after, "1")


def test_periods_are_named_by_year_and_then_by_number(place: workspace.Workspace) -> None:
    for name in ("2026-2", "2026-3"):
        assert workspace.rotate(again(place), key=key_of(place)).new.endswith(f"/{name}")
    after = again(place)
    assert [shard.name for shard in workspace.audit_periods(after)] == ["2026", "2026-2", "2026-3"]
    assert workspace.audit_verify(after).exit_code == 0
    with pytest.raises(Error, match="there was a period 2026 already"):
        workspace.rotate(after, period="2026", key=key_of(place))


def test_while_a_change_is_open_nothing_is_rotated(place: workspace.Workspace) -> None:
    keep(place, "x")
    size = place.log.size()
    with pytest.raises(BusyError, match="1 changes are open: CHG-0123456789"):
        workspace.rotate(place, key=key_of(place))
    assert again(place).log.size() == size


def test_several_people_sign_before_anything_ends(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        make_key(tmp_path / name)
        (tmp_path / f"{name}.pub").write_text(
            " ".join((tmp_path / f"{name}.pub").read_text().split()[:2]) + f" {name}@example.com\n"
        )
    root = tmp_path / "w"
    root.mkdir()
    texts = workspace.init_roots(
        root, (tmp_path / "alice.pub", tmp_path / "bob.pub"), organization="example.com"
    )
    for text, name in zip(texts, ("alice", "bob"), strict=True):
        signed = sign_statement(Statement.parse(text.path.read_text()), SshKey(tmp_path / name))
        Path(f"{text.path}.sig").write_text(signed.signature)
    workspace.seal(root, tuple(Path(f"{text.path}.sig") for text in texts))
    place = workspace.Workspace.here(root)
    first = workspace.rotate(place, key=str(tmp_path / "alice"))
    assert (first.done, first.signers, first.needed) == (False, ("alice@example.com",), 2)
    assert workspace.rotate(again(place), key=str(tmp_path / "alice")).done is False
    noted(again(place))  # the log goes on meanwhile
    text = workspace.rotation_text(again(place), "bob@example.com")
    (tmp_path / "rotate.txt").write_text(text.text)
    (tmp_path / "rotate.txt.sig").write_text(sign_statement(text, SshKey(tmp_path / "bob")).signature)
    done = workspace.rotation_seal(again(place), (tmp_path / "rotate.txt.sig",))
    assert (done.done, set(done.signers)) == (True, {"alice@example.com", "bob@example.com"})
    assert workspace.audit_verify(again(place)).exit_code == 0


def test_a_proposed_rotation_can_be_given_up(place: workspace.Workspace) -> None:
    assert not workspace.rotation_abandon(place)
    rotating._propose(place, "2027", "", "")
    assert periods.pending(place.state)
    assert workspace.rotation_abandon(again(place))
    assert again(place).log.origin.endswith("/2026")


def test_nobody_signs_a_rotation_that_they_did_not_ask_for(place: workspace.Workspace) -> None:
    rotating._propose(place, "2027", "", "the disk was copied")
    for other in ("", "stolen"):
        with pytest.raises(InvalidInputError, match="revokes the key: the disk was copied"):
            workspace.rotate(again(place), key=key_of(place), revoke=other)
    assert workspace.rotate(again(place), key=key_of(place), revoke="the disk was copied").done


def test_a_revoked_key_is_told_to_auditors(place: workspace.Workspace) -> None:
    vkey = place.log.vkey
    done = workspace.rotate(place, key=key_of(place), revoke="the disk was copied")
    assert done.revokes
    after = again(place)
    assert workspace.audit_verify(after).exit_code == 0
    assert (place.root / "trust/revoked").read_text() == f"{vkey} {done.size}\n"
    ended = workspace.of_period(after, "2026").log
    assert [leaf.event.type for leaf in ended.leaves(done.size - 2)] == ["key.revoked", "key.rotated"]


def test_a_missing_or_altered_period_is_named(place: workspace.Workspace) -> None:
    workspace.rotate(place, period="2027", key=key_of(place))
    after = again(place)
    handover = place.state / "periods/2026.handover"
    data = handover.read_bytes()
    handover.unlink()
    report = workspace.audit_verify(after)
    assert (report.exit_code, [f.name for f in report.findings if f.grave]) == (40, ["period-missing"])
    handover.write_bytes(data)
    history = max((place.state / "periods/2026/log/history").iterdir(), key=lambda path: int(path.stem))
    history.write_bytes(history.read_bytes().replace(b"3\n", b"2\n", 1))
    assert workspace.audit_verify(again(place)).exit_code in {40, 42}


def test_a_handover_that_leaves_out_policy_versions_is_named(place: workspace.Workspace) -> None:
    first, file = place.history().latest.policy.data, place.root / "next.yml"
    for data in (first + b"# another\n", first):
        file.write_bytes(data)
        assert workspace.policy_propose(again(place), file, key=key_of(place)).in_force
    workspace.rotate(again(place), period="2027", key=key_of(place))
    assert workspace.audit_verify(again(place)).exit_code == 0
    handover = place.state / "periods/2026.handover"
    whole = archive.unpack(handover.read_bytes())
    origin, middle = "example.com/ops/2026", sorted(leaf.index for leaf in leaves_of(whole))[1:-1]
    assert len(middle) == 2
    less = {
        name: data
        for name, data in whole.items()
        if name not in {f"leaves/{n}" for n in middle} | {f"proofs/{n}.tlog-proof" for n in middle}
    }
    known = seen_in(leaves_of(less), origin)
    less = {
        name: data
        for name, data in less.items()
        if not name.startswith("consistency/") or int(name.split("/")[1].split("-")[0]) in known
    }
    leaf, proof = f"leaves/{middle[0]}", "proofs/0.tlog-proof"
    for altered in (
        less,
        {**whole, leaf: whole[leaf].replace(b"# another", b"# thought!")},
        {**whole, proof: b"x"},
    ):
        handover.write_bytes(archive.pack(altered))
        report = workspace.audit_verify(again(place))
        found = {one.name for one in report.findings if one.grave} - {"redaction-unjudged"}
        named = "handover-altered" if altered is less else "handover-broken"
        assert (report.exit_code, found) == (40, {named})


def test_a_period_that_does_not_open_hides_no_redaction(place: workspace.Workspace) -> None:
    workspace.rotate(place, period="2027", key=key_of(place))
    after = again(place)
    kept = store(after).put("/diff", "a diff", now=SystemClock().now())
    event = Event(id=new_id(), type="action.finished", actor=dict(EXECUTOR), outcome="changed", diff=kept)
    data = {"leaf": after.log.append(event).hash, "pointer": "/diff", "cause": "because"}
    after.log.append(Event(id=new_id(), type="redaction.done", actor=dict(EXECUTOR), data=data))
    report = workspace.audit_verify(again(place))
    assert [one.name for one in report.findings if one.grave] == ["redaction-unfounded"]
    for path in ("head.sqlite", "spare/head.sqlite", "log/.state/marks"):
        (place.state / "periods/2026" / path).unlink(missing_ok=True)
    report = workspace.audit_verify(again(place))
    assert [one.name for one in report.findings if one.grave] == ["redaction-unjudged"]
    assert report.exit_code == 40


def test_an_unknown_change_is_unknown_in_every_period(place: workspace.Workspace) -> None:
    workspace.rotate(place, period="2027", key=key_of(place))
    with pytest.raises(NotFoundError, match="no change"):
        workspace.status(again(place), "CHG-0000000000")
    with pytest.raises(NotFoundError, match="Periods: 2026, 2027"):
        workspace.of_period(again(place), "2031")


def test_an_export_goes_on_within_its_period_alone(place: workspace.Workspace) -> None:
    file = str(place.root / "trail.jsonl")
    assert workspace.audit_export(place, form="jsonl", target=file).end == 2
    workspace.rotate(again(place), period="2031", key=key_of(place))
    after = again(place)
    with pytest.raises(Error, match="of another period"):
        workspace.audit_export(after, form="jsonl", target=file)
    rest = workspace.audit_export(workspace.of_period(after, "2026"), form="jsonl", target=file)
    assert (rest.start, rest.end) == (2, 4)
    assert workspace.audit_export(after, form="jsonl", target=f"{file}.2").start == 0


def test_contents_of_an_ended_period_are_kept_and_can_go(place: workspace.Workspace) -> None:
    small = small_plan(environment="lab", group="lab")  # the starter's policy lets one person destroy there
    kept = {"plan": place.log.put_blob(small.manifest_bytes)}
    kept["diff"] = store(place).put("/diff", "a diff", now=SystemClock().now())
    event = Event(id=new_id(), type="action.finished", actor=dict(EXECUTOR), outcome="changed", **kept)
    leaf = place.log.append(event).leaf
    workspace.rotate(again(place), period="2031", key=key_of(place))
    for path in files(place):
        os.utime(path, (0, 0))
    after = again(place)
    retained = workspace.audit_retention(after, apply=True)
    assert (retained.dropped, [state for _, state in retained.contents]) == (0, ["hot"])
    (shown,) = workspace.audit_open(after, leaf.hash, "/diff", key=key_of(place))
    assert shown.value == "a diff"
    gone = workspace.audit_redact(after, leaf.hash, "/diff", reason="a password", key=key_of(place))
    assert gone.state == "redacted"
    assert files(place) == []


def test_who_appends_meanwhile_is_not_passed_over(place: workspace.Workspace) -> None:
    event = Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR))
    seen, head = place.log.size(), place.log.policy_head()
    noted(again(place))
    with pytest.raises(HeadMovedError, match=f"the log has {seen + 1} leaves, not {seen}"):
        place.log.append(event, expect=Expect(change=None, head=head, size=seen))
    assert place.log.size() == seen + 1


def test_what_comes_too_late_for_a_period_is_refused_by_name(place: workspace.Workspace) -> None:
    """Neither the ended log nor the new one takes what a process places that has not heard of the rotation."""
    old = place.log
    workspace.rotate(again(place), period="2027", key=key_of(place))
    here = {path: path.read_bytes() for path in place.state.rglob("*") if path.is_file()}
    for late in (lambda: old.put_blob(b"late"), lambda: old.keep("2/tsa.tsr", b"late"), old.checkpoint):
        with pytest.raises(LogUnavailableError, match="another log lies here now: this one's period is over"):
            late()
    assert here == {path: path.read_bytes() for path in here}
    assert not [path for path in place.state.rglob("*") if path.is_file() and path.read_bytes() == b"late"]


def test_a_log_that_has_ended_takes_no_content_and_still_what_anchors_give(
    place: workspace.Workspace,
) -> None:
    proposal = rotating._propose(place, "2031", "", "")
    rotating._keep(place, rotating._signed(place, *proposal.acts[0], key_of(place)))
    handing.end(again(place).log, proposal, place.state, size=place.log.size())
    with pytest.raises(LogEndedError, match=r"its last leaf is key\.rotated, and content cannot follow it"):
        place.log.put_blob(b"late")
    place.log.keep("3/tsa.tsr", b"a stamp of its last head")


def test_no_content_that_was_taken_is_lost_over_a_rotation(place: workspace.Workspace) -> None:
    old, refusals, taken = place.log, list[str](), list[str]()

    def go_on(writer: int) -> None:
        for n in count():
            try:
                taken.append(old.put_blob(f"{writer}: {n}".encode()))
            except (LogEndedError, LogUnavailableError) as error:
                refusals.append(str(error))
                return

    threads = [threading.Thread(target=go_on, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    workspace.rotate(again(place), period="2027", key=key_of(place))
    for thread in threads:
        thread.join(60)
    assert len(refusals) == 3
    assert all("this one's period is over" in text or "this log has ended" in text for text in refusals)
    ended = workspace.of_period(again(place), "2026").log
    assert all(ended.blob(Digest(name)) for name in taken)
    assert not (place.state / "log/blobs").exists()
    assert workspace.audit_verify(again(place)).exit_code == 0


def test_a_log_is_moved_only_between_two_who_place_files_in_it(tmp_path: Path) -> None:
    for folder in ("log/.state", "rotation/next/log"):
        (tmp_path / folder).mkdir(parents=True)
    periods.mark(tmp_path, period="2026", vkey="k")
    mover = threading.Thread(target=periods.switch, args=(tmp_path,))
    with locked(tmp_path / "log/.state/publish.lock"):
        mover.start()
        mover.join(0.3)
        assert (tmp_path / "log/.state").exists()
    mover.join(60)
    assert (tmp_path / "periods/2026/log/.state").exists()
    assert not (tmp_path / "log/.state").exists()


def test_a_change_that_opens_in_between_is_not_passed_over(place: workspace.Workspace) -> None:
    """The log may end only at a size at which no change was open."""
    proposal = rotating._propose(place, "2031", "", "")
    signed = rotating._signed(place, *proposal.acts[0], key_of(place))
    rotating._keep(place, signed)
    size = rotating._refuse_open(place)
    keep(again(place), "x")  # somebody opens a change now
    with pytest.raises(HeadMovedError):
        handing.end(place.log, proposal, place.state, size=size)
    with pytest.raises(BusyError, match="1 changes are open"):
        workspace.rotate(again(place), key=key_of(place))
    assert again(place).log.origin.endswith("/2026")


def test_an_expired_signature_is_given_again(place: workspace.Workspace) -> None:
    proposal = rotating._propose(place, "2031", "", "")
    now = SystemClock().now().replace(microsecond=0)
    act, own = proposal.acts[0]
    signer = statements.choose_signer(place, place.history().latest.policy, key_of(place))
    soon = statements.compose(
        place, act, own, signer=signer.id, role="owner", until=now + timedelta(seconds=30)
    )
    rotating._keep(place, statements.sign(soon, signer))
    assert handing.counting(place.log, proposal, place.state)["rotate"] == []
    assert workspace.rotate(place, key=key_of(place)).done


class _Later:
    """The clock two days on: everything that was signed has expired."""

    @staticmethod
    def now() -> datetime:
        return SystemClock().now() + timedelta(days=2)


def test_a_revocation_whose_signatures_expired_half_way_is_signed_anew(
    place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = rotating._propose(place, "2031", "", "stolen")
    for act, own in proposal.acts:
        rotating._keep(place, rotating._signed(place, act, own, key_of(place)))
    extend = Log.extend
    with monkeypatch.context() as patch:
        patch.setattr(Log, "extend", lambda log, events, **more: extend(log, events[:1], **more))
        handing.end(place.log, proposal, place.state, size=place.log.size())
    assert [leaf.event.type for leaf in place.log.leaves()][-1] == "key.revoked"
    with monkeypatch.context() as patch:
        patch.setattr(handing, "SystemClock", _Later)
        left = again(place).log
    assert left.leaf(left.size() - 1).event.type == "key.revoked"
    file = place.state / "rotation/statements.json"
    file.write_text("[]")
    done = workspace.rotate(again(place), key=key_of(place), revoke="stolen")
    assert (done.done, done.revokes) == (True, True)
    assert workspace.audit_verify(again(place)).exit_code == 0


def test_a_rotation_whose_log_has_ended_is_not_given_up(place: workspace.Workspace) -> None:
    proposal = rotating._propose(place, "2031", "", "")
    act, own = proposal.acts[0]
    rotating._keep(place, rotating._signed(place, act, own, key_of(place)))
    early = again(place)
    assert early.log.size() == place.log.size()
    handing.end(place.log, proposal, place.state, size=place.log.size())
    with pytest.raises(BusyError, match="the log has ended"):
        workspace.rotation_abandon(early)
    assert again(place).log.origin == "example.com/ops/2031"


def test_names_and_keys_of_packed_periods_stay_taken(tmp_path: Path) -> None:
    place = found(tmp_path / "w", "retention: {hot: 1s, keep: 2s}\n")
    workspace.rotate(place, period="2031", key=key_of(place))
    time.sleep(1.1)
    workspace.audit_archive(again(place), "2026")
    with pytest.raises(InvalidInputError, match="there was a period 2026 already"):
        workspace.rotate(again(place), period="2026", key=key_of(place))
    assert workspace.rotate(again(place), key=key_of(place)).new.endswith("/2026-2")


def test_an_anchor_of_this_machine_shows_a_fork_of_an_ended_period(place: workspace.Workspace) -> None:
    """Whoever kept a copy of the old key signs another history, and an anchor has seen it."""
    (anchor,) = anchoring.anchors_of(place)
    key = posix_log.read_key(place.state / "keys/log.key")
    head = SignedCheckpoint.sign(Checkpoint(origin=key.name, size=2, root=bytes(32)), key)
    workspace.rotate(place, period="2027", key=key_of(place))
    assert workspace.audit_verify(again(place)).exit_code == 0
    assert isinstance(anchor, FolderAnchor)
    (anchor._folder / "2.note").write_bytes(head.note)
    report = workspace.audit_verify(again(place))
    assert [(one.name, one.place) for one in report.findings] == [("forked", "period 2026: anchor directory")]
    assert report.exit_code == 42


def test_what_an_anchor_held_is_remembered_of_each_log(place: workspace.Workspace) -> None:
    for _ in range(3):
        noted(place)
    assert [one.state for one in anchoring.anchor(again(place))] == ["ok"]
    workspace.rotate(place, period="2027", key=key_of(place))
    after = again(place)
    noted(after)
    assert [one.state for one in anchoring.anchor(after)] == ["ok"]
    after = again(place)
    assert remembered.compare(after) == (), "that the older log had more leaves says nothing of this one"
    written = json.loads((place.state / "anchors.json").read_text())
    held = {one["log"]: (one["held"], one["state"]) for one in written}
    assert held == {"example.com/ops/2026": (6, "gone"), "example.com/ops/2027": (2, "ok")}
    (folder,) = (anchor._folder for anchor in anchoring.anchors_of(after) if isinstance(anchor, FolderAnchor))
    (folder / "2.note").unlink()
    (told,) = remembered.compare(again(place))
    assert told.message == "it holds 1 leaves, and held 2 leaves the last time"
    (place.root / "itmp.yml").write_text((place.root / "itmp.yml").read_text().partition("anchors:")[0])
    (gone,) = anchoring.gone(again(place))
    assert (gone.log, gone.held) == ("example.com/ops/2027", 2), "one for each place"


@pytest.mark.parametrize("kept", [b"[1", b"[1]", b"7", b"\xff\xfe", b'[{"text": 1}]', b"[" * 100_000])
def test_statements_that_cannot_be_read_are_refused_by_their_place(
    place: workspace.Workspace, kept: bytes
) -> None:
    folder = place.state / "rotation"
    folder.mkdir()
    (folder / "statements.json").write_bytes(kept)
    with pytest.raises(InvalidInputError, match="cannot be read") as told:
        handing.statements_of(place.state)
    assert told.value.where.endswith("statements.json")


@pytest.mark.parametrize("kept", ['{"old":1,"new":2,"size":"x","reason":[]}', "[" * 100_000, "7"])
def test_a_proposal_that_cannot_be_read_is_refused_by_its_place(
    place: workspace.Workspace, kept: str
) -> None:
    (place.state / "rotation").mkdir()
    (place.state / "rotation/proposal.json").write_text(kept)
    with pytest.raises(LogUnavailableError, match="cannot be read"):
        handing.read(place.state)
