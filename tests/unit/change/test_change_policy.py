import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from itmp.change import Policy, Reading, starter_policy
from itmp.change.policy import Target
from itmp.errors import InvalidInputError, RefusedError
from itmp.testing.people import Person
from itmp.testing.story import small_plan

ALICE, BOB = Person("alice@example.com"), Person("bob@example.com")
STARTER = starter_policy("alice@example.com", ALICE.public.line)


def edited(**changes: Any) -> bytes:
    document = yaml.safe_load(STARTER)
    document.update(changes)
    return yaml.safe_dump(document, sort_keys=False).encode()


def refused(data: bytes) -> str:
    with pytest.raises(InvalidInputError) as caught:
        Policy.from_bytes(data)
    return str(caught.value)


def test_the_starter_lets_one_person_run_low_risk_in_the_lab_and_nothing_else_alone() -> None:
    policy = Policy.from_bytes(STARTER)
    assert policy.quorum_for("lab", "low").count == 0
    for environment, risk, count in [
        ("lab", "moderate", 1),
        ("lab", "high", 2),
        ("production", "low", 1),
        ("production", "moderate", 1),
        ("production", "high", 2),
    ]:
        assert policy.quorum_for(environment, risk).count == count  # type: ignore[arg-type]


def test_a_missing_rule_is_a_refusal_and_never_zero() -> None:
    policy = Policy.from_bytes(STARTER)
    with pytest.raises(RefusedError, match="no quorum rule for standard changes of low risk in lab"):
        policy.quorum_for("lab", "low", "standard")


@pytest.mark.parametrize(
    ("targets", "environment"),
    [
        ([Target(name="box", groups=("lab",))], "lab"),
        ([Target(name="box", groups=("lab",)), Target(name="web1", groups=("web",))], "production"),
        ([Target(name="unheard-of")], "production"),
        ([Target(name="urn:pulumi:x", kind="resource")], "production"),
        ([], "production"),
    ],
)
def test_the_strictest_environment_of_all_targets_counts(targets: list[Target], environment: str) -> None:
    assert Policy.from_bytes(STARTER).environment_of(targets) == environment


def test_a_target_that_several_environments_claim_belongs_to_the_strictest() -> None:
    both = [
        {"name": "lab", "rank": 0, "match": ["*"]},
        {"name": "production", "rank": 10, "match": ["address:10.9.*", "resource:*prod*", "db?"]},
    ]
    policy = Policy.from_bytes(edited(environments=both))
    assert policy.environment_of([Target(name="web1", address="10.1.0.1")]) == "lab"
    assert policy.environment_of([Target(name="web1", address="10.9.0.1")]) == "production"
    assert policy.environment_of([Target(name="db7")]) == "production"
    assert policy.environment_of([Target(name="a-prod-b", kind="resource")]) == "production"


@pytest.mark.parametrize(
    ("said", "group", "risk", "reading"),
    [
        ("lab", "lab", "low", Reading(environment="lab", risk="low")),
        ("lab", "web", "low", Reading(environment="production", risk="low")),
        ("production", "lab", "low", Reading(environment="production", risk="low")),
        ("never-declared", "lab", "high", Reading(environment="production", risk="high")),
    ],
)
def test_a_document_raises_the_environment_and_never_lowers_it(
    said: str, group: str, risk: Any, reading: Reading
) -> None:
    plan = small_plan(environment=said, group=group, risk=risk)
    assert Policy.from_bytes(STARTER).read(plan.manifest) == reading


def test_an_environment_raises_the_risk() -> None:
    environments = [
        {"name": "lab", "rank": 0, "match": ["*"], "minimum_risk": "high"},
        {"name": "production", "rank": 1},
    ]
    reading = Policy.from_bytes(edited(environments=environments)).read(
        small_plan(environment="lab").manifest
    )
    assert reading == Reading(environment="lab", risk="high")


def test_the_digest_is_that_of_the_bytes() -> None:
    other = STARTER + b"\n"
    assert Policy.from_bytes(STARTER).digest != Policy.from_bytes(other).digest
    assert Policy.from_bytes(STARTER).document == Policy.from_bytes(other).document


