import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from itmp.signing import (
    ACTS,
    NoteKey,
    Scope,
    SignatureError,
    Signed,
    Statement,
    StatementError,
    change_id,
    check_principal,
    lines_of,
    verify_signed,
)
from itmp.testing.people import Person

DIGEST = "sha256:" + "0f" * 32
VKEY = NoteKey.generate("example.com/ops/2026", b"k" * 32).vkey
WINDOW = "2026-11-22T22:00:00Z 2026-11-23T02:00:00Z"
ROOT = base64.b64encode(bytes(range(32))).decode()
EMPTY = "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
ANY: Mapping[str, str] = {
    "log": "example.com/ops/2026",
    "signer": "alice@example.com",
    "role": "change-manager",
    "policy": DIGEST,
    "logkey": VKEY,
    "previous": "-",
    "plan": DIGEST,
    "type": "normal",
    "reason": "Restart after the kernel's update (see wiki)",
    "external": "snow:CHG0031234",
    "window": WINDOW,
    "change": "CHG-7f3a90c21b",
    "request": DIGEST,
    "scope": "env=production hosts=40 resources=2",
    "of": DIGEST,
    "limit": "web:!web7",
    "run": "0193c4f2aa",
    "step": "confirm",
    "value": "true",
    "host": "web1.example.com",
    "outcome": "ok",
    "model": "restart-web",
    "from": DIGEST,
    "to": DIGEST,
    "size": "70000",
    "leaf": DIGEST,
    "pointer": "/data/diff",
    "valid": "2026-11-22T05:00:00Z 2026-11-23T02:00:00Z",
    "seen": f"70000 {ROOT}",
    "nonce": base64.b64encode(bytes(range(16))).decode(),
}


def fields(act: str, **other: str) -> dict[str, str]:
    keys = {"from": VKEY, "to": VKEY} if act == "rotate" else {}
    return {name: {**ANY, **keys, **other}[name] for name in lines_of(act)}


def test_approve_is_the_documented_text() -> None:
    assert Statement.compose("approve", fields("approve")).text == (
        "itmp-statement/v1\nact approve\nlog example.com/ops/2026\nsigner alice@example.com\nrole change-manager\n"
        f"policy {DIGEST}\nchange CHG-7f3a90c21b\nplan {DIGEST}\nrequest {DIGEST}\n"
        "window 2026-11-22T22:00:00Z 2026-11-23T02:00:00Z\nscope env=production hosts=40 resources=2\n"
        f"valid 2026-11-22T05:00:00Z 2026-11-23T02:00:00Z\nseen 70000 {ROOT}\nnonce AAECAwQFBgcICQoLDA0ODw==\n"
    )


@pytest.mark.parametrize(
    ("act", "own"),
    [
        ("enrol", "logkey previous"),
        ("open", "plan type reason external window"),
        ("approve", "change plan request window scope"),
        ("reject", "change plan request window scope"),
        ("revoke", "change of"),
        ("run", "change plan request limit"),
        ("resume", "change plan request limit"),
        ("undo", "change plan request limit"),
        ("preview", "change plan request limit"),
        ("stop", "change reason"),
        ("cancel", "change reason"),
        ("close", "change reason"),
        ("review", "change reason"),
        ("answer", "change run step value"),
        ("reconcile", "change run host outcome reason"),
        ("approve-model", "plan model reason"),
        ("policy", "from to"),
        ("rotate", "from to size"),
        ("redact", "leaf pointer reason"),
        ("recover", "size reason"),
    ],
)
def test_every_act_has_its_lines_in_order(act: str, own: str) -> None:
    statement = Statement.compose(act, fields(act))
    names = [line.partition(" ")[0] for line in statement.text.splitlines()]
    expected = [
        "itmp-statement/v1",
        "act",
        "log",
        "signer",
        "role",
        "policy",
        *own.split(),
        "valid",
        "seen",
        "nonce",
    ]
    assert names == expected
    assert Statement.parse(statement.text) == statement
    assert dict(statement.fields) == fields(act)


def test_the_table_above_names_every_act() -> None:
    assert len(ACTS) == 21


