from dataclasses import fields, replace
from datetime import timedelta

import pytest

from itmp.audit import Event, Receipt
from itmp.change import Admission, Permit, permit_event
from itmp.errors import EvidenceInvalidError, RefusedError
from itmp.testing.story import EXECUTOR, Story, small_plan


def story() -> Story:
    told = Story()
    told.open()
    told.act("approve", "bob")
    return told


def test_a_permit_carries_what_it_rests_on() -> None:
    told = story()
    permit = told.permit(limit="web1")
    assert (permit.change, permit.plan, permit.run, permit.mode) == (
        told.change,
        told.plan.digest,
        "run-1",
        "run",
    )
    assert (permit.hosts, permit.limit) == (frozenset({"web1"}), ("web1",))
    assert permit.policy == told.history.latest.policy.digest
    assert permit.leaf == told.record.permits[0].leaf
    assert permit.statements[0] == told.request
    assert timedelta(0) < permit.not_after - told.clock.now() <= timedelta(hours=12)


def test_a_permit_covers_its_hosts_alone() -> None:
    permit = story().permit(limit="web1")
    assert [permit.covers(name) for name in ("web1", "web2", "db1", "")] == [True, False, False, False]


def test_a_permit_cannot_be_made() -> None:
    permit = story().permit()
    values = {field.name: getattr(permit, field.name) for field in fields(permit)}
    for mint in ({}, {"mint": object()}, {"mint": True}):
        with pytest.raises(RefusedError, match="cannot be made"):
            Permit(**values, **mint)
    with pytest.raises((RefusedError, ValueError)):
        replace(permit, limit=("web1", "web2", "db1"))


def test_only_a_durable_permit_leaf_becomes_a_permit() -> None:
    told = story()
    admission = told.admit()
    assert isinstance(admission, Admission)
    event = permit_event(admission, id=told.id(), run="run-1", manifest=told.plan.manifest, actor=EXECUTOR)
    receipt = told.write(event)
    Permit.from_receipt(receipt)
    other = told.act("approve", "carol")
    for bad, why in [
        (other, "no permit"),
        (replace(receipt, durable=False), "not durable"),
        (replace(receipt, hash=other.hash), "not the receipt's"),
        (Receipt(index=receipt.index, hash=receipt.hash, leaf=other.leaf), "no permit|not the receipt's"),
    ]:
        with pytest.raises(EvidenceInvalidError, match=why):
            Permit.from_receipt(bad)


def test_a_permit_whose_hosts_are_not_those_of_its_digest_is_refused() -> None:
    told = story()
    admission = told.admit()
    assert isinstance(admission, Admission)
    event = permit_event(admission, id=told.id(), run="run-1", manifest=told.plan.manifest, actor=EXECUTOR)
    assert event.data
    body = {**event.data["permit"], "limit": ["web1", "web2", "db1"]}
    receipt = told.write(replace(event, data={"permit": body}))
    with pytest.raises(EvidenceInvalidError, match="other hosts"):
        Permit.from_receipt(receipt)


def test_more_hosts_than_a_leaf_holds_are_named_by_digest() -> None:
    names = [f"web{number}.a-long-zone.example.com" for number in range(1200)]
    told = Story(plan=small_plan(hosts=names))
    told.open()
    told.act("approve", "bob")
    admission = told.admit()
    assert isinstance(admission, Admission)
    event = permit_event(admission, id=told.id(), run="run-1", manifest=told.plan.manifest, actor=EXECUTOR)
    receipt = told.write(event)
    permit = Permit.from_receipt(receipt, manifest=told.plan.manifest)
    assert permit.covers(names[-1])
    assert not permit.covers("db1")
    with pytest.raises(EvidenceInvalidError, match="other hosts"):
        Permit.from_receipt(receipt)
    with pytest.raises(EvidenceInvalidError, match="other hosts"):
        Permit.from_receipt(receipt, manifest=small_plan().manifest)
    with pytest.raises(RefusedError, match="limit"):
        permit_event(
            replace(admission, hosts=admission.hosts[1:]),
            id=told.id(),
            run="r",
            manifest=told.plan.manifest,
            actor=EXECUTOR,
        )


def test_a_slices_admission_is_no_permit() -> None:
    told = story()
    admission = told.admit()
    assert isinstance(admission, Admission)
    with pytest.raises(RefusedError, match="no permit to run"):
        permit_event(
            replace(admission, mode="slice"),
            id=told.id(),
            run="r",
            manifest=told.plan.manifest,
            actor=EXECUTOR,
        )


def test_a_permit_contradicting_its_event_is_refused() -> None:
    told = story()
    receipt = told.permit()
    body = dict(told.record.permits[0].body)
    event = Event(
        id=told.id(),
        type="permit.issued",
        actor=EXECUTOR,
        change=told.change,
        plan=told.plan.digest,
        run="run-2",
        data={"permit": body},
    )
    with pytest.raises(EvidenceInvalidError, match="contradicts its own event"):
        Permit.from_receipt(told.write(event))
    assert receipt.run == "run-1"
