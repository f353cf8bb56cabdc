"""Secrets from files that stock ansible-vault wrote, and from AWS Secrets Manager's double."""

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from itmp.adapters import vaulted
from itmp.adapters.secrets import resolve
from itmp.errors import InvalidInputError, NotFoundError
from itmp.testing.cloud import Cloud


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("vault")
    (folder / "ops.pw").write_text("first password\n")
    (folder / "dev.pw").write_text("other password\n")
    (folder / "s.yml").write_text("db: 'gehéim: 1'\ncount: 3\n")
    argv = [sys.executable, "-m", "ansible", "vault", "encrypt", "--vault-id", f"ops@{folder / 'ops.pw'}"]
    subprocess.run([*argv, str(folder / "s.yml")], check=True, capture_output=True, timeout=120)
    return folder


def vaults(folder: Path, **names: str) -> dict[str, str]:
    return {name: f"file:{folder / file}" for name, file in names.items()}


def test_a_vaulted_value_is_read_by_its_id_or_by_whichever_password_fits(sealed):
    reference = f"ansible-vault:{sealed / 's.yml'}#db"
    assert resolve(reference, vaults=vaults(sealed, ops="ops.pw", dev="dev.pw")) == "gehéim: 1"
    assert resolve(reference, vaults=vaults(sealed, dev="dev.pw", default="ops.pw")) == "gehéim: 1"
    whole = resolve(f"ansible-vault:{sealed / 's.yml'}", vaults=vaults(sealed, ops="ops.pw"))
    assert whole == "db: 'gehéim: 1'\ncount: 3"


def test_what_does_not_fit_is_refused_without_its_content(sealed):
    reference = f"ansible-vault:{sealed / 's.yml'}"
    with pytest.raises(vaulted.WrongPasswordError):
        resolve(reference, vaults=vaults(sealed, ops="dev.pw"))
    with pytest.raises(NotFoundError, match="no vault password is known"):
        resolve(reference)
    for name in ("none", "count"):
        with pytest.raises(NotFoundError, match="holds no text under"):
            resolve(f"{reference}#{name}", vaults=vaults(sealed, ops="ops.pw"))
    data = (sealed / "s.yml").read_bytes()
    for broken in (b"plain", data[:-20], data.replace(b"AES256", b"AES128"), data[:90] + b"zz" + data[92:]):
        with pytest.raises(InvalidInputError):
            vaulted.decrypt(broken, "first password")


def test_aws_secrets_manager_gives_whole_secrets_and_names(monkeypatch):
    with Cloud() as cloud:
        for name, value in {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("secretsmanager")
        client.create_secret(Name="prod/db", SecretString=json.dumps({"password": "s3cret!"}))
        assert resolve("aws-secretsmanager:prod/db#password") == "s3cret!"
        assert resolve("aws-secretsmanager:prod/db") == '{"password": "s3cret!"}'
        with pytest.raises(NotFoundError, match="ResourceNotFoundException"):
            resolve("aws-secretsmanager:prod/none")
