"""What a lab tells Ansible and ssh about its hosts."""

import configparser
import stat
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from itmp.errors import InvalidInputError, NotFoundError
from itmp.lab._keeping import read_state, started
from itmp.lab.fleet import Host, Login, check_names, make_key, membership, write_inventory

LOGIN = Login(user="me", key=Path("/lab folder/client_key"), interpreter="/usr/bin/python3")


def host(name: str, port: int, *groups: str) -> Host:
    return Host(
        name=name,
        address="127.0.0.1",
        port=port,
        root=Path(f"/lab folder/{name}"),
        key="ssh-ed25519 AAAA",
        groups=groups,
    )


HOSTS = [host("web1", 2201, "web", "ring0"), host("web2", 2202, "web"), host("db1", 22, "db")]


def test_a_host_key_is_pinned_to_its_port() -> None:
    assert HOSTS[0].known_hosts == "[127.0.0.1]:2201 ssh-ed25519 AAAA\n"
    assert HOSTS[2].known_hosts == "127.0.0.1 ssh-ed25519 AAAA\n"


def test_the_yaml_inventory_keeps_groups_and_never_weakens_ssh(tmp_path: Path) -> None:
    write_inventory(tmp_path / "hosts.yml", HOSTS, LOGIN)
    tree = yaml.safe_load((tmp_path / "hosts.yml").read_text())["all"]
    assert {group: list(body["hosts"]) for group, body in tree["children"].items()} == {
        "web": ["web1", "web2"],
        "ring0": ["web1"],
        "db": ["db1"],
    }
    assert tree["hosts"]["web1"]["ansible_port"] == 2201
    assert "StrictHostKeyChecking" not in (tmp_path / "hosts.yml").read_text()


def test_the_ini_inventory_quotes_paths_with_spaces(tmp_path: Path) -> None:
    write_inventory(tmp_path / "hosts.ini", HOSTS, LOGIN)
    text = (tmp_path / "hosts.ini").read_text()
    assert "host_root='/lab folder/web1'" in text
    parsed = configparser.ConfigParser(allow_no_value=True, delimiters=("=",))
    parsed.read_string(text[text.index("[") :])
    assert parsed["all:vars"]["ansible_ssh_private_key_file"] == "'/lab folder/client_key'"


def test_a_key_is_private_and_its_public_line_is_its_own(tmp_path: Path) -> None:
    line = make_key(tmp_path / "key", "c")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    private = load_ssh_private_key((tmp_path / "key").read_bytes(), None)
    assert private.public_key() == load_ssh_public_key(line.encode())
    assert (tmp_path / "key.pub").read_text() == f"{line} c\n"


def test_hosts_without_groups_are_in_the_lab() -> None:
    assert membership(["a", "b"], None) == {"a": ("lab",), "b": ("lab",)}
    assert membership(["a", "b"], {"g": ["b"]}) == {"a": (), "b": ("g",)}


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "../a", "a,b", "a:b", "a\n", "x" * 64])
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        check_names(1, [name])


def test_a_damaged_state_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_state(tmp_path)
    for text in ("", "[]", '{"keeper": "1"}', "{"):
        (tmp_path / "fleet.json").write_text(text)
        with pytest.raises(InvalidInputError, match="damaged"):
            read_state(tmp_path)


def test_a_process_that_is_gone_has_no_start_time() -> None:
    assert started(2**22 + 1) == ""
