"""What joins one period's log to the next, by `verify.sh`: TRUST stays as it is, and a forged handover is no way out of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from attacks import judged, shelled

from itmp.audit import Checkpoint, Event, Leaf
from itmp.evidence import archive, build
from itmp.evidence.bundle import handover
from itmp.evidence.proofs import write_inclusion
from itmp.evidence.seen import signed_in
from itmp.testing.forgery import ForgedLog, repacked
from itmp.testing.periods import NextStory, end, next_key
from itmp.testing.story import EXECUTOR, ORIGIN, Story, small_plan

THIRD = "example.com/ops/2028"
NOTHING: dict[str, Any] = {"change": "", "plan": "", "cseq": None, "cprev": ""}
"""What a leaf that is of no change says of one."""


def small() -> Story:
    return Story(plan=small_plan(hosts=["web1"])).tell()


@cache
def honest() -> NextStory:
    """A told first period, handed over by the book, and a change told in the second."""
    first = small()
    end(first, next_key())
    second = NextStory(first)
    second.tell()
    return second


@cache
def third() -> NextStory:
    """Three periods: the second one's policy was changed, and its key revoked."""
    first = small()
    end(first, next_key())
    second = NextStory(first)
    shorter = second.policy_bytes.replace(b"approval: 14d", b"approval: 7d")
    second.amend(shorter)
    second.policy_bytes = shorter
    end(second, next_key(THIRD, b"third"), reason="the disk was copied")
    last = NextStory(second, next_key(THIRD, b"third"), policy=shorter)
    last.tell()
    return last


def both(bundle: bytes, trust: dict[str, bytes], folder: Path) -> tuple[int, str]:
    """The code of both verifiers, which must be one, and what the shell said."""
    code, out = shelled(bundle, trust, folder)
    assert judged(bundle, trust)[0] == code, out
    return code, out


@pytest.mark.parametrize("age", [0, 1, 2])
def test_trust_of_any_period_leads_to_the_newest(age: int, tmp_path: Path) -> None:
    first = third().before.before if isinstance(third().before, NextStory) else None
    assert first
    code, out = both(third().bundle(), [third(), third().before, first][age].trust(), tmp_path)
    assert code == 0, out
    lines = [line for line in out.splitlines() if line.startswith("holds        rule 21: ")]
    assert len(lines) == [1, 2, 2][age], out
    assert ("example.com/ops/2026 handed over to example.com/ops/2027" in out) == (age == 2)


def offered(old: Story | ForgedLog, successor: Story) -> bytes:
    """The honest evidence, with another old log and another beginning of the new one."""
    mine: dict[str, bytes | None] = dict.fromkeys(
        f"handovers/1/{name}" for name in handover(honest().before.log)
    )
    log = old.log if isinstance(old, Story) else old
    mine |= {f"handovers/1/{name}": data for name, data in handover(log).items()}
    return repacked(honest().bundle(), {**mine, "leaves/0": successor.log.leaf(0).data})


def one_sided(*, old: bool) -> bytes:
    key = honest().before.key if old else next_key()
    lie = NextStory(honest().before, note=lambda one: key.sign(one.to_text()).decode())
    return offered(honest().before, lie)


def ended(*, by: tuple[str, ...] = ("alice", "bob"), **lies: str) -> bytes:
    """A thief of the old key ends the log for a key of their own, and begins another with it."""
    old, thief = small(), next_key(seed=b"thief")
    end(old, thief, by=by, **lies)
    return offered(old, NextStory(old, thief))


def slipped() -> bytes:
    weaker = honest().before.policy_bytes.replace(
        b"amend: {roles: [owner], count: 2}", b"amend: {roles: [owner], count: 1}"
    )
    return offered(honest().before, NextStory(honest().before, policy=weaker))


def gone_on() -> bytes:
    old = honest().before
    late = Event(
        id="e" * 32, type="plan.compiled", actor=EXECUTOR, t="2026-11-29T00:00:00.000000Z", mono=10**15, boot="b",
    )  # fmt: skip
    leaves = [*(leaf.data for leaf in old.log.leaves()), late.to_bytes()]
    return offered(ForgedLog(leaves, old.key, old.log.blob), honest())


def cut() -> bytes:
    old = honest().before
    leaves = [leaf.data for leaf in old.log.leaves()]
    return offered(ForgedLog([*leaves[:4], leaves[-1]], old.key, old.log.blob), honest())


