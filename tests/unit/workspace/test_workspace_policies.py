"""Signatures under a proposal, gathered over days: what does not count any more never reaches the log."""

from datetime import timedelta
from pathlib import Path

import pytest
from keep import again, make_key

from itmp import workspace
from itmp.adapters.clock import SystemClock
from itmp.change import team_policy
from itmp.errors import RefusedError
from itmp.signing import Signed
from itmp.workspace import policies, statements


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    """A log of alice and bob, who change its policy together; an sre may sign a policy too, and does not count."""
    people = {}
    for name in ("alice", "bob"):
        make_key(tmp_path / name)
        people[f"{name}@example.com"] = ((tmp_path / f"{name}.pub").read_text(), ("owner", "sre"))
    text = team_policy(people, amend=2).replace(b"sre: [open,", b"sre: [policy, open,")
    assert b"sre: [policy," in text
    (tmp_path / "first.yml").write_bytes(text)
    (tmp_path / "next.yml").write_bytes(text + b"# newer\n")
    who = {"key": str(tmp_path / "alice"), "organization": "example.com", "signer": "alice@example.com"}
    workspace.init(tmp_path, policy=tmp_path / "first.yml", **who)  # type: ignore[arg-type]  # all are texts
    return workspace.Workspace.here(tmp_path)


def key(place: workspace.Workspace, who: str) -> str:
    return str(place.root / who)


def propose(place: workspace.Workspace, who: str, file: str = "next.yml") -> workspace.Proposed:
    return workspace.policy_propose(again(place), place.root / file, key=key(place, who))


def signed(place: workspace.Workspace, digest: str, *, role: str = "owner", seconds: int = 3600) -> Signed:
    """Alice's signature under a proposal, as it may lie in the folder."""
    signer = statements.choose_signer(place, place.history().latest.policy, key(place, "alice"))
    until = SystemClock().now().replace(microsecond=0) + timedelta(seconds=seconds)
    own = policies.policy_lines(place, digest)
    return statements.sign(
        statements.compose(place, "policy", own, signer=signer.id, role=role, until=until), signer
    )


def lay(place: workspace.Workspace, digest: str, one: Signed) -> None:
    file = place.state / "proposals" / f"{digest.removeprefix('sha256:')}.json"
    policies._collect(file, one, place.history().latest.policy.digest)


def test_an_expired_signature_is_passed_over_and_given_again(place: workspace.Workspace) -> None:
    digest = propose(place, "bob").digest
    lay(place, digest, signed(place, digest, seconds=30))
    size = place.log.size()
    done = workspace.policy_sign(again(place), digest, key=key(place, "bob"))
    assert (done.in_force, done.signers) == (False, ("bob@example.com",))
    assert again(place).log.size() == size
    assert workspace.policy_sign(again(place), digest, key=key(place, "alice")).in_force
    assert workspace.audit_verify(again(place)).findings == ()


def test_a_signature_of_a_version_that_was_taken_back_is_not_used_again(place: workspace.Workspace) -> None:
    digest = propose(place, "bob").digest
    old = signed(place, digest)
    lay(place, digest, old)
    assert workspace.policy_sign(again(place), digest, key=key(place, "bob")).in_force
    propose(place, "alice", "first.yml")
    assert propose(place, "bob", "first.yml").in_force
    lay(again(place), digest, old)
    done = propose(place, "bob")
    assert (done.in_force, done.signers) == (False, ("bob@example.com",))
    assert propose(place, "alice").in_force
    assert workspace.audit_verify(again(place)).findings == ()


def test_a_role_that_does_not_change_the_policy_is_refused(place: workspace.Workspace) -> None:
    digest = propose(place, "bob").digest
    with pytest.raises(RefusedError, match="does not change the policy as sre"):
        policies.policy_take(place, signed(place, digest, role="sre"))
    assert workspace.policy_sign(again(place), digest, key=key(place, "bob")).signers == ("bob@example.com",)
