"""Attacks on approval: the executor lies, or a signer's key is not what it seems.

The naive verifier finds a genuine approval in the file and is content.
"""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import naive
import pytest
import test_evidence_lies as lies
from attacks import cheating, fido_blob, instead_of, judged, opened, ran, rsa_blob, voted
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from itmp.audit import Event
from itmp.change import Permit, Policy, policy_history
from itmp.errors import Error
from itmp.evidence import Trust, archive, verify
from itmp.evidence.bundle import manifest_of
from itmp.signing import Signed, Statement
from itmp.signing.wire import string
from itmp.testing.forgery import repacked
from itmp.testing.story import Story, small_plan

UNFOUNDED = (40, 10, "permit-unfounded")
ED = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
ED_BLOB = string(b"ssh-ed25519") + string(ED.public_key().public_bytes_raw())
HONEST = Story(plan=small_plan(hosts=["web1"])).tell()


def told(lie: Callable[[Story], Permit], **options: object) -> tuple[Story, bytes]:
    """A story in which the executor runs on a permit that the gate never gave; the naive verifier sees an approval."""
    story = lies.opened(**options)
    permit = lie(story)
    story.execute(permit)
    story.close()
    bundle = story.evidence()
    assert naive.approved(bundle)
    return story, bundle


def unfounded(lie: Callable[[Story], Permit], **options: object) -> None:
    story, bundle = told(lie, **options)
    assert judged(bundle, story.trust()) == UNFOUNDED


def test_the_same_without_a_lie_holds() -> None:
    story = opened()
    bundle = voted(story)
    assert naive.approved(bundle)
    assert verify(bundle, Trust.from_files(story.trust())).ok


# Replay


def test_approval_replayed_onto_another_plan() -> None:
    unfounded(lies.approval_of_another_plan)


def test_approval_replayed_onto_another_change() -> None:
    unfounded(lies.approval_of_another_change)


def test_approval_replayed_onto_another_log() -> None:
    unfounded(lies.approval_of_another_log)


def test_approval_replayed_onto_another_environment() -> None:
    unfounded(lies.approval_of_a_smaller_scope)


def test_approval_replayed_onto_another_window() -> None:
    unfounded(lies.approval_of_another_window)


def test_approval_used_twice() -> None:
    """The same signed words in two leaves are one vote: a nonce counts once."""
    story = opened(risk="high")
    first = story.act("approve", "bob")
    signed = story.record.votes[0].given
    text = story.log.leaf(first.index).event.data or {}
    again = story.write(_again(story, text))
    bundle = ran(story, [first.hash, again.hash])
    assert signed.signer == "bob@example.com"
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


def _again(story: Story, data: object) -> Event:
    return Event(
        id=story.id(), type="change.approved", actor={"kind": "human", "id": "bob@example.com"},
        change=story.change, plan=story.plan.digest, data=data,  # type: ignore[arg-type]
    )  # fmt: skip


# Time


def test_approval_after_execution() -> None:
    unfounded(lies.approved_afterwards)


def test_approval_with_back_dated_validity() -> None:
    """The words say "valid since noon", the leaf comes after the permit: the order of leaves decides."""

    def lie(story: Story) -> Permit:
        permit = story.force()
        story.act("approve", "bob", valid="2026-11-22T12:00:00Z 2026-11-22T23:00:00Z")
        return permit

    unfounded(lie)


def test_approval_expired() -> None:
    unfounded(lies.expired)


def test_seen_from_a_fork() -> None:
    story = opened()
    bundle = voted(story, seen="1 0RgTD8upVL8lZ2mV4Ezh6B1p9pVfWv2oRkz4pQh0q3Y=")
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == (42, 6, "forked")


# Who


