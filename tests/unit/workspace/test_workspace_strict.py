"""`audit verify --strict` asks about every statement, and about nothing else, whatever a leaf says."""

import json
from pathlib import Path
from typing import Any

import pytest
from keep import SECRET, again, found, keep

from itmp import workspace
from itmp.adapters.clock import new_id
from itmp.audit import STANDING, Event
from itmp.audit.event import TYPES
from itmp.change.carried import MAY, ONE, NoStatementError, carried
from itmp.signing import Signed
from itmp.workspace.place import EXECUTOR

NONSENSE: tuple[dict[str, Any], ...] = (
    {},
    {"signature": "x"},
    {"text": "x", "signature": 1},
    {"text": ["x"], "signature": "x"},
    {"statements": [{}]},
    {"statements": ["sha256:00"]},
    {"statements": {"text": "x"}},
    {"statements": None, "signature": None},
    {"statements": []},
)


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    return found(tmp_path / "w")


def key(place: workspace.Workspace) -> str:
    return str(place.root / "key")


def told(place: workspace.Workspace) -> list[tuple[str, str]]:
    report = workspace.audit_verify(again(place), strict=True)
    assert report.exit_code == (40 if any(one.grave for one in report.findings) else 0)
    return [(one.name, one.place) for one in report.findings if one.grave]


def write(place: workspace.Workspace, kind: str, data: dict[str, Any]) -> int:
    event = Event(id=new_id(), type=kind, actor=dict(EXECUTOR), data=data)
    index = place.log.append(event).index
    place.log.checkpoint()
    return index


def test_a_redaction_and_a_second_period_are_sound_to_a_stock_ssh_keygen(place: workspace.Workspace) -> None:
    place.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    leaf = keep(place, SECRET, change="")
    workspace.audit_redact(place, leaf.hash, "/diff", reason="a password", key=key(place))
    done = [one for one in again(place).log.leaves() if one.event.type == "redaction.done"]
    assert all(isinstance(one, str) for one in (done[0].event.data or {})["statements"])
    assert told(place) == []
    workspace.rotate(again(place), period="2027", key=key(place))
    assert told(place) == []


@pytest.mark.parametrize("data", NONSENSE, ids=json.dumps)
def test_what_is_no_statement_hides_none_that_is_bad(
    place: workspace.Workspace, data: dict[str, Any]
) -> None:
    nothing = write(place, "action.finished", data)
    assert told(place) == [], f"leaf {nothing} carries no statement"
    missing = write(place, "statement.recorded", data)
    forged = write(place, "statement.recorded", {"text": "itmp-statement/v1\n", "signature": "x"})
    assert told(place) == [("statement-missing", f"leaf {missing}"), ("ssh-keygen", f"leaf {forged}")]


def test_nonsense_of_an_earlier_period_is_told_with_its_period(place: workspace.Workspace) -> None:
    missing = write(place, "statement.recorded", {"statements": [{}]})
    workspace.rotate(place, period="2027", key=key(place))
    assert told(place) == [("statement-missing", f"period 2026: leaf {missing}")]


def test_a_policy_that_cannot_be_walked_leaves_no_signature_unasked_in_silence(
    place: workspace.Workspace,
) -> None:
    write(place, "policy.changed", {"policy": 1, "statements": "none"})
    names = [name for name, _ in told(place)]
    assert {"policy-history", "signatures-unjudged"} <= set(names)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_the_type_alone_says_where_a_statement_stands(kind: str) -> None:
    def of(data: dict[str, Any]) -> list[type]:
        event = Event(id=new_id(), type=kind, actor=dict(EXECUTOR), data=data)
        return [type(one) for one in carried(event)]

    pair = {"text": "x", "signature": "y"}
    one, many = kind in ONE | MAY, kind in STANDING
    assert of({**pair, "statements": [pair, 1]}) == (
        [Signed] if one else [Signed, NoStatementError] if many else []
    )
    assert of({}) == ([NoStatementError] if kind in ONE | STANDING else [])