def test_every_problem_is_reported_at_once() -> None:
    text = refused(edited(extra=1, limits={"approval": "soon"}, amend={"roles": ["owner"], "count": 0}))
    for place in ("extra", "limits.approval", "amend.count"):
        assert place in text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (STARTER + b"roles: {}\n", "stands twice"),
        (b"a: &x 1\nb: *x\n", "anchors"),
        (b"itmp: !!python/name:os.system\n", "not readable YAML"),
        (b"\xff", "not readable YAML"),
        (b"[" * 5000, "not readable YAML"),
        (b"- 1\n", "policy"),
        (STARTER.replace(b"policy/v1", b"policy/v2"), "policy/v1"),
        (STARTER.replace(b"count: 0", b"count: -1"), "greater than or equal to 0"),
        (STARTER.replace(b"count: 0", b"count: no"), "count"),
        (STARTER.replace(b"environment: lab", b"environment: laboratory"), "laboratory is not declared"),
        (STARTER.replace(b"roles: [sre,", b"roles: [sree,"), "sree is not declared"),
        (STARTER.replace(b"[enrol,", b"[enroll,"), "'enroll' is no act"),
        (STARTER.replace(b"id: alice", "id: \N{CYRILLIC SMALL LETTER A}lice".encode()), "no signer's id"),
        (STARTER.replace(b"id: alice@example.com", b"id: '*'"), "no signer's id"),
        (STARTER.replace(b"count: 1}\nsep", b"count: 2}\nsep"), "amend needs 2"),
        (STARTER.replace(b"rank: 10", b"rank: 0"), "rank 0 stands twice"),
        (STARTER.replace(b"[approver], count: 1}", b"[sre], count: 1}"), "may not approve"),
        (b"#" * 50_000, "the limit is"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(data: bytes, why: str) -> None:
    assert why in refused(data)


def test_one_key_cannot_stand_for_two_people() -> None:
    document = yaml.safe_load(STARTER)
    document["signers"].append({**copy.deepcopy(document["signers"][0]), "id": "bob@example.com"})
    assert "twice in the policy" in refused(yaml.safe_dump(document).encode())


def test_hardware_can_only_be_asked_of_hardware_keys() -> None:
    document = yaml.safe_load(STARTER)
    document["signers"][0]["keys"][0]["hardware"] = True
    assert "not a FIDO" in refused(yaml.safe_dump(document).encode())


def test_a_weak_key_never_enters() -> None:
    weak = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    assert "signers.0.keys.0.key" in refused(STARTER.replace(ALICE.public.line.encode(), weak.encode()))


def test_keys_are_valid_between_their_dates() -> None:
    document = yaml.safe_load(STARTER)
    document["signers"][0]["keys"][0] |= {
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2026-02-01T00:00:00Z",
    }
    key = Policy.from_bytes(yaml.safe_dump(document).encode()).signers[0].keys[0]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert [key.valid_at(at + timedelta(days=days)) for days in (-1, 0, 31, 32)] == [False, True, True, False]


def test_a_signer_only_has_the_exact_key() -> None:
    policy = Policy.from_bytes(STARTER)
    assert policy.key_of("alice@example.com", ALICE.public)
    assert policy.key_of("alice@example.com", BOB.public) is None
    assert policy.key_of("bob@example.com", ALICE.public) is None


def test_freezes_and_windows_are_read_for_their_environment_and_type() -> None:
    policy = Policy.from_bytes(
        edited(
            windows=[
                {
                    "environments": ["production"],
                    "days": ["sat"],
                    "start": "22:00",
                    "duration": "4h",
                    "zone": "UTC",
                }
            ],
            freezes=[
                {
                    "name": "year end",
                    "from": "2026-12-20T00:00:00Z",
                    "to": "2027-01-05T00:00:00Z",
                    "environments": ["all"],
                    "except": ["emergency"],
                }
            ],
        )
    )
    assert len(policy.windows_for("production")) == 1
    assert policy.windows_for("lab") == ()
    assert [freeze.name for freeze in policy.freezes_for("lab", "normal")] == ["year end"]
    assert policy.freezes_for("lab", "emergency") == ()
    assert "windows" in refused(
        edited(
            windows=[
                {"environments": ["lab"], "days": ["sat"], "start": "25:00", "duration": "4h", "zone": "UTC"}
            ]
        )
    )