def test_one_human_with_two_keys() -> None:
    """Bob has a second key, in the policy and honestly his: he is still one of the two people that high risk asks for."""
    second = f"\n      - key: {_line(ED_BLOB)}".encode()

    def grown(data: bytes) -> bytes:
        old = Story().people["bob"].public.line.encode()
        return data.replace(old, old + second)

    story = opened(risk="high", policy=grown)
    first = story.act("approve", "bob")
    honest = story.sign("approve", "bob", **story._lines("approve"))
    signed = Signed(text=honest.text, signature=cheating(ED)(honest.text))
    other = story.record_signed("approve", "bob", signed)
    assert len(story.record.votes) == 2  # both are his, and both are genuine
    bundle = ran(story, [first.hash, other.hash])
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


def _line(blob: bytes) -> str:
    return blob[4 : 4 + int.from_bytes(blob[:4])].decode() + " " + base64.b64encode(blob).decode()


def test_wildcard_principal(tmp_path: Path) -> None:
    """Stock ssh-keygen takes whatever identity its caller names for such a key."""
    armor = cheating(ED)("act approve\n")
    assert naive.stock(
        armor, b"act approve\n", "eve@example.com", f"*@example.com {_line(ED_BLOB)}", tmp_path
    )
    data = HONEST.policy_bytes.replace(b"id: bob@example.com", b'id: "*@example.com"')
    with pytest.raises(Error):
        Policy.from_bytes(data)
    refused_in_a_leaf(data, "policy")


@pytest.mark.parametrize(
    ("name", "seen"),
    [("b\u043eb", naive.read), ("\uff42ob", naive.normalised)],
    ids=["Cyrillic o, read", "full width b, normalised"],
)
def test_look_alike_unicode_principal(name: str, seen: Callable[[str], str]) -> None:
    """Another person for whoever compares bytes, bob for who does not; ASCII alone is a name for us."""
    text = HONEST.sign("approve", "bob", **HONEST._lines("approve")).text
    alike = text.replace("signer bob", f"signer {name}")
    policy = HONEST.policy_bytes.replace(b"id: bob", f"id: {name}".encode())
    assert alike != text
    assert policy != HONEST.policy_bytes
    assert naive.signer(alike, seen) == naive.signer(text, seen) == "bob@example.com"
    assert naive.holders(policy, seen) == naive.holders(HONEST.policy_bytes, seen)
    with pytest.raises(Error):
        Statement.parse(alike)
    refused_in_a_leaf(policy, "policy")


def test_approver_is_the_requester() -> None:
    unfounded(lies.requester_approved)


def test_approver_is_the_executor() -> None:
    unfounded(lies.runner_approved)


def test_role_not_held() -> None:
    unfounded(lies.approval_in_a_role_not_held)


# Keys: what they sign is genuine, and they do not count


def test_touchless_fido(tmp_path: Path) -> None:
    """A program on bob's machine can use a key that asks for no touch; stock ssh-keygen accepts that."""
    armor, line = cheating(ED, flags=0)("act approve\n"), f"bob@example.com {_line(fido_blob(ED))}"
    assert naive.stock(armor, b"act approve\n", "bob@example.com", line, tmp_path)
    story = opened(policy=instead_of(Story(), "bob", fido_blob(ED)))
    bundle = voted(story, cheating(ED, flags=0))
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED
    touched = opened(policy=instead_of(Story(), "bob", fido_blob(ED)))
    assert verify(voted(touched, cheating(ED, flags=1)), Trust.from_files(touched.trust())).ok


def test_fido_without_the_pin_that_the_policy_asks_for() -> None:
    def pinned(data: bytes) -> bytes:
        data = instead_of(Story(), "bob", fido_blob(ED))(data)
        return data.replace(
            _line(fido_blob(ED)).encode(), _line(fido_blob(ED)).encode() + b"\n        pin: true"
        )

    for flags, code in ((1, 40), (5, 0)):
        story = opened(policy=pinned)
        bundle = voted(story, cheating(ED, flags=flags))
        assert naive.approved(bundle)
        assert verify(bundle, Trust.from_files(story.trust())).exit_code == code


def test_hardware_key_used_as_a_plain_one() -> None:
    story = opened(policy=instead_of(Story(), "bob", fido_blob(ED)))
    bundle = voted(story, cheating(ED))
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