def test_typed_readers() -> None:
    statement = Statement.compose("approve", fields("approve"))
    start, end = datetime(2026, 11, 22, 22, tzinfo=UTC), datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert statement.window == (start, end)
    assert statement.valid == (datetime(2026, 11, 22, 5, tzinfo=UTC), end)
    assert statement.seen == (70000, bytes(range(32)))
    assert statement.scope == Scope(environment="production", hosts=40, resources=2)
    assert statement.namespace == "itmp-approve@example.com"
    assert Statement.compose("open", fields("open", window="-")).window is None
    assert Statement.compose("stop", fields("stop")).scope is None


@pytest.mark.parametrize(
    ("act", "name", "value", "reason"),
    [
        ("open", "reason", "two\nlines", "U+000A"),
        ("open", "reason", "carriage\rreturn", "U+000D"),
        ("open", "reason", "\x1b[31mred", "U+001B"),
        ("open", "reason", "nul\0", "U+0000"),
        ("open", "reason", "bidi \u202e txt", "U+202E"),
        ("open", "reason", "line\u2028separator", "U+2028"),
        ("open", "reason", "lone \ud800", "U+D800"),
        ("open", "reason", "", "0 characters"),
        ("open", "reason", " outer", "space"),
        ("open", "reason", "x" * 1025, "1025"),
        ("answer", "value", "\x85", "U+0085"),
        ("open", "signer", "\u0430lice@example.com", "U+0430"),
        ("open", "signer", "*@example.com", "signer's id"),
        ("open", "signer", "alice,bob", "signer's id"),
        ("open", "signer", "-", "signer's id"),
        ("open", "log", "example.com/ops", "origin"),
        ("open", "log", "Example.com/ops/2026", "origin"),
        ("open", "log", "example.com/../2026", "origin"),
        ("open", "log", "example.com/ops/2026/x", "origin"),
        ("open", "role", "Change-Manager", "role"),
        ("open", "policy", DIGEST.upper(), "digest"),
        ("open", "plan", "sha256:00", "digest"),
        ("open", "type", "urgent", "standard"),
        ("open", "window", "2026-11-23T02:00:00Z 2026-11-22T22:00:00Z", "end"),
        ("open", "window", "2026-11-22T22:00:00Z 2026-11-22T22:00:00Z", "end"),
        ("open", "window", "2026-11-22T22:00:00+00:00 2026-11-23T02:00:00Z", "time"),
        ("open", "window", "2026-11-22T22:00:00Z  2026-11-23T02:00:00Z", "time"),
        ("open", "window", "2026-02-30T22:00:00Z 2026-11-23T02:00:00Z", "day"),
        ("open", "valid", "-", "time"),
        ("open", "external", "with space", "external"),
        ("open", "nonce", "AAECAwQFBgcICQoLDA0ODw", "nonce"),
        ("open", "nonce", "AAECAwQFBgcICQoLDA0ODx==", "nonce"),
        ("open", "nonce", "AAECAwQFBgcICQoLDA0O", "15 bytes"),
        ("open", "seen", f"070000 {ROOT}", "number"),
        ("open", "seen", f"0 {ROOT}", "empty log"),
        ("open", "seen", "70000", "root hash"),
        ("open", "seen", f"99999999999999999 {ROOT}", "number"),
        ("approve", "change", "CHG-7F3A90C21B", "change"),
        ("approve", "change", "-", "change"),
        ("approve", "scope", "env=production hosts=040 resources=2", "scope"),
        ("approve", "scope", "env=production hosts=40 resources=2 x", "scope"),
        ("reconcile", "outcome", "unknown", "ok or failed"),
        ("reconcile", "host", "two hosts", "name"),
        ("enrol", "logkey", "example.com+short", "verifier key"),
        ("redact", "pointer", "data", "pointer"),
        ("rotate", "from", DIGEST, "verifier key"),
        ("policy", "from", VKEY, "digest"),
    ],
)
def test_values_outside_the_grammar_are_refused(act: str, name: str, value: str, reason: str) -> None:
    with pytest.raises(StatementError, match=name) as caught:
        Statement.compose(act, fields(act, **{name: value}))
    assert reason in str(caught.value)
    good = Statement.compose(act, fields(act)).text
    forged = good.replace(f"\n{name} {fields(act)[name]}\n", f"\n{name} {value}\n")
    assert forged != good
    with pytest.raises(StatementError):
        Statement.parse(forged)


def test_a_preview_may_come_before_its_change() -> None:
    statement = Statement.compose("preview", fields("preview", change="-", request="-", limit="-"))
    assert statement.fields["change"] == "-"
    with pytest.raises(StatementError, match="change"):
        Statement.compose("run", fields("run", change="-"))


