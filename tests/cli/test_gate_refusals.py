"""What is not approved does not run: the exit code says why, and no host sees as much as a connection."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from places import Place, rolling

from itmp.lab.fleet import make_key
from itmp.plan import Plan, from_tar, to_tar

pytestmark = pytest.mark.fleet

ROLL = rolling("one", batches=(3,))
BOB = "bob@example.com"


def later(seconds: float) -> str:
    """Return a time from now as it stands in options and statements."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def refused(place: Place, change: str, code: int, *checks: int, key: str = "alice") -> dict[str, object]:
    """Require the refusal with `code` by exactly `checks`, recorded, without a permit and without a connection."""
    result = place.run(change, key=key, expect=code)
    assert result["exit_code"] == code
    assert [check["n"] for check in result["checks"] if check["outcome"] == "refused"] == list(checks)
    assert [check["outcome"] for check in result["checks"] if check["n"] in {6, 9}] == ["not judged"] * 2
    assert result["hosts"] == {}
    types = place.types(change)
    assert types[-1] == "change.refused"
    assert not {"permit.issued", "run.started", "slice.intended"} & set(types)
    assert place.untouched()
    assert place.journals() == {"web1": [], "web2": [], "web3": []}
    return result


def test_without_approval_nothing_runs_and_with_it_exactly_that_runs(place: Place) -> None:
    change = place.propose(ROLL)
    result = refused(place, change, 10, 2)
    assert result["retryable"] is True
    text = place.itmp("run", change, "--key", "alice", expect=10)
    assert f"itmp approve {change}" in text.out
    place.approve(change)
    assert place.untouched()
    place.run(change)
    assert place.journals() == {host: ["begin one", "end one"] for host in ("web1", "web2", "web3")}
    assert not place.untouched()


def test_an_approval_that_has_expired_is_none(place: Place) -> None:
    change = place.propose(ROLL)
    text = place.json("statement", change, "--act", "approve", "--signer", BOB)["text"]
    end = later(8)
    lines = [
        f"valid {line.split()[1]} {end}" if line.startswith("valid ") else line for line in text.splitlines()
    ]
    file = place.write("approve.txt", "\n".join(lines) + "\n")
    place.itmp("statement", "add", str(file), str(place.sign("bob", file, "approve")), expect=0)
    while later(0) <= end:
        time.sleep(0.1)
    result = refused(place, change, 10, 2, 4)
    assert "expired" in str(result["checks"])


@pytest.mark.parametrize("act", ["reject", "revoke"])
def test_what_somebody_rejected_or_took_back_does_not_run(place: Place, act: str) -> None:
    change = place.propose(ROLL)
    place.approve(change)
    if act == "reject":
        place.itmp("reject", change, "--key", "carol", "--yes", expect=0)
        result = refused(place, change, 18, 4)
        assert "carol@example.com rejected" in str(result["checks"])
    else:
        place.itmp("revoke", change, "--key", "bob", expect=0)
        result = refused(place, change, 18, 2, 4)
        assert "bob@example.com revoked" in str(result["checks"])
    assert result["retryable"] is False


def test_outside_its_window_a_change_says_when_it_may_run(place: Place) -> None:
    start, end = later(86400), later(90000)
    change = place.ready(ROLL, "--from", start, "--to", end)
    result = refused(place, change, 11, 5)
    assert result["retry_at"] == start
    assert result["retryable"] is True


def test_after_its_window_a_change_never_runs_again(place: Place) -> None:
    change = place.ready(ROLL, "--from", later(-7200), "--to", later(-3600))
    assert refused(place, change, 11, 5)["retry_at"] is None


def test_nobody_approves_their_own_request(place: Place) -> None:
    change = place.propose(ROLL, key="bob")
    place.approve(change, key="bob")
    refused(place, change, 15, 3)


def test_nobody_starts_what_they_approved(place: Place) -> None:
    change = place.ready(ROLL)
    result = refused(place, change, 15, 3, key="bob")
    assert "bob@example.com, who starts it" in str(result["checks"])


def test_one_person_with_one_vote_is_no_quorum_of_two(place: Place) -> None:
    change = place.propose(ROLL.replace("risk: moderate", "risk: high"))
    place.approve(change, key="bob")
    place.approve(change, key="bob")
    refused(place, change, 10, 2)
    place.approve(change, key="carol")
    place.run(change)


def test_a_canceled_change_does_not_run(place: Place) -> None:
    change = place.ready(ROLL)
    place.itmp("change", "cancel", change, "--reason", "not needed", "--key", "alice", expect=0)
    done = place.itmp("run", change, "--key", "alice", expect=18)
    assert "canceled" in done.err
    assert place.untouched()


def test_a_stranger_neither_opens_nor_approves_nor_runs(place: Place) -> None:
    make_key(place.root / "mallory", "alice@example.com")
    change = place.ready(ROLL)
    count = len(place.leaves())
    for words in (
        ("approve", change, "--yes"),
        ("run", change),
        ("revoke", change),
        ("stop", change, "--reason", "x"),
    ):
        done = place.itmp(*words, "--key", "mallory")
        assert done.rc in {2, 15}, (words, done)
    assert (
        "no signer of the policy has the key" in place.itmp("run", change, "--key", "mallory", expect=15).err
    )
    assert len(place.leaves()) == count
    assert place.untouched()


def test_a_plan_made_with_another_ansible_is_refused_before_any_host_is_reached(place: Place) -> None:
    place.write("runbooks/r.yml", ROLL)
    file = place.root.parent / "r.plan.tar"
    place.itmp("plan", "runbooks/r.yml", "-o", str(file), expect=0)
    made = from_tar(file.read_bytes())
    old = replace(made.manifest, versions={**made.manifest.versions, "ansible_core": "2.9.0"})
    artifacts = {path: made.artifact(path) for path in old.artifacts}
    file.write_bytes(to_tar(Plan.build(replace(old, artifacts={}), artifacts)))
    change = str(place.json("change", "open", str(file), "--reason", "old", "--key", "alice")["change"])
    place.approve(change)
    result = place.run(change, expect=12)
    assert [check["n"] for check in result["checks"] if check["outcome"] == "refused"] == [6]
    assert "the plan was made with 2.9.0" in next(c["why"] for c in result["checks"] if c["n"] == 6)
    assert "permit.issued" not in place.types(change)
    assert place.untouched()
