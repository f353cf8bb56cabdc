import pytest

from itmp.documents.secrecy import parse_reference, plaintext, secret_like
from itmp.errors import InvalidInputError


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "dbPassword",
        "API-KEY",
        "apikey",
        "auth_token",
        "aws_secret_access_key",
        "private_key",
        "client_secret_v2",
        "smtp_pass",
        "credentials",
        "TOKEN",
    ],
)
def test_secret_like_names(name: str):
    assert secret_like(name)


@pytest.mark.parametrize(
    "name",
    [
        "passive",
        "password_length",
        "token_ttl",
        "secret_name",
        "private_key_path",
        "bypass",
        "tokenizer",
        "compass",
        "monkey",
        "public_key",
        "keyboard",
    ],
)
def test_harmless_names(name: str):
    assert not secret_like(name)


def test_plaintext_is_found_wherever_it_stands():
    values = {
        "a": {"db_password": "x"},
        "list": [{"token": 5}],
        "ok_password": "{{ vaulted }}",
        "api_key": {"secret": "env:K"},
        "pwd": None,
        "use_password": True,
    }
    assert list(plaintext(values, ())) == [("a", "db_password"), ("list", 0, "token")]


@pytest.mark.parametrize(
    "value",
    ["{{ 'hunter2' }}", '{{ "hunter2" }}', "x{{ y }}", "{{ a }}{{ b }}", " hunter2 ", ["x"], {"k": "v"}, 12],
)
def test_a_literal_behind_a_template_is_plaintext(value: object):
    assert list(plaintext({"password": value}, ()))


def test_public_vars_let_a_name_through():
    assert not list(plaintext({"password": "x", "a": {"token": "y"}}, ("password", "a.token")))


@pytest.mark.parametrize(
    "reference",
    [
        "env:DB_PASSWORD",
        "file:/run/secrets/db",
        "ansible-vault:secrets.yml#db",
        "aws-secretsmanager:prod/db#password",
    ],
)
def test_references_that_this_version_resolves(reference: str):
    assert parse_reference(reference) == reference


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("ansible-vault:", "not a secret"),
        ("hunter2", "not a secret reference"),
        ("env:", "not a secret"),
        ("env:A B", "not the name"),
        (5, "not a secret"),
        ("vault:x", "not a secret"),
    ],
)
def test_other_references_are_refused_without_their_text(reference: object, says: str):
    with pytest.raises(InvalidInputError, match=says) as caught:
        parse_reference(reference)
    assert "hunter2" not in str(caught.value)
