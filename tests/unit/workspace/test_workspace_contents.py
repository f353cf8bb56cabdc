"""Contents that leaves commit to: opened, destroyed by right, destroyed without, dropped by age, put back."""

import gc
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from keep import CHANGE, SECRET, again, files, forms, found, holders, keep, key_of, make_key, store

from itmp import workspace
from itmp.adapters import private
from itmp.adapters.anchors import FolderAnchor
from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event, Leaf
from itmp.audit.commitments import Opening
from itmp.change import Policy, team_policy, time_of
from itmp.errors import EvidenceInvalidError, ForkError, InvalidInputError, NotFoundError, RefusedError
from itmp.signing import Statement
from itmp.testing.signed_log import SignedLog
from itmp.testing.story import small_plan
from itmp.workspace import anchoring, changes, contents, foreseen, packing, previewing, statements
from itmp.workspace.committed import unfounded
from itmp.workspace.contents import Retained, owed
from itmp.workspace.holding import held
from itmp.workspace.place import EXECUTOR

SHORT = "retention: {keep: 1s, hot: 1s}\n"


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    return found(tmp_path / "w")


def redact(place: workspace.Workspace, index: int = 1) -> workspace.Shown:
    return workspace.audit_redact(
        place, str(index), "/diff", reason="a password", key=str(place.root / "key")
    )


def ask(place: workspace.Workspace, leaf: Leaf) -> None:
    """Record the statement of a redaction that was interrupted right after it."""
    own = {"leaf": leaf.hash, "pointer": "/diff", "reason": "a password"}
    statement, signed, signer = changes.sign_act(place, "redact", lambda _: own, key_of(place))
    statements.record(place, statement, signed, actor=changes.actor(signer))


def states(place: workspace.Workspace) -> list[str]:
    return [state for _, state in workspace.audit_retention(again(place)).contents]


def types(place: workspace.Workspace) -> list[str]:
    return [leaf.event.type for leaf in again(place).log.leaves()]


def grave(place: workspace.Workspace) -> list[str]:
    return [one.name for one in workspace.audit_verify(again(place)).findings if one.grave]


def test_a_content_opens_and_that_is_logged_first(place: workspace.Workspace) -> None:
    leaf = keep(place, SECRET)
    [shown] = workspace.audit_open(place, "1", key=key_of(place))
    assert (shown.value, shown.state, shown.content.leaf) == (SECRET, "hot", leaf.hash)
    assert types(place)[-1] == "log.read"
    assert place.log.published().checkpoint.size == place.log.size()  # type: ignore[union-attr]  # there is one


def test_a_redacted_secret_is_nowhere_and_every_proof_stands(place: workspace.Workspace) -> None:
    leaf = keep(place, SECRET)
    keep(place, "harmless")
    assert len(forms(SECRET)) > 8
    assert len(holders(place.root, SECRET)) == 1, "the scan finds it while it is there"
    old = place.log.checkpoint().checkpoint
    shown = redact(place)
    assert shown.why.startswith("redacted by alice@example.com on ")
    assert shown.why.endswith(": a password")
    assert holders(place.root, SECRET) == []
    log = again(place).log
    assert log.leaf(1).data == leaf.data
    assert log.root(old.size) == old.root
    assert workspace.audit_verify(again(place)).findings == ()
    [second] = workspace.audit_open(again(place), leaf.hash, key=key_of(place))
    assert (second.value, second.state, second.why) == (None, "redacted", shown.why)
    assert [item.value for item in workspace.audit_open(again(place), "2", key=key_of(place))] == ["harmless"]


@pytest.mark.parametrize("finished", [True, False], ids=["destroyed", "asked"])
def test_what_goes_while_a_reader_signs_is_not_shown(
    place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch, *, finished: bool
) -> None:
    leaf, sign_act = keep(place, SECRET), changes.sign_act

    def meanwhile(mine: workspace.Workspace, act: str, *rest: Any) -> Any:
        signed = sign_act(mine, act, *rest)
        if act == "read":
            redact(again(place)) if finished else ask(again(place), leaf)
        return signed

    monkeypatch.setattr(changes, "sign_act", meanwhile)
    [shown] = workspace.audit_open(place, "1", key=key_of(place))
    assert (shown.value, shown.state) == (None, "redacted" if finished else "asked")
    assert types(place)[-1] == "log.read", "somebody asked, and that stays"


