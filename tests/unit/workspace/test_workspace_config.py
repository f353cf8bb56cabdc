"""`itmp.yml` means what it says, or is refused with the key that is wrong."""

from pathlib import Path

import pytest

from itmp.errors import InvalidInputError
from itmp.workspace.config import FILE, LOCAL, load

WHOLE = """
organization: example.com
log: ops
inventories: [a.yml, b.yml]
callbacks: [timer]
vault: {default: "env:KEY"}
custody: none
backends: {aws: {region: eu-west-1}}
anchors:
  - {kind: directory, path: heads}
  - {kind: s3, bucket: heads, days: 30}
me: {signer: alice@example.com, key: ~/.ssh/id}
"""


def test_every_key_is_read_and_the_local_file_overrides_key_by_key(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(WHOLE)
    (tmp_path / LOCAL).write_text("me: {key: other}\nbackends: {aws: {endpoint: 'http://localhost'}}\n")
    found = load(tmp_path)
    assert (found.inventories, found.callbacks, found.custody) == (("a.yml", "b.yml"), ("timer",), "none")
    assert dict(found.vault) == {"default": "env:KEY"}
    assert (found.backends.aws.region, found.backends.aws.endpoint) == ("eu-west-1", "http://localhost")
    assert [(one.kind, one.path, one.bucket, one.days) for one in found.anchors] == [
        ("directory", "heads", "", 400), ("s3", "", "heads", 30),
    ]  # fmt: skip
    assert (found.me.signer, found.me.key) == ("alice@example.com", "other")
    (tmp_path / LOCAL).unlink()
    (tmp_path / FILE).write_text("organization: example.com\n")
    assert (load(tmp_path).log, load(tmp_path).anchors, load(tmp_path).me.key) == ("ops", (), "")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("log: ops", "organization"),
        ("organization: 5", "organization"),
        ("organization: a.example\norganisation: b", "organisation"),
        ("organization: a.example\n5: b", "5"),
        ("organization: a.example\ninventories: hosts.yml", "inventories"),
        ("organization: a.example\ninventories: [a, 5]", "inventories.1"),
        ("organization: a.example\nvault: {x: 5}", "vault"),
        ("organization: a.example\ncustody: some", "custody"),
        ("organization: a.example\ncustody: [auto]", "custody"),
        ("organization: a.example\nbackends: {aws: {zone: x}}", "backends.aws.zone"),
        ("organization: a.example\nbackends: aws", "backends"),
        ("organization: a.example\nanchors: [{path: x}]", "anchors.0.kind"),
        ("organization: a.example\nanchors: [{kind: paper}]", "anchors.0.kind"),
        ("organization: a.example\nanchors: [{kind: s3, days: 0}]", "anchors.0.days"),
        ("organization: a.example\nanchors: [{kind: s3, days: true}]", "anchors.0.days"),
        ("organization: a.example\nme:", "me"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidInputError) as found:
        load(tmp_path)
    assert found.value.what.startswith(f"{key}")
    assert "Known keys: organization" in found.value.do
