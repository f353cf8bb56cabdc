"""Pages of a long log: what the index finds is shown as the leaves tell it, and what it hides is not proven absent."""

import shutil
import sqlite3
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import pytest
import yaml

from itmp.adapters.index import NAME
from itmp.audit import Event
from itmp.errors import EvidenceInvalidError, InvalidInputError, NotFoundError
from itmp.inquiry import Exceptional
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story, small_plan
from itmp.workspace import (
    Workspace,
    audit_exceptions,
    audit_population,
    audit_reconcile,
    audit_sample,
    audit_show,
    browse,
    browse_exceptions,
    browse_one,
    find,
)

FREEZE = {
    "name": "sale",
    "from": "2026-11-22T00:00:00Z",
    "to": "2026-11-23T00:00:00Z",
    "environments": ["all"],
}


def loose(**parts: object) -> bytes:
    """Return a policy that lets one person do several things."""
    tree = yaml.safe_load(Story().policy_bytes)
    tree["separation"] = [
        {
            "environment": "production",
            "requester_approves": True,
            "approver_runs": True,
            "because": "small team",
        }
    ]
    return yaml.safe_dump({**tree, **parts}).encode()


def tell_each(story: Story) -> None:
    """Tell one change of every kind of exception, between ordinary ones."""
    story.tell()
    story.open(type="emergency", reason="fire")
    story.tell(runner="bob")
    story.open("bob")
    story.act("approve", "bob")
    story.permit("alice")
    settled(story)
    story.tell()
    story.open(external="CR-9")
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.resumed", data={"permit": permit.leaf, "skip": ["web2"], "reason": "in repair"})
    story.plan = small_plan(environment="lab", group="lab")
    story.tell(approvers=())
    story.plan = small_plan()
    story.open()
    story.act("approve", "bob")
    story.permit(custody="none")
    undone(story)
    story.plan = small_plan()
    story.open(external="CR-9", reason="again")


def undone(story: Story) -> None:
    """Reach a host without its key while the policy allows it, and undo that in a freeze, when it no longer does."""
    story.amend(loose(limits={"unpinned_hosts": "allow"}))
    story.plan = small_plan(unpinned=["web1", "web2"])
    story.open()
    story.act("approve", "bob")
    story.execute(story.permit(limit="web2"), state="failed")
    story.amend(loose(freezes=[FREEZE]))
    story.permit(mode="undo")


