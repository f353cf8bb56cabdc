"""A private key is known by what a file holds; one that a passphrase closes is none in clear."""

import subprocess
from pathlib import Path

import pytest

from itmp.adapters.ansible import _keys, layout

BODY = b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PEM = b"-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----\n"
CHAIN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def made(folder: Path, form: str, passphrase: str) -> bytes:
    file = folder / f"key-{form}{passphrase}"
    kind = ["-t", "rsa", "-b", "2048"] if form != "RFC4716" else ["-t", "ed25519"]
    command = ["ssh-keygen", "-q", *kind, "-m", form, "-N", passphrase, "-f", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file.read_bytes()


@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
def test_keys_of_all_forms_are_in_clear_unless_a_passphrase_closes_them(tmp_path, form):
    for passphrase, clear in (("", True), ("secret", False)):
        data = made(tmp_path, form, passphrase)
        assert (_keys.held(data), _keys.clear(data)) == (True, clear), passphrase


@pytest.mark.parametrize(
    ("data", "clear"),
    [
        (PEM % BODY, True),
        (CHAIN + PEM % BODY, True),
        ((PEM % BODY).replace(b"\n", b"\r\n"), True),
        (b"-----BEGIN EC PRIVATE KEY-----\nx\n", True),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", True),
        (CHAIN, False),
        (PEM % b"{{ server_key }}", False),  # a template
        (PEM % b"...", False),  # what documentation shows
        (b"# it begins with -----BEGIN PRIVATE KEY-----\nx\n", False),
        (b"$ANSIBLE_VAULT;1.1;AES256\n3133\n", False),
        (b"", False),
    ],
)
def test_a_key_in_clear_is_known_by_what_it_holds(data, clear):
    assert _keys.clear(data) is clear


def test_a_key_is_refused_unless_it_is_public_and_noted_where_it_is_kept():
    place, inside = "playbooks/roles/r/files/server.key", "collections/ansible_collections/a/b/k.pem"
    data = PEM % BODY
    (problem,) = _keys.problems(place, data, ())
    assert (problem.path, problem.message) == (place, _keys.CLEAR)
    assert f"public_vars: [{place}]" in problem.suggestion
    assert not [*_keys.problems(place, data, {place}), *_keys.problems(inside, data, ())]
    assert [*_keys.notes(place, data, {place})] == [f"{place} holds a private key in clear"]
    assert [*_keys.notes(inside, data, ())] == [f"{inside} holds a private key in clear"]
    assert not [*_keys.notes(place, CHAIN, {place})]


def test_a_key_that_is_laid_out_is_its_owners_alone(tmp_path):
    modes = {name: layout.write(tmp_path, name, data).stat().st_mode & 0o777 for name, data in FILES.items()}
    assert modes == {"key": 0o600, "chain": 0o644, "program": 0o755}


FILES = {"key": PEM % BODY, "chain": CHAIN, "program": b"#!/bin/sh\n"}
