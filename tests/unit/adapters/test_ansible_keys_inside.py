"""Which keys of this machine a container is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from itmp.adapters.ansible import _environments


def plan(**artifacts: str) -> Any:
    files = {
        {"config": "project/ansible.cfg"}.get(name, f"project/playbooks/{name}.yml"): text.encode()
        for name, text in artifacts.items()
    }
    manifest = SimpleNamespace(artifacts=dict.fromkeys(files), inventory=None)
    return SimpleNamespace(manifest=manifest, artifact=files.__getitem__)


def named(given: Any) -> dict[str, Path]:
    usual = set(_environments._usual_keys())
    return {text: key for text, key in _environments._keys(given) if key not in usual}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("/etc/keys/deploy.pem", Path("/etc/keys/deploy.pem")),
        ("/etc/keys/a b, c.pem", Path("/etc/keys/a b, c.pem")),
        ("~/keys/deploy", Path.home() / "keys/deploy"),
        ("$HOME/keys/deploy", Path.home() / "keys/deploy"),
        ("${HOME}/keys/my deploy", Path.home() / "keys/my deploy"),
    ],
)
def test_the_key_of_an_ansible_cfg_is_seen_inside_in_every_form_that_is_honoured(
    text: str, key: Path
) -> None:
    assert named(plan(config=f"[defaults]\nprivate_key_file = {text}\n")) == {text: key}


@pytest.mark.parametrize("text", ["~other/key", "keys/deploy", "$OTHER/key"])
def test_one_that_is_not_honoured_is_not_looked_for(text: str) -> None:
    assert named(plan(config=f"[defaults]\nprivate_key_file = {text}\n")) == {}


def test_a_line_of_another_file_that_begins_like_the_setting_names_no_key() -> None:
    book = "- hosts: all\n  vars:\n    x: 1\nprivate_key_file: /etc/shadow\n"
    assert named(plan(book=book, config="[galaxy]\nprivate_key_file = /etc/shadow\n")) == {}
    own = "ansible_ssh_private_key_file: /etc/keys/deploy.pem\n"
    assert named(plan(book=own)) == {"/etc/keys/deploy.pem": Path("/etc/keys/deploy.pem")}


def test_a_key_of_the_users_home_lies_in_the_home_inside_however_it_is_named() -> None:
    for text in ("~/k/a b", "$HOME/k/a b", "${HOME}/k/a b"):
        assert _environments._of_home({text: Path("/x")}, Path("/inside")) == {
            Path("/inside/k/a b"): Path("/x")
        }
    assert _environments._of_home({"/k": Path("/k"), "~other/k": Path("/o/k")}, Path("/inside")) == {}