def settled(story: Story) -> None:
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    step = story.steps()[0]
    intent = story.intend(permit, step, ["web1"])
    lines = {"change": story.change, "run": permit.run, "host": "web1", "outcome": "ok", "reason": "I looked"}
    signed = story.sign("reconcile", "alice", role="sre", **lines)
    story.say(
        permit, "action.reconciled", step=step.id, phase="do", intent=intent.hash, outcome="ok",
        target={"kind": "host", "id": "web1"}, data=signed.to_data(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("told")
    story = story_on_disk(root, policy=loose(), roots=["alice"])
    tell_each(story)
    story.log.checkpoint()
    return root


@pytest.fixture
def place(told: Path, tmp_path: Path) -> Workspace:
    return Workspace.here(shutil.copytree(told, tmp_path / "place"))


def edit(place: Workspace, *statements: str) -> None:
    """Bend the index, once it is there."""
    place.reading().close()
    db = sqlite3.connect(place.state / NAME)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def rows(place: Workspace) -> list[object]:
    place.reading().close()
    db = sqlite3.connect(place.state / NAME)
    found = db.execute("SELECT * FROM claim ORDER BY first").fetchall()
    db.close()
    return found


def every_exception(place: Workspace, **period: str) -> list[Exceptional]:
    """Turn the pages, two changes each."""
    found: list[Exceptional] = []
    for skip in range(0, 100, 2):
        part = browse_exceptions(place, skip=skip, limit=2, **period)
        found += part.found
        if skip + 2 >= part.count:
            return found
    raise AssertionError("the pages do not end")


def test_the_pages_find_every_exception_that_reading_everything_finds(place: Workspace) -> None:
    whole = audit_exceptions(place)
    assert {item.kind for item in whole} == {
        "one-person", "own-approval", "no-approval", "emergency", "reconciled", "skipped", "single-root",
        "opened-freeze", "unpinned-hosts", "no-custody",
    }  # fmt: skip
    assert len(every_exception(place)) == len(whole)
    assert set(every_exception(place)) == set(whole)
    assert every_exception(place, start="2027-01-01") == []
    first = browse_exceptions(place, limit=100)
    assert first.count < len(place.log.changes()), "ordinary changes are not looked at"


def test_a_run_in_an_opened_freeze_is_found_by_its_time(tmp_path: Path) -> None:
    times = {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"}
    early = {"from": "2026-01-22T00:00:00Z", "to": "2026-01-23T00:00:00Z"}
    freezes = [
        {"name": "sale", **times, "environments": ["all"], "except": ["normal"]},
        {"name": "early", **early, "environments": ["all"], "except": ["normal"]},
        {"name": "lab alone", **times, "environments": ["lab"]},
    ]
    policy = loose(freezes=freezes)
    story = story_on_disk(tmp_path, policy=policy)
    story.tell()
    place = Workspace.here(tmp_path)
    assert [item.kind for item in every_exception(place)] == ["opened-freeze"] == [
        item.kind for item in audit_exceptions(place)
    ]  # fmt: skip


def test_a_freeze_that_no_longer_stands_and_a_run_that_went_into_it_are_found(tmp_path: Path) -> None:
    freeze = {**FREEZE, "from": "2026-11-22T22:00:00Z", "except": ["normal"]}
    story = story_on_disk(tmp_path, policy=loose(freezes=[freeze]))
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.slice(permit, story.steps()[0])
    story.clock.time = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
    story.slice(permit, story.steps()[1])
    story.clock.time = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
    story.tell()
    story.amend(loose())
    place = Workspace.here(tmp_path)
    assert [item.kind for item in audit_exceptions(place)] == ["opened-freeze"]
    assert every_exception(place) == list(audit_exceptions(place))
    assert browse_exceptions(place, limit=9).count == 1, "the other change is not looked at"


def test_more_freezes_than_a_question_may_name_hide_nothing(tmp_path: Path) -> None:
    freezes = [
        {
            "name": "f", "from": f"2026-11-22T00:00:{n % 60:02}Z", "to": f"2026-11-23T0{n // 60}:00:00Z",
            "environments": ["all"], "except": ["normal"],
        }
        for n in range(210)
    ]  # fmt: skip
    story = story_on_disk(tmp_path, policy=loose(freezes=freezes))
    story.tell()
    place = Workspace.here(tmp_path)
    assert {item.kind for item in every_exception(place)} == {"opened-freeze"}


def test_rows_added_event_by_event_are_the_rows_made_at_once(tmp_path: Path) -> None:
    story = story_on_disk(tmp_path, policy=loose())
    place, append = Workspace.here(tmp_path), story.write

    def written(event):  # type: ignore[no-untyped-def]  # the story's own
        receipt = append(event)
        place.reading().close()
        return receipt

    story.write = written  # type: ignore[method-assign]  # every event is followed by a look
    tell_each(story)
    grown = rows(place)
    assert len(grown) == len(story.log.changes())
    (place.state / NAME).unlink()
    assert rows(place) == grown


def test_without_a_question_the_list_is_the_logs_own(place: Workspace) -> None:
    every = place.log.changes()
    hidden = every[2]
    edit(place, f"DELETE FROM claim WHERE change = (SELECT n FROM word WHERE text = '{hidden}')")  # noqa: S608
    found = browse(place, limit=3)
    assert [case.id for case in found.cases] == list(every[::-1][:3])
    assert [case.id for case in browse(place, skip=2, limit=3).cases] == list(every[::-1][2:5])
    assert not found.by_index
    assert (found.count, browse(place, limit=50).count) == (len(every), len(every))
    assert browse(place, skip=1000, limit=50).cases == ()
    searched = browse(place, words="chg", limit=50)
    assert searched.by_index
    assert hidden not in [case.id for case in searched.cases], "hidden from the page, which says so"
    assert hidden in [case.id for case in audit_population(place).cases], "and from nothing else"
    assert hidden in [case.id for case in audit_sample(place, seed="s", count=100).cases]


BENT = (
    "UPDATE claim SET words = 'zebra', type = 'emergency', requester = 'mallory', marks = 31",
    "UPDATE claim SET change = change + 100000",
    "INSERT INTO word (n, text) VALUES (1 << 40, 'CHG-ffffffffff')",
    "UPDATE claim SET first = first + 1000, opened = 0, moved = 0",
)


@pytest.mark.parametrize("bend", BENT)
def test_a_bent_row_shows_nothing_that_the_leaves_do_not_say(place: Workspace, bend: str) -> None:
    honest = {case.id: case for case in audit_population(place).cases}
    whole = set(audit_exceptions(place))
    edit(place, bend)
    for words in ("zebra", "chg", "ffffffffff", "nginx"):
        for case in browse(place, words=words, limit=50).cases:
            assert case == honest[case.id]
    assert set(browse_exceptions(place, limit=50).found) <= whole
    assert set(audit_exceptions(place)) == whole


def test_searching_finds_by_every_word_and_by_time(place: Workspace) -> None:
    def reasons(**query: object) -> list[str]:
        found = browse(place, limit=50, **query)  # type: ignore[arg-type]  # the cases below are right
        assert found.count == len(found.cases)
        return [case.record.request.given.line("reason") for case in found.cases if case.record.request]

    assert reasons(words="FIRE emergency") == ["fire"]
    assert reasons(words="alice cr-9") == ["again", "nginx leaks memory"]
    assert reasons(words="fire normal") == []
    assert reasons(words="%") == []
    assert len(reasons(opened=("2026-11-22", "2026-11-23"))) == len(place.log.changes())
    assert reasons(opened=("2026-11-23", "")) == []


def test_a_reference_names_its_change_for_readers_and_for_those_who_act(place: Workspace) -> None:
    one = place.log.changes()[-1]
    assert browse_one(place, one) == one
    for named in (browse_one, find):
        with pytest.raises(InvalidInputError, match="2 changes carry"):
            named(place, "CR-9")
        with pytest.raises(NotFoundError):
            named(place, "CR-8")
    edit(place, f"DELETE FROM claim WHERE change = (SELECT n FROM word WHERE text = '{one}')")  # noqa: S608
    assert browse_one(place, "CR-9") != one, "a reader may be led to the other one"
    with pytest.raises(InvalidInputError, match="2 changes carry"):
        find(place, "CR-9")  # who acts is not


def test_one_leaf_by_number_or_hash_is_the_trees(place: Workspace) -> None:
    leaves = list(place.log.leaves())
    for leaf in (leaves[0], leaves[5], leaves[-1]):
        assert audit_show(place, str(leaf.index)) == leaf == audit_show(place, leaf.hash)
    edit(place, "UPDATE leaf SET at = (SELECT at FROM leaf WHERE n = 2) WHERE n = 5")
    with pytest.raises(EvidenceInvalidError):
        audit_show(place, "5")
    for wrong in (str(len(leaves)), "9" * 6000, "sha256:" + "0" * 64, "x", "²"):
        with pytest.raises(InvalidInputError):
            audit_show(place, wrong)


def test_a_leaf_that_is_not_signed_yet_is_shown_as_the_log_opens_it(place: Workspace) -> None:
    receipt = place.log.append(Event(id="f" * 32, type="log.read", actor={"kind": "human", "id": "x"}))
    assert audit_show(place, str(receipt.index)) == receipt.leaf == audit_show(place, receipt.hash)


def test_several_processes_answer_what_one_answers(place: Workspace, tmp_path: Path) -> None:
    of_host = tmp_path / "records" / "web1"
    of_host.mkdir(parents=True)
    (of_host / "clock").write_text("2026-11-28T10:00:00+0000\n")
    (of_host / "auth.log").write_text(
        "2026-11-22T09:00:00+00:00 web1 sshd[1]: Accepted publickey for eve from 192.0.2.1 port 22 ssh2\n"
    )
    whole = [case.id for case in audit_population(place).cases]
    assert audit_reconcile(place, of_host.parent).disagreements
    for n in (2, 3):
        assert list(audit_population(place, processes=n).cases.each(attrgetter("id"))) == whole
        assert list(audit_population(place, start="2026-11-23", processes=n).cases.each(str)) == []
        assert audit_exceptions(place, processes=n) == audit_exceptions(place)
        assert audit_reconcile(place, of_host.parent, processes=n) == audit_reconcile(place, of_host.parent)


def test_a_sample_folds_what_was_drawn_and_counts_the_rest(place: Workspace) -> None:
    whole = [case.id for case in audit_population(place).cases]
    drawn = audit_sample(place, seed="mine", count=3)
    assert drawn.of == len(whole)
    assert len({case.id for case in drawn.cases} & set(whole)) == 3
    assert audit_sample(place, seed="mine", count=3, start="2026-01-01").cases == drawn.cases
    assert audit_sample(place, seed="mine", count=3, end="2026-01-01").of == 0
