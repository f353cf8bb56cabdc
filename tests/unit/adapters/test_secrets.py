import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.adapters.secrets import MASK, WITHHELD, Masker, resolve
from itmp.errors import InvalidInputError, NotFoundError
from itmp.signing import NoteKey

SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=6, max_size=40).filter(
    lambda text: text.strip() == text
)


def test_references_are_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "from env")
    (tmp_path / "s").write_text("from file\n")
    assert resolve("env:A_SECRET") == "from env"
    assert resolve(f"file:{tmp_path / 's'}") == "from file"


def test_a_key_that_signs_a_log_is_handed_to_nobody(tmp_path, monkeypatch):
    key = NoteKey.generate("example.com/ops/2026", b"s" * 32).to_text()
    (tmp_path / "log.key").write_text(key + "\n")
    monkeypatch.setenv("A_KEY", key)
    for reference in ("env:A_KEY", f"file:{tmp_path / 'log.key'}"):
        with pytest.raises(InvalidInputError) as caught:
            resolve(reference)
        assert key not in str(caught.value)


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/nonexistent/x"])
def test_a_missing_secret_names_its_reference(reference):
    with pytest.raises(NotFoundError) as caught:
        resolve(reference)
    assert caught.value.where == reference


@pytest.mark.parametrize("reference", ["", "plain-value", "env:", "vault:x", "hunter2"])
def test_what_is_no_reference_is_refused_and_not_repeated_whole(reference):
    with pytest.raises(InvalidInputError):
        resolve(reference)


@given(SECRETS, st.text(max_size=3), st.text(max_size=3))
def test_no_encoding_of_a_secret_survives(secret, before, after):
    masker = Masker([secret])
    for encode in (
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus,
    ):
        assert encode(secret) not in masker.text(f"x {encode(secret)} y")
    encoded = base64.b64encode((before + secret + after).encode(errors="replace")).decode()
    assert MASK in masker.text(encoded)


def test_values_are_masked_in_depth():
    masker = Masker(["hunter2"])
    assert masker.value({"a hunter2": ["x hunter2", 1, True, None]}) == {
        f"a {MASK}": [f"x {MASK}", 1, True, None]
    }
    assert Masker(["12345"]).value({"port": 12345}) == {"port": MASK}


def test_without_secrets_nothing_changes():
    assert Masker([]).text("as it is") == "as it is"


def test_what_is_learned_later_is_masked_too():
    masker = Masker(["hunter2"])
    masker.learn(["sesame"])
    assert masker.text("hunter2 sesame") == f"{MASK} {MASK}"


def test_values_that_overlap_leave_no_rest():
    assert Masker(["abcdef", "defxyz"]).text("-abcdefxyz-") == f"-{MASK}-"
    assert Masker(["aaab"]).text("aaaaab") == f"aa{MASK}"


def test_when_not_everything_is_known_everything_is_withheld():
    masker = Masker(["hunter2"])
    masker.learn(None)
    assert masker.text("an ordinary text") == WITHHELD
    assert masker.text("") == ""


@pytest.mark.parametrize("more_secrets", [(), tuple(f"one-of-many-{number}" for number in range(400))])
@pytest.mark.parametrize(
    "secret", ["abcd", "pässword", 'with "quotes" and \\', "line one of it\nline two of it", "x" * 40]
)
def test_a_text_holds_a_secret_exactly_where_it_would_be_masked(secret, more_secrets):
    masker = Masker([secret, "another-secret", "abx", *more_secrets])
    forms = [
        secret,
        json.dumps(secret),
        json.dumps({"deep": json.dumps(secret)}),
        base64.b64encode(secret.encode()).decode(),
    ]
    for text in (f"{form}{more}" for form in forms for more in ("", " and more")):
        assert masker.holds(text) is (masker.text(text) != text) is True
        assert masker.holds(f"before {text}") is True
    for text in ("", "abc", "anothe", "nothing of it", "another-secre", json.dumps({"a": 1})):
        assert masker.holds(text) is (masker.text(text) != text) is False


def test_where_everything_is_withheld_every_text_may_hold_a_secret():
    masker = Masker()
    masker.learn(None)
    assert masker.holds("anything")
    assert not masker.holds("")