def test_the_file_is_overwritten_before_it_goes(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    [path] = files(place)
    link = place.root / "link"
    link.hardlink_to(path)
    size = path.stat().st_size
    redact(place)
    assert link.read_bytes() == bytes(size)


def test_intent_comes_before_effect_and_result_after(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    redact(place)
    statement, done = list(place.log.leaves())[-2:]
    assert (statement.event.type, done.event.type) == ("statement.recorded", "redaction.done")
    assert "\nact redact\n" in (statement.event.data or {})["text"]
    assert (done.event.data or {})["statements"] == [statement.hash]
    assert done.event.on_behalf_of == "alice@example.com"


def test_an_interrupted_redaction_is_finished_without_a_second_statement(place: workspace.Workspace) -> None:
    leaf = keep(place, SECRET)
    ask(place, leaf)
    [shown] = workspace.audit_open(again(place), "1", key=key_of(place))
    assert (shown.value, shown.state) == (None, "asked")
    assert holders(place.root, SECRET)
    redact(again(place))
    assert holders(place.root, SECRET) == []
    assert types(place).count("statement.recorded") == types(place).count("redaction.done") == 1
    redact(again(place))
    assert types(place).count("redaction.done") == 1


def test_who_may_not_redact_is_refused_and_nothing_goes(tmp_path: Path) -> None:
    place = found(tmp_path / "w")
    keep(place, SECRET)
    make_key(tmp_path / "stranger")
    with pytest.raises(RefusedError):
        workspace.audit_redact(place, "1", "/diff", reason="x", key=str(tmp_path / "stranger"))
    place.root.joinpath("p.yml").write_bytes(place.history().latest.policy.data.replace(b", redact", b""))
    workspace.policy_propose(place, place.root / "p.yml", key=str(place.root / "key"))
    with pytest.raises(RefusedError, match="none of them may redact"):
        redact(place)
    assert holders(place.root, SECRET)
    assert "redaction.done" not in types(place)


@pytest.mark.parametrize(
    ("leaf", "pointer", "reason", "error"),
    [
        ("0", "/diff", "x", NotFoundError),
        ("1", "/data", "x", NotFoundError),
        ("9", "/diff", "x", NotFoundError),
        ("1", "/diff", "", InvalidInputError),
        ("1", "/diff", "x\nact approve", InvalidInputError),
        ("1", "/diff", "x" * 1025, InvalidInputError),
    ],
)
def test_what_is_no_redaction_is_refused(
    place: workspace.Workspace, leaf: str, pointer: str, reason: str, error: type[Exception]
) -> None:
    keep(place, SECRET)
    with pytest.raises(error):
        workspace.audit_redact(place, leaf, pointer, reason=reason, key=str(place.root / "key"))
    assert holders(place.root, SECRET)
    assert types(place) == ["log.created", "action.finished"]


# How many people it takes.


@pytest.fixture
def team(tmp_path: Path) -> workspace.Workspace:
    """A log of alice, bob and carol; all three may redact."""
    folder = tmp_path / "team"
    folder.mkdir()
    people = {}
    for name in ("alice", "bob", "carol"):
        make_key(folder / name)
        people[f"{name}@example.com"] = ((folder / f"{name}.pub").read_text(), ("owner", "sre"))
    (folder / "first.yml").write_bytes(team_policy(people, amend=2))
    who = {"key": str(folder / "alice"), "organization": "example.com", "signer": "alice@example.com"}
    workspace.init(folder, policy=folder / "first.yml", **who)  # type: ignore[arg-type]  # all are texts
    return workspace.Workspace.here(folder)


def sign(place: workspace.Workspace, who: str, index: int = 1) -> workspace.Shown:
    return workspace.audit_redact(
        again(place), str(index), "/diff", reason="a password", key=str(place.root / who)
    )


def claim(place: workspace.Workspace, leaf: str, statements: list[str]) -> None:
    """Write what a log's owner writes who destroys without the right."""
    data = {"leaf": leaf, "pointer": "/diff", "cause": "statement", "statements": statements}
    place.log.append(Event(id=new_id(), type="redaction.done", actor=dict(EXECUTOR), data=data))


def test_one_person_alone_destroys_nothing_of_production(team: workspace.Workspace) -> None:
    leaf = keep(team, SECRET, environment="production")
    for _ in range(2):
        shown = sign(team, "alice")
        assert (shown.state, shown.needed, shown.signed) == ("hot", 2, ("alice@example.com",))
    assert types(team).count("statement.recorded") == 1, "signing again adds nothing"
    assert holders(team.root, SECRET)
    assert workspace.audit_retention(again(team), apply=True).dropped == 0
    [statement] = [one for one in again(team).log.leaves() if one.event.type == "statement.recorded"]
    claim(again(team), leaf.hash, [statement.hash])
    assert grave(team) == ["redaction-unfounded"]
    sign(team, "bob")
    assert holders(team.root, SECRET) == []
    [shown] = workspace.audit_open(again(team), "1")
    assert "redacted by alice@example.com, bob@example.com on " in shown.why


def test_a_content_of_no_known_plan_needs_what_the_strictest_environment_asks(
    team: workspace.Workspace,
) -> None:
    keep(team, SECRET)
    for path in (team.state / "log/blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    assert [sign(team, who).needed for who in ("alice", "bob")] == [3, 3]
    assert holders(team.root, SECRET)
    sign(team, "carol")
    assert holders(team.root, SECRET) == []


def test_a_statement_written_down_twice_is_one_person(team: workspace.Workspace) -> None:
    leaf = keep(team, SECRET, environment="production")
    sign(team, "alice")
    [statement] = [one for one in again(team).log.leaves() if one.event.type == "statement.recorded"]
    log = again(team).log
    log.append(
        Event(
            id=new_id(),
            type="statement.recorded",
            actor=dict(EXECUTOR),
            data=dict(statement.event.data or {}),
        )
    )
    twice = [one.hash for one in log.leaves() if one.event.type == "statement.recorded"]
    claim(again(team), leaf.hash, twice)
    assert grave(team) == ["redaction-unfounded"]


def test_a_signature_under_an_older_policy_no_longer_counts(team: workspace.Workspace) -> None:
    keep(team, SECRET, environment="production")
    sign(team, "alice")
    (team.root / "next.yml").write_bytes(team.history().latest.policy.data + b"# another\n")
    proposed = workspace.policy_propose(again(team), team.root / "next.yml", key=str(team.root / "alice"))
    workspace.policy_sign(again(team), proposed.digest, key=str(team.root / "bob"))
    shown = sign(team, "bob")
    assert (shown.needed, shown.signed) == (2, ("bob@example.com",))
    assert holders(team.root, SECRET)


# A hostile owner.


def test_another_content_in_its_place_does_not_open(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    [path] = files(place)
    path.write_bytes(Opening.of("harmless", salt=bytes(32)).to_bytes())
    with pytest.raises(EvidenceInvalidError, match="not the one that was committed"):
        workspace.audit_open(place, "1", key=key_of(place))


def test_a_content_that_was_removed_is_missing(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    [path] = files(place)
    path.unlink()
    [shown] = workspace.audit_open(place, "1", key=key_of(place))
    assert (shown.value, shown.state) == (None, "missing")
    assert workspace.audit_retention(place).wrong == 1


@pytest.mark.parametrize(
    "claim",
    [
        {"cause": "retention"},
        {"cause": "statement", "statements": ["sha256:" + "0" * 64]},
        {"cause": "statement", "statements": []},
        {"cause": "statement"},
        {"cause": "because"},
        {},
    ],
)
def test_a_redaction_that_nothing_gave_the_right_to_is_unfounded(
    place: workspace.Workspace, claim: dict[str, Any]
) -> None:
    leaf = keep(place, SECRET)
    store(place).destroy(leaf.event.diff)  # type: ignore[arg-type]  # it is a digest
    data = {"leaf": leaf.hash, "pointer": "/diff", **claim}
    place.log.append(Event(id=new_id(), type="redaction.done", actor=dict(EXECUTOR), data=data))
    assert states(place) == ["unfounded"]
    [shown] = workspace.audit_open(place, "1", key=key_of(place))
    assert "too few people signed" in shown.why
    assert workspace.audit_retention(place).wrong == 1
    assert grave(place) == ["redaction-unfounded"]
    assert workspace.audit_verify(again(place)).exit_code == 40


def test_a_statement_about_another_leaf_or_by_a_stranger_gives_no_right(place: workspace.Workspace) -> None:
    first, second = keep(place, SECRET), keep(place, "other")
    redact(place, 2)
    [statement] = [leaf for leaf in place.log.leaves() if leaf.event.type == "statement.recorded"]
    data = {"leaf": first.hash, "pointer": "/diff", "cause": "statement", "statements": [statement.hash]}
    place.log.append(Event(id=new_id(), type="redaction.done", actor=dict(EXECUTOR), data=data))
    forged = dict(statement.event.data or {})
    forged["text"] = forged["text"].replace(second.hash, first.hash)
    place.log.append(Event(id=new_id(), type="statement.recorded", actor=dict(EXECUTOR), data=forged))
    [shown] = workspace.audit_open(place, "1", key=key_of(place))
    assert (shown.value, shown.state) == (SECRET, "hot")


def test_a_content_that_a_backup_brings_back_is_not_shown_and_goes_again(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    backup = place.root.parent / "backup"
    shutil.copytree(place.state / private.PRIVATE, backup)
    redact(place)
    shutil.copytree(backup, place.state / private.PRIVATE, dirs_exist_ok=True)
    [brought] = files(place)
    shutil.copytree(brought.parent, place.state / private.PRIVATE / "2026-01")
    assert states(place) == ["returned"]
    [shown] = workspace.audit_open(place, "1", key=key_of(place))
    assert shown.value is None
    assert "redacted-content" in dict(workspace.audit_health(again(place)).faults)
    assert workspace.audit_retention(again(place), apply=True).dropped == 1
    assert holders(place.root, SECRET) == []
    assert states(place) == ["redacted"]


# Retention.


def test_what_is_older_than_the_policy_keeps_is_dropped_and_leaves_stay(tmp_path: Path) -> None:
    place = found(tmp_path / "w", SHORT)
    leaf = keep(place, SECRET)
    keep(place, "two")
    kept = _older(place, 1.1)
    assert (kept.due, kept.dropped, kept.keep) == (2, 0, 0)
    assert holders(place.root, SECRET), "listing drops nothing"
    assert workspace.audit_retention(again(place), apply=True).dropped == 2
    assert holders(place.root, SECRET) == []
    assert states(place) == ["redacted", "redacted"]
    assert again(place).log.leaf(1).data == leaf.data
    [shown] = workspace.audit_open(again(place), "1", key=key_of(place))
    assert "the policy's retention" in shown.why
    assert workspace.audit_verify(again(place)).findings == ()
    assert workspace.audit_retention(again(place), apply=True).dropped == 0
    assert types(place).count("redaction.done") == 2


def test_what_the_policy_keeps_stays(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    assert workspace.audit_retention(place, apply=True).dropped == 0
    assert holders(place.root, SECRET)


def test_a_content_moved_away_after_its_hot_time_is_no_fault(tmp_path: Path) -> None:
    place = found(tmp_path / "w", "retention: {keep: 30d, hot: 1s}\n")
    keep(place, SECRET)
    [path] = files(place)
    assert [state for _, state in _older(place, 1.1).contents] == ["cold"]
    path.rename(tmp_path / "cold")
    kept = workspace.audit_retention(again(place))
    assert ([state for _, state in kept.contents], kept.wrong) == (["away"], 0)


def test_what_an_interrupted_write_left_is_a_stray_once_nobody_can_name_it(
    place: workspace.Workspace,
) -> None:
    store(place).put("/diff", SECRET, now=SystemClock().now())
    (place.state / private.PRIVATE / ".tmp/half").write_text(SECRET)
    with held(place, CHANGE):
        assert workspace.audit_retention(place, apply=True).strays == ()
        assert len(holders(place.root, SECRET)) == 2, "the run may be about to write its leaf"
        assert owed(place) == {}
        for path in files(place):
            os.utime(path, (1, 1))
        assert len(workspace.audit_retention(place).strays) == 2, "a day is longer than any write"
    for path in files(place):
        os.utime(path)
    assert len(workspace.audit_retention(place).strays) == 2
    assert owed(place) == {"stray-content": 2}
    assert workspace.audit_retention(place, apply=True).dropped == 2
    assert holders(place.root, SECRET) == []
    assert owed(place) == {}


def test_what_a_killed_run_left_of_a_secret_goes_with_it(place: workspace.Workspace) -> None:
    """A run dies between a content and its leaf, and another half way into the file; the resume keeps the same diff."""
    dying = _keeper(place)
    [left] = files(place)
    half = place.state / private.PRIVATE / ".tmp" / ("0" * 32)
    half.write_bytes(left.read_bytes()[:-1])
    keep(place, SECRET)
    assert len(holders(place.root, SECRET)) == 3
    shown = redact(again(place))
    assert shown.state == "redacted"
    names = sorted(path.relative_to(place.state).as_posix() for path in (left, half))
    assert sorted(shown.unjudged) == names, "its run is at work, and may write its leaf yet"
    assert all(name in shown.why for name in names)
    assert len(holders(place.root, SECRET)) == 2
    dying.kill()
    dying.communicate()
    assert dict(workspace.audit_health(again(place)).faults).keys() == {"stray-content"}
    shown = redact(again(place))
    assert (shown.unjudged, holders(place.root, SECRET)) == ((), [])
    assert workspace.audit_health(again(place)).faults == ()
    assert workspace.audit_verify(again(place)).findings == ()


def _keeper(place: workspace.Workspace) -> subprocess.Popen[str]:
    """Start what holds a change and has kept a content, and has not written its leaf."""
    script = (
        "import sys; from pathlib import Path; from itmp import workspace\n"
        "from itmp.adapters.clock import SystemClock; from itmp.workspace.holding import held\n"
        "from itmp.workspace.strays import store\n"
        "place = workspace.Workspace.here(Path(sys.argv[1]))\n"
        "with held(place, sys.argv[2]):\n"
        "    store(place).put('/diff', sys.argv[3], now=SystemClock().now())\n"
        "    print('kept', flush=True); sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", script, str(place.root), CHANGE, SECRET]
    keeper = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert keeper.stdout
    assert keeper.stdout.readline() == "kept\n"
    return keeper


def test_what_may_be_of_a_period_that_is_not_here_is_named_and_only_retention_drops_it(
    tmp_path: Path,
) -> None:
    place = found(tmp_path / "w", SHORT)
    keep(place, "of the first period", change="")
    [old] = files(place)
    workspace.rotate(again(place), period="2031", key=key_of(place))
    time.sleep(1.1)
    Path(workspace.audit_archive(again(place), "2026").file).rename(tmp_path / "elsewhere.tar")
    leaf = keep(again(place), SECRET, change="")
    shown = workspace.audit_redact(again(place), leaf.hash, "/diff", reason="a password", key=key_of(place))
    assert shown.unjudged == (old.relative_to(place.state).as_posix(),)
    assert files(place) == [old]
    assert owed(again(place)) == {}
    assert len(workspace.audit_retention(again(place), apply=True).strays) == 0
    assert files(place) == []


def put_back(place: workspace.Workspace, backup: Path, *left: str) -> None:
    """Put a copy of `.itmp` back whole, but for the private store, and what else is named."""
    for name in (private.PRIVATE, *left):
        taken = backup / name
        if taken.is_dir():
            shutil.rmtree(taken)
        taken.unlink(missing_ok=True)
        if (place.state / name).exists():
            (place.state / name).rename(taken)
    shutil.rmtree(place.state)
    shutil.copytree(backup, place.state)


@pytest.mark.parametrize(
    "knows", ["anchor directory: ", "anchor directory: it was seen to hold", "log/anchors: "]
)
def test_what_leaves_may_name_that_a_log_lacks_which_was_put_back_is_spared(
    place: workspace.Workspace, tmp_path: Path, knows: str
) -> None:
    keep(place, "known")
    anchoring.anchor(again(place))
    shutil.copytree(place.state, tmp_path / "old")
    last = keep(again(place), SECRET)
    newest = again(place).log.published()
    assert newest
    again(place).log.keep("3/web.note", newest.note)
    anchoring.anchor(again(place))
    shutil.copytree(place.state, tmp_path / "new")
    (anchor,) = anchoring.anchors_of(place)
    assert isinstance(anchor, FolderAnchor)
    if knows != "anchor directory: ":
        shutil.rmtree(anchor._folder)  # it was emptied, and only what was written down tells
    put_back(place, tmp_path / "old", *{"an": ["anchors.json"], "lo": ["log/anchors"]}.get(knows[:2], []))
    assert len(files(place)) == 2
    half = place.state / private.PRIVATE / ".tmp" / ("0" * 32)
    half.write_bytes(b"x")
    kept = workspace.audit_retention(again(place), apply=True)
    assert (kept.strays, len(kept.spared), kept.dropped) == ((), 2, 0)
    assert any(one.startswith(knows) for one in kept.behind), kept.behind
    assert owed(again(place)) == {}
    assert len(files(place)) == 3
    put_back(place, tmp_path / "new")
    [told, there] = workspace.audit_retention(again(place)).contents
    assert (there[0].leaf, told[1], there[1]) == (last.hash, "hot", "hot")
    kept = workspace.audit_retention(again(place), apply=True)
    assert (kept.spared, kept.behind, kept.dropped) == ((), (), 1), (
        "now it is known that nobody names that one"
    )


def test_a_redaction_spares_what_missing_leaves_may_name_and_says_so(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    keep(place, "known")
    ask(place, place.log.leaf(1))
    shutil.copytree(place.state, tmp_path / "old")
    keep(again(place), SECRET)
    head = again(place).log.published()
    assert head
    assert head.checkpoint.size == 4, "as many as there will be once it is written down that the content went"
    again(place).log.keep("4/web.note", head.note)
    put_back(place, tmp_path / "old", "log/anchors")
    shown = contents.redact_asked(again(place), "1", "/diff")
    assert (shown.state, len(shown.unjudged), len(holders(place.root, SECRET))) == ("redacted", 1, 1)
    assert "leaves that are missing here may name them (log/anchors: 4 leaves" in shown.why
    assert shown.behind


def test_nothing_is_destroyed_or_signed_where_an_anchor_contradicts_the_log(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    keep(place, SECRET)
    ask(place, place.log.leaf(1))
    shutil.copytree(place.state, tmp_path / "old")
    keep(again(place), "later")
    anchoring.anchor(again(place))
    put_back(place, tmp_path / "old")
    size = again(place).log.size()
    with pytest.raises(ForkError, match="rolled-back"):
        contents.redact_asked(again(place), "1", "/diff")
    with pytest.raises(ForkError, match="rolled-back"):
        workspace.audit_retention(again(place), apply=True)
    assert (again(place).log.size(), len(holders(place.root, SECRET))) == (size, 1)


def preview_of(place: workspace.Workspace, plan: str, text: str) -> Path:
    """Keep what a preview of a plan found, as `itmp plan --preview` does."""
    seen = foreseen.Seen(
        step="s", host="h", name="n", action="a", path="p", line=1, outcome="changed", diff=text
    )
    made = foreseen.Preview(
        plan=plan,
        at=SystemClock().now().replace(microsecond=0),
        by="",
        world=foreseen.WorldSeen(),
        seen=(seen,),
    )
    before = set(store(place)._folder.glob(f"{private.PREVIEW}*"))
    previewing._keep(again(place), made, None)
    (path,) = set(store(place)._folder.glob(f"{private.PREVIEW}*")) - before
    return path


def test_previews_of_the_plan_go_with_a_redacted_diff_in_the_same_act(
    place: workspace.Workspace, tmp_path: Path
) -> None:
    leaf, plan = keep(place, SECRET), small_plan(environment="lab", group="lab")
    assert leaf.event.plan == plan.digest
    one, two = (preview_of(place, leaf.event.plan, SECRET) for _ in range(2))
    other = preview_of(place, "sha256:" + "0" * 64, "another plan's")
    (spoilt := one.with_name(f"{private.PREVIEW}{'a' * 32}")).write_bytes(b"s" * 40)
    shutil.copytree(place.state / private.PRIVATE, tmp_path / "backup")
    assert len(holders(place.root, SECRET)) == 3
    assert previewing.previewed(again(place), plan) is not None
    shown = redact(again(place))
    gone = sorted(path.name.removeprefix(private.PREVIEW) for path in (one, two, spoilt))
    assert sorted(shown.previews) == gone
    assert "with it went 3 previews of its plan" in shown.why
    assert holders(place.root, SECRET) == []
    assert other.exists()
    done = [
        item.event.data or {} for item in again(place).log.leaves() if item.event.type == "redaction.done"
    ]
    assert [sorted(data["previews"]) for data in done] == [gone]
    assert workspace.audit_verify(again(place)).findings == ()
    shutil.copytree(tmp_path / "backup", place.state / private.PRIVATE, dirs_exist_ok=True)
    assert one.exists()
    assert previewing.previewed(again(place), plan) is None, "nor is one shown that a backup brought back"
    assert owed(again(place)) == {"redacted-content": 4}, "a backup brought three previews and the diff back"
    assert workspace.audit_retention(again(place), apply=True).dropped == 4
    assert holders(place.root, SECRET) == []
    assert (owed(again(place)), other.exists()) == ({}, True)
    shutil.copytree(tmp_path / "backup", place.state / private.PRIVATE, dirs_exist_ok=True)
    redact(again(place))
    assert holders(place.root, SECRET) == [], "whoever asks again has them go again"


def test_the_policys_retention_of_a_content_takes_no_preview(tmp_path: Path) -> None:
    place = found(tmp_path / "w", "retention: {keep: 1d, hot: 1d}\n")
    leaf = keep(place, SECRET)
    path = preview_of(place, leaf.event.plan, SECRET)
    assert workspace.audit_retention(again(place), apply=True).dropped == 0
    assert path.exists()


def test_a_preview_goes_by_the_policys_retention_like_other_contents(place: workspace.Workspace) -> None:
    folder = place.state / private.PRIVATE
    folder.mkdir(mode=0o700, exist_ok=True)
    old, late, young = (folder / f"{private.PREVIEW}{number:032x}" for number in range(3))
    for path in (old, late, young):
        path.write_bytes(b"s" * 32 + SECRET.encode())
    keep = place.history().latest.policy.retention.keep.total_seconds()
    for path, more in ((old, 60), (late, 8 * 24 * 3600)):
        os.utime(path, (time.time() - keep - more,) * 2)
    kept = workspace.audit_retention(place)
    assert (len(kept.previews), kept.due, kept.dropped, kept.wrong) == (2, 2, 0, 0)
    assert owed(place) == {"retention-overdue": 1}
    before = place.log.size()
    assert workspace.audit_retention(place, apply=True).dropped == 2
    assert (old.exists(), late.exists(), young.exists()) == (False, False, True)
    assert place.log.size() == before, "its event said all along that it may be deleted"
    assert (workspace.audit_retention(place).previews, owed(place)) == ((), {})


@pytest.mark.parametrize(
    "text", ["{keep: 1d, hot: 2d}", "{keep: 0s}", "{keep: 5000d}", "{keep: 1d, cold: 1d}"]
)
def test_a_retention_that_means_nothing_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError):
        found(tmp_path / "w", f"retention: {text}\n")


def test_a_store_of_others_files_is_read_with_care(place: workspace.Workspace, tmp_path: Path) -> None:
    leaf = keep(place, SECRET)
    [path] = files(place)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EvidenceInvalidError):
        workspace.audit_open(place, "1", key=key_of(place))
    with pytest.raises(Exception, match="destroyed"):
        store(place).destroy(leaf.event.diff)  # type: ignore[arg-type]  # it is a digest
    assert (tmp_path / "elsewhere").read_bytes() != bytes((tmp_path / "elsewhere").stat().st_size)


def _older(place: workspace.Workspace, seconds: float) -> Retained:
    """Wait until the contents are that old: the log's clock is the machine's."""
    end = time_of(place.log.leaf(place.log.size() - 1))
    while SystemClock().now() - end < timedelta(seconds=seconds):
        time.sleep(0.05)
    return workspace.audit_retention(again(place))


def read_of(place: workspace.Workspace) -> dict[str, Any]:
    """What the newest leaf says of an opening."""
    event = again(place).log.leaf(again(place).log.size() - 1).event
    assert event.type == "log.read"
    return {**(event.data or {}), "who": event.actor["id"]}


def test_whoever_reads_signs_for_it(place: workspace.Workspace) -> None:
    leaf = keep(place, SECRET)
    [shown] = workspace.audit_open(place, "1", reason="what changed?", key=key_of(place))
    assert shown.value == SECRET
    told = read_of(place)
    assert (told["who"], told["leaf"], told["pointer"]) == ("alice@example.com", leaf.hash, "/diff")
    statement = Statement.parse(told["text"])
    assert (statement.act, statement.fields["reason"]) == ("read", "what changed?")
    assert workspace.audit_verify(again(place), strict=True).findings == ()


def test_nothing_is_shown_or_logged_to_somebody_who_may_not_read(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    size = place.log.size()
    make_key(place.root / "stranger")
    with pytest.raises(RefusedError, match="no signer of the policy has the key"):
        workspace.audit_open(place, "1", key=str(place.root / "stranger"))
    assert again(place).log.size() == size


def test_roles_grant_reading_and_a_policy_without_a_word_of_it_those_who_run_or_destroy() -> None:
    roles = {"alice": ("sre",), "bob": ("approver",), "carol": ("owner",), "dave": ("owner",)}
    log = SignedLog(roles=roles, roots=["carol", "dave"])

    def readers(policy: Policy) -> dict[str, str | None]:
        return {name: policy.role_for(f"{name}@example.com", "read") for name in roles}

    owners = {"carol": "owner", "dave": "owner"}
    assert readers(log.history.latest.policy) == {"alice": "sre", "bob": None, **owners}
    named = log.policy_bytes.replace(b"[approve, reject, revoke]", b"[approve, reject, revoke, read]")
    named_alone = readers(Policy.from_bytes(named))
    assert named_alone == {"alice": None, "bob": "approver", "carol": None, "dave": None}


def test_what_is_gone_needs_no_signature_and_the_question_is_logged(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    redact(place)
    [shown] = workspace.audit_open(again(place), "1", key=str(place.root / "nobody"))
    assert (shown.value, shown.state) == (None, "redacted")
    told = read_of(place)
    assert (told["who"], "text" in told) == ("itmp", False)
    assert grave(place) == [], "and it is what every version before wrote"


def reading(place: workspace.Workspace, act: str = "read", **lines: str) -> dict[str, Any]:
    """Sign for reading leaf 1, and return what its event would hold."""
    own = {"leaf": place.log.leaf(1).hash, "pointer": "/diff", "reason": "x"}
    _, signed, _ = changes.sign_act(place, act, lambda _: own | lines, key_of(place))
    return {"leaf": own["leaf"], "pointer": own["pointer"], **signed.to_data()}


def lied(place: workspace.Workspace, data: dict[str, Any]) -> list[str]:
    """Write the event as the log's owner may, and verify."""
    actor = {"kind": "human", "id": "alice@example.com"}
    place.log.append(Event(id=new_id(), type="log.read", actor=actor, data=data))
    place.log.checkpoint()
    return grave(place)


def test_opening_by_a_statement_that_was_signed_for_something_else(place: workspace.Workspace) -> None:
    """The owner puts a person's word under an opening that this person never signed for."""
    keep(place, SECRET)
    keep(place, "harmless")
    other = reading(place, leaf=place.log.leaf(2).hash)
    assert lied(place, other) == ["read-unfounded"]


def test_opening_by_a_statement_that_asked_for_destruction(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    assert lied(place, reading(place, act="redact")) == ["read-unfounded"]


def test_opening_twice_by_one_statement(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    data = reading(place)
    assert lied(place, data) == []
    assert lied(place, data) == ["read-unfounded"]


def test_opening_by_an_altered_statement_and_by_half_of_one(place: workspace.Workspace) -> None:
    keep(place, SECRET)
    data = reading(place)
    assert lied(place, data | {"text": data["text"].replace("reason x", "reason y")}) == ["read-unfounded"]
    assert lied(place, {**data, "signature": 7}) == ["read-unfounded"] * 2


def test_openings_are_judged_without_keeping_their_leaves(
    place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf, seen, held = keep(place, SECRET), list[int](), list[int]()
    data = {"leaf": leaf.hash, "pointer": "/diff"}
    place.log.extend(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR), data=data) for _ in range(100))

    def alive() -> int:
        return sum(type(one) is Leaf for one in gc.get_objects())

    def fresh() -> Iterator[Leaf]:
        for index in range(place.log.size()):
            yield Leaf(index=index, data=bytes(place.log.leaf(index).data))
            seen.append(index)
        held.append(alive())

    monkeypatch.setattr(packing, "trails", lambda place: [(place.history(), fresh())])
    before = alive()
    assert unfounded(place) == ((), ())
    assert len(seen) > 100
    assert held[0] - before < 10