@pytest.mark.parametrize(
    "wish",
    [
        {"hash_name": "md5"},
        {"hash_name": "sha1"},
        {"reserved": b"x"},
        {"space": "itmp-reject@example.com"},
        {"space": "file"},
    ],
    ids=["md5", "sha1", "reserved", "another act", "another namespace"],
)
def test_signature_by_a_refused_method(wish: dict[str, object]) -> None:
    story = opened(policy=instead_of(Story(), "bob", ED_BLOB))
    bundle = voted(story, cheating(ED, **wish))  # type: ignore[arg-type]
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


IDENTITY = b"\x01" + bytes(31)


def refused_in_a_leaf(policy: bytes, what: str) -> None:
    """Put `policy` into leaf 0 of honest evidence, everything recomputed and trusted: rule 5 still refuses it."""
    with pytest.raises(Error, match=what):
        Policy.from_bytes(policy)  # at enrolment
    bad = Story(policy=policy)
    leaf = bad.log.leaf(0)
    with pytest.raises(Error):
        policy_history([leaf])
    members = archive.unpack(HONEST.evidence())
    members = rehashed({**members, "leaves/0": leaf.data}, bad)
    bundle = archive.pack({**members, "MANIFEST": manifest_of(members)})
    assert naive.approved(bundle)
    assert judged(bundle, bad.trust()) == (40, 5, "policy-unauthorized")


def rehashed(members: dict[str, bytes], story: Story) -> dict[str, bytes]:
    """Recompute tree, proofs and checkpoint: a file that holds every leaf of its log can be wholly forged."""
    count = sum(name.startswith("leaves/") for name in members)
    forged = lies.ForgedLog([members[f"leaves/{n}"] for n in range(count)], story.key, story.log.blob)
    note = forged.published().note
    proofs = {
        f"proofs/{n}.tlog-proof": lies.write_inclusion(n, forged.prove_inclusion(n, count), note)
        for n in range(count)
    }
    return {**members, **proofs, "checkpoint": note}


@pytest.mark.parametrize(
    ("point", "why"),
    [
        (IDENTITY, "small order"),
        (bytes(32), "small order"),
        (b"\xff" * 32, "canonical"),
        (b"\xee" + b"\xff" * 30 + b"\x7f", "canonical"),
    ],
    ids=["identity", "order four", "all ones", "p plus one"],
)
def test_small_order_and_non_canonical_keys(point: bytes, why: str, tmp_path: Path) -> None:
    """One signature by such a key holds for every text."""
    blob = string(b"ssh-ed25519") + string(point)
    old = HONEST.people["bob"].public.line.encode()
    if point == IDENTITY:
        for text in ("act approve\n", "act reject\n"):
            signature = b"\x01" + bytes(63)
            from_nobody = cheating(_Nobody(point, signature))  # type: ignore[arg-type]
            assert naive.genuine(from_nobody(text), text.encode())
            assert naive.stock(from_nobody(text), text.encode(), "bob", f"bob {_line(blob)}", tmp_path)
    refused_in_a_leaf(HONEST.policy_bytes.replace(old, _line(blob).encode()), why)


class _Nobody:
    """No secret: a public point and one signature for all texts."""

    def __init__(self, point: bytes, signature: bytes) -> None:
        self._point, self._signature = point, signature

    def public_key(self) -> "_Nobody":
        return self

    def public_bytes_raw(self) -> bytes:
        return self._point

    def sign(self, _: bytes) -> bytes:
        return self._signature


def test_rsa_1024(tmp_path: Path) -> None:
    secret = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the refused case
    text = "act approve\n"
    assert naive.genuine(cheating(secret)(text), text.encode())
    line = f"bob {_line(rsa_blob(secret))}"
    assert naive.stock(cheating(secret)(text), text.encode(), "bob", line, tmp_path)
    old = HONEST.people["bob"].public.line.encode()
    refused_in_a_leaf(HONEST.policy_bytes.replace(old, _line(rsa_blob(secret)).encode()), "1024 bits")