def told_without(**said: object) -> bytes:
    """A second period whose first leaf says something else of the first."""
    return offered(honest().before, NextStory(honest().before, previous=said))


def founded_anew() -> bytes:
    """A log of another founding in the place of the successor."""
    other = small()
    return repacked(
        other.evidence(), {f"handovers/1/{n}": d for n, d in handover(honest().before.log).items()}
    )


FORGED: dict[str, Callable[[], bytes]] = {
    "the old key alone signed it": lambda: one_sided(old=True),
    "the new key alone signed it": lambda: one_sided(old=False),
    "one of two people ended the log": lambda: ended(by=("alice",)),
    "people signed for another key": lambda: ended(to=next_key().vkey),
    "a weaker policy begins the new log": slipped,
    "the old log goes on": gone_on,
    "the old log was cut before": cut,
    "another size": lambda: told_without(size=honest().before.log.size() - 1),
    "another last leaf": lambda: told_without(leaf=honest().before.log.leaf(1).hash),
    "another time of its last leaf": lambda: told_without(at="2026-11-29T00:00:00.000000Z"),
    "no handover at all": lambda: honest().bundle(drop=["handovers/"]),
    "a successor that continues nothing": founded_anew,
    "one more member": lambda: repacked(honest().bundle(), {"handovers/1/extra": b"x"}),
    "a policy beside the leaf": lambda: repacked(honest().bundle(), {"handovers/1/policy/0.yml": b"x"}),
    "a second group that is the first": lambda: repacked(
        honest().bundle(), {f"handovers/2/{n}": d for n, d in handover(honest().before.log).items()}
    ),
    "a group left out": lambda: third().bundle(drop=["handovers/2/"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_handover_is_refused_alike(name: str, tmp_path: Path) -> None:
    """A policy that is loose about a new log is no reason to believe what stands there."""
    code, out = both(FORGED[name](), honest().before.trust(), tmp_path)
    rule = 1 if name in {"one more member", "a policy beside the leaf"} else 21
    assert (code, f"BROKEN       rule {rule}: " in out) == (40, True), out
    assert "RESULT" not in out


def test_every_kind_of_member_of_a_handover_is_bound(tmp_path: Path) -> None:
    bundle, trust = honest().bundle(), honest().before.trust()
    names = [name for name in archive.unpack(bundle) if name.startswith("handovers/1/")]
    for number, kind in enumerate(("checkpoint", "leaves/0", "leaves/", "proofs/", "consistency/")):
        name = [one for one in names if one.startswith(f"handovers/1/{kind}")][-1]
        data = archive.unpack(bundle)[name]
        for turn, value in enumerate((data[:-2] + bytes([data[-2] ^ 1]) + data[-1:], None)):
            changed = repacked(bundle, {name: value})
            folder = tmp_path / f"{number}{turn}"
            folder.mkdir()
            code, out = shelled(changed, trust, folder)
            assert code == judged(changed, trust)[0] == 40, (name, out)


def test_a_kept_checkpoint_counts_for_the_period_that_it_is_of(tmp_path: Path) -> None:
    first, trust = honest().before, honest().before.trust()
    head = first.log.checkpoint().checkpoint
    kept = {size: first.key.sign(Checkpoint(origin=ORIGIN, size=size, root=first.log.root(size)).to_text())
            for size in (3, head.size)}  # fmt: skip
    forked = first.key.sign(Checkpoint(origin=head.origin, size=head.size, root=bytes(32)).to_text())
    thief = next_key(seed=b"thief").sign(honest().log.checkpoint().checkpoint.to_text())
    cases = {
        "the end of the first": (kept[head.size], 0, "holds        rule 21"),
        "no proof from it": (kept[3], 41, "INCOMPLETE   rule 6: an earlier period"),
        "a fork of the first": (forked, 42, "two roots"),
        "the newest of the second": (honest().log.checkpoint().note, 0, "holds        rule 21"),
        "a forged one of the second": (thief, 40, "TRUST/checkpoint is not signed"),
        "another log's": (next_key("example.com/else/2026").sign("example.com/else/2026\n0\n"), 2, "TRUST/checkpoint"),
    }  # fmt: skip
    for number, (name, (note, code, said)) in enumerate(cases.items()):
        brought, folder = {**trust, "checkpoint": note}, tmp_path / str(number)
        folder.mkdir()
        found, out = shelled(honest().bundle(), brought, folder)
        assert (found, said in out) == (code, True), (name, out)
        if code != 2:
            assert judged(honest().bundle(), brought)[0] == code, name


def test_a_revoked_key_counts_to_its_size_alone_on_the_way(tmp_path: Path) -> None:
    first = honest().before
    line = f"{first.log.vkey} {first.log.size() - 1}\n".encode()
    code, out = both(honest().bundle(), {**first.trust(), "revoked": line}, tmp_path)
    assert (code, "the key was revoked" in out) == (40, True), out


def put_after(story: Story, type_: str, data: Mapping[str, object]) -> bytes:
    """Evidence over one more leaf that says who may do what, written by whoever has the log's key."""
    last = story.log.leaf(story.log.size() - 1).event
    late = replace(
        last, id="e" * 32, type=type_, actor=EXECUTOR, data=data, mono=(last.mono or 0) + 1, **NOTHING
    )
    leaves = [leaf.data for leaf in story.log.leaves()]
    log = ForgedLog([*leaves, late.to_bytes()], story.key, story.log.blob)
    leaf, size = Leaf(index=len(leaves), data=late.to_bytes()), len(leaves) + 1
    head = log.published()
    with patch("itmp.evidence.bundle._policy_leaves", lambda _, __: list(story.log.policy_leaves())):
        honest = build(log, story.change)
    added = {
        f"leaves/{leaf.index}": leaf.data,
        f"proofs/{leaf.index}.tlog-proof": write_inclusion(
            leaf.index, log.prove_inclusion(leaf.index, size), head.note
        ),
        f"policy/{leaf.index}.yml": str(data["policy"]).encode(),
    }
    for number, signed in enumerate(signed_in(leaf)):
        name = f"statements/{leaf.index}-{number}"
        added |= {f"{name}.txt": signed.text.encode(), f"{name}.sig": signed.signature.encode()}
    return repacked(honest, added)


def test_no_second_genesis_brings_another_policy(tmp_path: Path) -> None:
    """The statements that founded the log stand in every evidence file, and say nothing of the policy in that leaf."""
    story = small()
    weaker = story.policy_bytes.replace(b"owner], count: 2", b"owner], count: 1")
    assert weaker != story.policy_bytes
    data = {**(story.log.leaf(0).event.data or {}), "policy": weaker.decode()}
    code, out = both(put_after(story, "log.created", data), story.trust(), tmp_path)
    assert (code, "BROKEN       rule 5: " in out, "a second genesis" in out) == (40, True, True), out


def test_no_policy_is_brought_twice_by_the_same_statements(tmp_path: Path) -> None:
    """It was changed, and changed back because that was a mistake; the old signatures are still at hand."""
    story = small()
    first, shorter = story.policy_bytes, story.policy_bytes.replace(b"approval: 14d", b"approval: 7d")
    at = story.log.size()
    story.amend(shorter)
    at = next(leaf.index for leaf in story.log.policy_leaves() if leaf.index >= at)
    story.amend(first)
    bundle = put_after(story, "policy.changed", story.log.leaf(at).event.data or {})
    code, out = both(bundle, story.trust(), tmp_path)
    assert (code, "BROKEN       rule 5: " in out, "is used again" in out) == (40, True, True), out


def test_a_kept_checkpoint_of_a_period_that_is_not_walked_is_named(tmp_path: Path) -> None:
    """A later period than that of the change, or one before TRUST's own."""
    first, second, said = (
        honest().before,
        third().before,
        "NOT CHECKED  rule 6: TRUST/checkpoint is of a period",
    )
    assert isinstance(second, NextStory)
    later, earlier = honest().log.checkpoint().note, second.before.log.checkpoint().note
    own = first.log.checkpoint().note
    cases = [
        (first.evidence(), {**first.trust(), "checkpoint": later}, True),
        (third().bundle(), {**second.trust(), "checkpoint": earlier}, True),
        (first.evidence(), {**first.trust(), "checkpoint": own}, False),
        (honest().bundle(), {**first.trust(), "checkpoint": own}, False),
        (honest().bundle(), {**first.trust(), "checkpoint": later}, False),
        (honest().bundle(), first.trust(), False),
    ]
    for number, (bundle, trust, named) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        code, out = both(bundle, trust, folder)
        assert (code, said in out) == (0, named), (number, out)
