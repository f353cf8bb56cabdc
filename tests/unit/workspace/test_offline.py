"""Policy and redaction signed elsewhere; whose name, kind and key stand in the event; what is refused by name."""

import base64
import subprocess
from pathlib import Path

import pytest
from keep import SECRET, again, found, holders, keep, make_key

from itmp import workspace
from itmp.change import Policy, StatementRefusedError, team_policy
from itmp.errors import InvalidInputError, NotFoundError, RefusedError, RejectedError
from itmp.testing.story import small_plan
from itmp.workspace import Words
from itmp.workspace.offline import ACTS

ALICE = "alice@example.com"


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    return found(tmp_path / "w")


def signature(place: workspace.Workspace, text: str, act: str, key: str = "key") -> str:
    """Sign by stock ssh-keygen, as on another machine."""
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", f"itmp-{act}@example.com", "-f", str(place.root / key)]
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout


def add(place: workspace.Workspace, text: str, act: str, key: str = "key") -> workspace.Added:
    return workspace.add_statement(place, text, signature(place, text, act, key))


def sign(place: workspace.Workspace, name: str, act: str, words: Words | None = None) -> workspace.Added:
    return add(place, workspace.statement_text(place, name, act, signer=ALICE, words=words).text, act)


def test_a_redaction_signed_elsewhere_destroys_the_content_once(place: workspace.Workspace) -> None:
    leaf = keep(place, SECRET)
    words = Words(pointer="/diff", reason="a password")
    text = workspace.statement_text(place, leaf.hash, "redact", signer=ALICE, words=words).text
    assert add(place, text, "redact").said == "redacted"
    assert holders(place.root, SECRET) == []
    size = place.log.size()
    with pytest.raises(StatementRefusedError, match="nonce"):
        add(place, text, "redact")
    with pytest.raises(NotFoundError, match="not to"):
        workspace.statement_text(
            place, leaf.hash, "redact", signer=ALICE, words=Words(pointer="/x", reason="x")
        )
    assert place.log.size() == size
    assert workspace.audit_verify(again(place)).findings == ()


def test_a_policy_signed_elsewhere_by_its_quorum_comes_into_force(place: workspace.Workspace) -> None:
    line = (place.root / "key.pub").read_text()
    new = place.root / "new.yml"
    new.write_bytes(team_policy({ALICE: (line, ("sre", "approver", "owner"))}, amend=1) + b"# newer\n")
    digest = workspace.policy_propose(place, new, key=str(place.root / "key")).digest
    assert place.history().latest.policy.digest == digest, "one signature is enough here"
    third = place.root / "third.yml"
    third.write_bytes(new.read_bytes() + b"# newest\n")
    folder = place.state / "proposals"
    (folder / f"{Policy.from_bytes(third.read_bytes()).digest.removeprefix('sha256:')}.yml").write_bytes(
        third.read_bytes()
    )
    added = sign(place, Policy.from_bytes(third.read_bytes()).digest, "policy")
    assert added.said == "in force"
    assert place.history().latest.policy.data == third.read_bytes()