@pytest.mark.parametrize(
    "dates",
    [b"not_after: 2026-11-22T19:00:00Z", b"not_before: 2026-11-23T00:00:00Z"],
    ids=["expired", "not yet valid"],
)
def test_key_outside_its_dates(dates: bytes) -> None:
    old = Story().people["bob"].public.line.encode()
    story = opened(policy=lambda data: data.replace(old, old + b"\n        " + dates))
    bundle = voted(story)
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


def test_key_removed_from_the_policy() -> None:
    """Revoked: bob was a signer when he approved and is none when it runs."""
    story = lies.opened()
    vote = story.act("approve", "bob")
    old, new = story.people["bob"].public.line.encode(), _line(ED_BLOB).encode()
    story.amend(story.policy_bytes.replace(old, new))
    bundle = ran(story, [vote.hash])
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


# Quorum and policy


def test_quorum_with_a_revoked_vote() -> None:
    unfounded(lies.revoked)


def test_quorum_with_a_rejection() -> None:
    unfounded(lies.rejected)


def test_signer_policy_rollback() -> None:
    """Approved under the old rules, run under the new: the version in force counts."""
    unfounded(lies.approval_under_an_old_policy)


def test_policy_changed_by_less_than_its_old_quorum() -> None:
    """One owner's signature is genuine, and two were asked for."""
    story, bundle = lies.weakened()
    assert naive.amended(bundle)
    assert judged(bundle, story.trust()) == (40, 5, "policy-unauthorized")


# The plan


def manifest_and_rest() -> tuple[bytes, dict[str, bytes]]:
    bundle = HONEST.evidence()
    return bundle, archive.unpack(bundle)


def test_plan_bytes_changed_after_approval() -> None:
    bundle, members = manifest_and_rest()
    name = next(name for name in members if name.startswith("plan/artifacts/"))
    changed = repacked(bundle, {name: members[name] + b"\n"})
    assert naive.approved(changed)
    assert judged(changed, HONEST.trust()) == (40, 9, "plan-altered")


def test_plan_of_the_same_meaning_in_other_bytes() -> None:
    bundle, members = manifest_and_rest()
    plan = members["plan/manifest"]
    other = plan.replace(b'":', b'": ', 1)
    assert naive.same_plan(plan, other)
    assert judged(repacked(bundle, {"plan/manifest": other}), HONEST.trust()) == (40, 9, "plan-altered")


def test_plan_swapped_by_a_symlink(tmp_path: Path) -> None:
    """A link in the archive's place of a file: the reader knows files alone."""
    bundle, _ = manifest_and_rest()
    at = bundle.index(b"plan/manifest\0")
    head = bytearray(bundle[at : at + 512])
    head[156:157] = b"2"
    head[157:168] = b"/etc/passwd"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    linked = bundle[:at] + bytes(head) + bundle[at + 512 :]
    assert tmp_path / "plan/manifest" in naive.unpacked(linked, tmp_path)
    assert judged(linked, HONEST.trust()) == (40, 1, "archive-altered")


# Work that nobody approved


def test_action_outside_the_plan() -> None:
    story, permit, step = lies.begun()
    intent = story.intend(permit, step, ["web1"])
    story.result(permit, step, intent.hash, "web2")
    bundle = story.evidence()
    assert naive.ran_under_a_permit(bundle)
    assert judged(bundle, story.trust()) == (40, 13, "result-unintended")


def test_leaf_of_a_stranger_is_no_vote() -> None:
    story = opened()
    bundle = voted(story, lambda text: story.people["carol"].sign(text.encode(), "itmp-approve@example.com"))
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED


def test_run_after_the_approval_has_lapsed() -> None:
    story = opened()
    vote = story.act("approve", "bob")
    story.clock.time += timedelta(days=15)
    bundle = ran(story, [vote.hash])
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == UNFOUNDED
