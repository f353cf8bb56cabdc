"""What stands in the log: sizes, hostile text, hosts by digest, the digest of the work."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp import canonical
from itmp.audit.event import MAX_LEAF
from itmp.errors import LogUnavailableError
from itmp.execution import Author
from itmp.execution.doors import Action, ActionResult, Slice
from itmp.execution.record import MAX_INLINE, Recorder, work_digest
from itmp.testing.rig import CHANGE, Rig
from itmp.testing.small_plans import ansible, check, hosts, plan, stack

WEB = hosts(2)
PLAN = plan([ansible("one", WEB), stack("grow", ["a"])])
URN = "urn:pulumi:prod::shop::itmp:Knob::a"


def recorder(rig: Rig) -> Recorder:
    author = Author(actor={"kind": "executor", "id": "itmp"})
    return Recorder(rig.journal, permit=rig.permit(), author=author, environment="production", ids=rig.id)


def part(rig: Rig, number: int = 0) -> Slice:
    step = rig.plan.manifest.steps[number]
    return Slice(key=step.id, step=step, hosts=getattr(step, "hosts", ()))  # type: ignore[arg-type]


def last(rig: Rig):
    return rig.journal.events[-1]


def test_a_fleet_too_large_for_a_leaf_stands_in_a_blob_and_is_read_back() -> None:
    many = hosts(MAX_INLINE + 1)
    rig = Rig(plan([ansible("one", many, tasks=1)]))
    summary = rig.execute()
    intended = next(e for e in rig.journal.events if e.type == "slice.intended")
    assert "hosts" not in intended.data
    assert json.loads(rig.journal.blob(intended.data["hosts_blob"])) == list(many)
    assert intended.data["hosts_digest"] == intended.data["hosts_blob"]
    assert json.loads(rig.journal.blob(last(rig).data["hosts_blob"])) == summary.hosts
    assert rig.story().slices["one"].states == dict.fromkeys(many, "changed")
    assert rig.resume().exit_code == 0


def test_few_hosts_with_long_names_do_not_burst_a_leaf_either() -> None:
    long = tuple(f"{number:03}.{'x' * 200}" for number in range(400))
    rig = Rig(plan([ansible("one", long, tasks=1)]))
    assert rig.execute().exit_code == 0
    assert max(len(leaf.data) for leaf in rig.journal.leaves[1:]) < MAX_LEAF / 2


HOSTILE = st.text(st.characters(exclude_categories=[]), max_size=3000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(
    HOSTILE,
    st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    st.sampled_from(["ok", "nonsense", ""]),
    st.integers() | st.none(),
)
def test_whatever_a_target_says_its_result_is_written(text, data, outcome, rc) -> None:
    rig = Rig(PLAN)
    one = recorder(rig)
    result = ActionResult(
        id="1",
        host="web1",
        action=text,
        outcome=outcome,
        rc=rc,
        path=text,
        name=text,
        delegate=text,
        message=text,
        data=data,
    )
    one.action_finished(part(rig), canonical.digest(b""), result)
    assert last(rig).outcome == ("ok" if outcome == "ok" else "unknown")
    assert len(last(rig).data["message"]) <= 1000


def test_deep_and_big_data_is_kept_as_text_and_in_a_blob() -> None:
    rig = Rig(PLAN)
    deep: list = []
    for _ in range(500):
        deep = [deep]
    for data in ({"deep": deep}, {"big": ["x" * 1000] * 100}):
        result = ActionResult(id="1", host="web1", action="a", outcome="ok", data=data)
        recorder(rig).action_finished(part(rig), canonical.digest(b""), result)
    assert "more_blob" in last(rig).data


def test_a_resource_operations_inputs_are_the_engines_or_else_the_approved_ones() -> None:
    rig = Rig(PLAN)
    for given_, expected in (({}, [1, 2]), ({"desired": 3}, [None, 3])):
        action = Action(id=URN, host=URN, action="update", after=given_)
        recorder(rig).action_intended(part(rig, 1), canonical.digest(b""), action)
        assert last(rig).data["inputs"] == {"desired": expected}
        assert last(rig).target == {"kind": "resource", "id": URN, "env": "production"}


def test_the_digest_of_the_work_depends_on_hosts_and_on_every_line_of_it() -> None:
    steps = [ansible("one", WEB), ansible("one", WEB, tasks=3), stack("grow", ["a"]), check("ask", WEB)]
    found = {
        work_digest(Slice(key="k", step=step, hosts=names)) for step in steps for names in (WEB, WEB[:1])
    }
    assert len(found) == 8
    expected = b'{"hosts":[],"work":[["' + URN.encode() + b'","update"]]}'
    assert work_digest(Slice(key="k", step=steps[2], hosts=())) == canonical.digest(expected)


def test_an_intent_names_its_work_its_hosts_and_the_permit() -> None:
    rig = Rig(PLAN)
    rig.execute()
    intended = next(e for e in rig.journal.events if e.type == "slice.intended")
    permit = next(leaf.hash for leaf in rig.journal.leaves if leaf.event.type == "permit.issued")
    assert (intended.step, intended.phase) == ("one", "do")
    assert intended.data == {
        "slice": "one",
        "hosts": list(WEB),
        "permit": permit,
        "work": work_digest(part(rig)),
    }


@pytest.mark.parametrize(("state", "outcome"), [("succeeded", "ok"), ("unknown", "unknown"), ("failed", "failed"), ("undone", "failed"), ("stopped", "failed")])  # fmt: skip
def test_a_run_ends_ok_unknown_or_failed(state, outcome) -> None:
    rig = Rig(PLAN)
    recorder(rig).run_finished(state, hosts={"web1": "ok"}, resources={})
    assert (last(rig).outcome, last(rig).data) == (outcome, {"state": state, "hosts": {"web1": "ok"}})


def test_keys_of_any_script_are_kept_readable() -> None:
    rig = Rig(PLAN)
    data = {"größe": 1, "\ud800": 2, string.printable: 1.5}
    recorder(rig).action_finished(
        part(rig),
        canonical.digest(b""),
        ActionResult(id="1", host="web1", action="a", outcome="ok", data=data),
    )
    assert last(rig).data["more"]["gr\\xf6\\xdfe"] == 1
    assert last(rig).data["more"][string.printable] == "1.5"
    assert last(rig).change == CHANGE


def test_a_diff_is_committed_to_and_never_stands_in_the_leaf() -> None:
    rig = Rig(PLAN)
    kept: list[tuple[str, object]] = []

    def seal(pointer: str, value: object) -> canonical.Digest:
        kept.append((pointer, value))
        return canonical.digest(b"commitment")

    author = Author(actor={"kind": "executor", "id": "itmp"})
    mine = Recorder(
        rig.journal, permit=rig.permit(), author=author, environment="production", ids=rig.id, seal=seal
    )
    result = ActionResult(
        id="1", host="web1", action="copy", outcome="changed", diff="-hunter2\ud800" + "x" * 70_000
    )
    mine.action_finished(part(rig), canonical.digest(b"i"), result)
    assert last(rig).diff == canonical.digest(b"commitment")
    assert b"hunter2" not in rig.journal.leaves[-1].data
    assert kept == [("/diff", ("-hunter2?" + "x" * 70_000)[: 64 * 1024])]
    assert "hunter2" not in repr(result)


def test_a_diff_that_cannot_be_kept_does_not_cost_the_result() -> None:
    rig = Rig(PLAN)

    def seal(_pointer: str, _value: object) -> canonical.Digest:
        raise LogUnavailableError("no room on the disk")

    author = Author(actor={"kind": "executor", "id": "itmp"})
    mine = Recorder(
        rig.journal, permit=rig.permit(), author=author, environment="production", ids=rig.id, seal=seal
    )
    result = ActionResult(id="1", host="web1", action="copy", outcome="changed", diff="-hunter2")
    for one in (mine, recorder(rig)):
        one.action_finished(part(rig), canonical.digest(b"i"), result)
        assert (last(rig).outcome, last(rig).diff) == ("changed", "")
        assert b"hunter2" not in rig.journal.leaves[-1].data
    assert rig.journal.events[-2].data["diff_lost"] == "no room on the disk"