def test_enrol_sees_the_empty_log() -> None:
    statement = Statement.compose("enrol", fields("enrol", seen=EMPTY, previous=f"70000 {ROOT}"))
    assert statement.seen[0] == 0


def test_compose_names_missing_and_unknown_fields() -> None:
    given = fields("stop") | {"plan": DIGEST}
    del given["reason"]
    with pytest.raises(StatementError, match=r"missing: \['reason'\], unknown: \['plan'\]"):
        Statement.compose("stop", given)
    with pytest.raises(StatementError, match="acts are"):
        Statement.compose("destroy", given)


TEXT = Statement.compose("stop", fields("stop")).text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1"),
        (TEXT[:-1], "line 11"),
        (TEXT[:-1] + "X", "line 11"),
        (TEXT[:-1] + "\r", "line 11"),
        (TEXT + "\n", "line 12"),
        (TEXT + "nonce x\n", "line 12"),
        ("\ufeff" + TEXT, "line 1"),
        (TEXT.replace("\n", "\r\n"), "line 1"),
        (TEXT.replace("v1", "v2"), "line 1"),
        (TEXT.replace("act stop", "act cancel stop"), "line 2"),
        (TEXT.replace("act stop", "act  stop"), "line 2"),
        (TEXT.replace("\nrole", "\nsigner bob@example.com\nrole"), "line 5"),
        (TEXT.replace("role change-manager\n", ""), "line 5"),
        (TEXT.replace("change CHG", "change  CHG"), "line 7"),
        (TEXT.replace("reason ", "reason\t"), "line 8"),
        (TEXT.replace("\nreason ", " \nreason "), "line 7"),
    ],
)
def test_parse_names_the_line(text: str, line: str) -> None:
    with pytest.raises(StatementError) as caught:
        Statement.parse(text)
    assert caught.value.where == line


def test_a_huge_text_is_refused_before_it_is_read() -> None:
    with pytest.raises(StatementError, match="limit"):
        Statement.parse(TEXT + "x" * 20_000)


def test_a_signed_statement_names_act_and_domain_in_its_namespace() -> None:
    alice = Person("alice@example.com", 1)
    signed = alice.state("stop", fields("stop"))
    statement, by = verify_signed(Signed.from_data(signed.to_data()), domain="example.com")
    assert (statement.text, by.key, by.touched, by.pin) == (TEXT, alice.public, None, None)
    with pytest.raises(SignatureError, match=r"not for 'example\.org'"):
        verify_signed(signed, domain="example.org")
    other = Signed(text=TEXT, signature=alice.sign(TEXT.encode(), "itmp-cancel@example.com"))
    with pytest.raises(SignatureError, match="namespace"):
        verify_signed(other, domain="example.com")


def test_one_changed_character_breaks_the_signature() -> None:
    signed = Person("alice@example.com", 1).state("stop", fields("stop"))
    forged = Signed(text=signed.text.replace("wiki", "Wiki"), signature=signed.signature)
    with pytest.raises(SignatureError, match="over this text"):
        verify_signed(forged, domain="example.com")


def test_change_id_hashes_text_and_armor() -> None:
    alice = Person("alice@example.com", 1)
    signed = alice.state("open", fields("open"))
    digest = hashlib.sha256(signed.text.encode() + signed.signature.encode()).hexdigest()
    assert change_id(signed) == "CHG-" + digest[:10] == "CHG-6cebd37512"
    assert change_id(Person("alice@example.com", 2).state("open", fields("open"))) != change_id(signed)
    with pytest.raises(StatementError, match="open"):
        change_id(alice.state("stop", fields("stop")))
    with pytest.raises(SignatureError):
        change_id(Signed(text=signed.text, signature=signed.signature + "\n"))


@pytest.mark.parametrize(
    "data", [{}, {"text": "x"}, {"text": "x", "signature": None}, {"text": 1, "signature": "x"}]
)
def test_data_without_a_pair_is_refused(data: Mapping[str, object]) -> None:
    with pytest.raises(StatementError):
        Signed.from_data(data)


def test_principals() -> None:
    assert check_principal("ci+deploy_bot-1@example.com") == "ci+deploy_bot-1@example.com"
    for bad in ("", "@a", "a b", "a*", "\uff41lice", "a" * 129, "a\n", 'a"b'):
        with pytest.raises(StatementError):
            check_principal(bad)