def test_every_act_of_the_record_is_signed_elsewhere_and_counts(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    roles = {"alice": ("sre", "owner"), "bob": ("approver",), "carol": ("approver",)}
    for name in roles:
        make_key(folder / name)
    people = {
        f"{name}@example.com": ((folder / f"{name}.pub").read_text(), held) for name, held in roles.items()
    }
    (folder / "first.yml").write_bytes(team_policy(people, amend=1))
    workspace.init(
        folder,
        key=str(folder / "alice"),
        organization="example.com",
        signer=ALICE,
        policy=folder / "first.yml",
    )
    place = workspace.Workspace.here(folder)
    workspace.write_plan(small_plan(), folder / "p.plan.tar")

    def by(who: str, name: str, act: str, **words: str) -> workspace.Added:
        said = workspace.statement_text(
            place, name, act, signer=f"{who}@example.com", words=Words(**words) if words else None
        )
        done = add(place, said.text, act, who)
        assert done.act == act
        texts.append(said.text)
        return done

    def state(done: workspace.Added) -> str:
        assert done.change is not None
        return done.change.state

    texts: list[str] = []
    opened = by("alice", str(folder / "p.plan.tar"), "open", reason="leak", external="REF-1")
    assert opened.change is not None
    change = opened.change.id
    assert state(opened) == "assess"
    assert state(by("carol", change, "reject")) == "authorize"
    with pytest.raises(NotFoundError, match="has no vote"):
        by("bob", change, "revoke")
    revoked = by("carol", change, "revoke")
    assert revoked.change is not None
    assert [one.voter for one in revoked.change.revocations] == ["carol@example.com"]
    assert state(by("carol", change, "approve")) == "scheduled"
    with pytest.raises(StatementRefusedError, match="has used this nonce before"):
        add(place, texts[-1], "approve", "carol")
    with pytest.raises(StatementRefusedError, match="not a key of"):
        add(place, texts[-1], "approve", "bob")
    with pytest.raises(StatementRefusedError, match="namespace"):
        add(place, texts[-1], "reject", "carol")
    assert state(by("bob", change, "approve")) == "scheduled"
    assert state(by("alice", change, "cancel", reason="twice")) == "canceled"
    with pytest.raises(RejectedError):
        by("bob", change, "approve")
    assert workspace.find(again(place), change).findings == ()


def test_the_event_names_the_signer_s_kind_and_key(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    for name in ("key", "robot"):
        make_key(folder / name)
    file = folder / "first.yml"
    file.write_bytes(
        team_policy(
            {ALICE: ((folder / "key.pub").read_text(), ("sre", "approver", "owner"))},
            machines={"robot@example.com": ((folder / "robot.pub").read_text(), ("sre",))},
            amend=1,
        )
    )
    workspace.init(folder, key=str(folder / "key"), organization="example.com", signer=ALICE, policy=file)
    place = workspace.Workspace.here(folder)
    plan = place.root / "p.plan.tar"
    workspace.write_plan(small_plan(), plan)
    said = workspace.statement_text(
        place, str(plan), "open", signer="robot@example.com", words=Words(reason="leak", kind="emergency")
    )
    opened = add(place, said.text, "open", "robot")
    assert opened.change is not None
    actor = place.log.of_change(opened.change.id)[0].event.actor
    assert (actor["kind"], actor["id"]) == ("machine", "robot@example.com")
    assert actor["key"].startswith("SHA256:")
    assert opened.change.request is not None
    assert opened.change.request.type == "emergency"
    again_ = add(place, said.text, "open", "robot")
    assert (again_.said, again_.text) == ("is open already", "")
    workspace.cancel(place, opened.change.id, reason="x", key=str(folder / "key"))
    with pytest.raises(RejectedError, match="has opened"):
        add(place, said.text, "open", "robot")


@pytest.mark.parametrize("act", ["enrol", "rotate", "recover", "approve-model", "smile", ""])
def test_acts_that_nobody_signs_alone_are_refused_by_name(place: workspace.Workspace, act: str) -> None:
    with pytest.raises(InvalidInputError, match="not signed offline"):
        workspace.statement_text(place, "CHG-0000000000", act, signer=ALICE)


def test_words_that_an_act_lacks_or_does_not_take_are_named(place: workspace.Workspace) -> None:
    change = workspace.open_change(place, small_plan(), reason="leak", key=str(place.root / "key")).change.id
    for act, words, told in (
        ("answer", Words(step="confirm"), "needs value"),
        ("approve", Words(reason="fine"), "says nothing of reason"),
        ("run", Words(skip=("web1",)), "says nothing of skip"),
        ("run", Words(limit=""), "names none"),
        ("cancel", Words(), "needs reason"),
        ("resume", Words(limit="web1"), "says nothing of limit"),
    ):
        with pytest.raises(InvalidInputError, match=told):
            workspace.statement_text(place, change, act, signer=ALICE, words=words)
    with pytest.raises(InvalidInputError, match="who will sign"):
        workspace.statement_text(place, change, "approve", signer="")
    with pytest.raises(RefusedError):
        workspace.statement_text(place, change, "approve", signer="nobody@example.com")
    for act in ("resume", "undo", "stop"):
        with pytest.raises(NotFoundError):
            workspace.statement_text(place, change, act, signer=ALICE, words=Words(reason="x") if act == "stop" else None)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "new", "told"),
    [
        ("change ", "change CHG-0000000000", "no change"),
        ("plan ", "plan sha256:" + "0" * 64, "signed another plan"),
        ("request ", "request sha256:" + "0" * 64, "signed another request"),
        ("limit ", "limit nobody", "selects none"),
        ("limit ", "limit +failed", "only a resume"),
        ("policy ", "policy sha256:" + "0" * 64, "names policy"),
        ("seen ", "seen 999 " + base64.b64encode(bytes(32)).decode(), "has seen 999"),
        ("seen ", "seen 1 " + base64.b64encode(bytes(32)).decode(), "another history of the first 1 leaves"),
        ("role ", "role approver", "may not run as approver"),
        ("valid ", "valid 2020-01-01T00:00:00Z 2020-01-02T00:00:00Z", "outside valid"),
    ],
)
def test_a_start_that_would_count_for_nothing_is_not_written(
    place: workspace.Workspace, line: str, new: str, told: str
) -> None:
    change = workspace.open_change(place, small_plan(), reason="leak", key=str(place.root / "key")).change.id
    text = workspace.statement_text(place, change, "run", signer=ALICE).text
    other = "".join(
        (new if one.startswith(line) else one) + "\n" for one in text.removesuffix("\n").split("\n")
    )
    size = place.log.size()
    with pytest.raises(Exception, match=told):
        add(place, other, "run")
    assert place.log.size() == size
    assert add(place, text, "run").next == (f"itmp run {change} --recorded",)


def test_a_preview_for_some_hosts_or_of_a_change_asks_nobody(place: workspace.Workspace) -> None:
    plan = place.root / "p.plan.tar"
    workspace.write_plan(small_plan(), plan)
    text = workspace.statement_text(place, str(plan), "preview", signer=ALICE).text
    size = place.log.size()
    for name, line in (("limit", "web1"), ("change", "CHG-0000000000"), ("request", "sha256:" + "0" * 64)):
        with pytest.raises(InvalidInputError, match="of no change") as caught:
            add(place, text.replace(f"\n{name} -\n", f"\n{name} {line}\n"), "preview")
        assert caught.value.where == name
    assert place.log.size() == size


def test_every_act_of_the_grammar_is_signed_here_or_somewhere_named() -> None:
    from itmp.signing.fields import ACTS as EVERY  # noqa: PLC0415 - the grammar's own list

    elsewhere = {"enrol", "rotate", "recover", "approve-model", "read"}
    assert set(ACTS) == EVERY - elsewhere
