"""Devices whose keys another SSH library checks: by none that the plan does not pin, where that can be held."""

import base64
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from itmp.adapters.ansible import _devices, layout, runner
from itmp.adapters.ansible._ways import Way, Ways
from itmp.canonical import digest
from itmp.errors import StaleError, ToolMissingError
from itmp.plan.model import Host


def key(kind: str, word: str) -> str:
    """Return a key as known_hosts writes it; its bytes begin with its type, as every key's do."""
    blob = b"".join(len(part).to_bytes(4) + part for part in (kind.encode(), word.encode()))
    return f"{kind} {base64.b64encode(blob).decode()}"


OURS, OTHER, RSA = key("ssh-ed25519", "ours"), key("ssh-ed25519", "other"), key("ssh-rsa", "rsa")
FALSE_RSA = OTHER.replace("ssh-ed25519", "ssh-rsa")  # the word says one type, the bytes another
WAYS = Ways(
    of={
        "sw1": Way(connection="ansible.netcommon.network_cli"),
        "fw1": Way(connection="ansible.netcommon.netconf"),
        "fw2": Way(connection="ansible.netcommon.netconf"),
        "sw2": Way(connection="ansible.netcommon.network_cli"),
        "box": Way(connection="acme.net.box"),
    }
)
HOSTS = [
    Host(name=name, address=address, port=port, groups=(), vars=digest(b""))
    for name, address, port in (
        ("sw1", "192.0.2.1", 8022),
        ("box", "192.0.2.2", 22),
        ("web1", "192.0.2.3", 22),
        ("fw1", "192.0.2.4", 8830),
        ("fw2", "192.0.2.5", 22),
        ("sw2", "192.0.2.6", 22),
    )
]
PLACES = ("[192.0.2.1]:8022", "192.0.2.2", "[192.0.2.4]:8830", "192.0.2.5", "192.0.2.6")
PINNED = "".join(f"{place} {OURS}\n" for place in PLACES).encode()


def require(tmp_path: Path, text: str, pinned: bytes = PINNED) -> None:
    (tmp_path / "known").write_text(text)
    _devices.require(HOSTS, WAYS, pinned, read=(tmp_path / "absent", tmp_path / "known"))


@pytest.mark.parametrize(
    "known",
    [
        "",
        f"[192.0.2.1]:8022 {OURS}\n",
        f"[192.0.2.1]:8022 {OURS}\n[192.0.2.1]:8022 {RSA}\n",  # as ssh-keyscan and UpdateHostKeys write
        f"192.0.2.1 {OTHER}\n",  # another server: what asks for a device by its port asks for nothing else
        f"192.0.2.1 {RSA}\n",
        f"[192.0.2.6]:830 {OTHER}\n",
        f"192.0.2.2 {OTHER}\n",  # reached in another way
        f"192.0.2.3 {OTHER}\n",  # of ssh, which reads the plan's alone
        f"@revoked [192.0.2.1]:8022 {OTHER}\n",
    ],
)
def test_a_device_that_is_known_by_the_plans_keys_is_reached(tmp_path, known):
    require(tmp_path, known)


@pytest.mark.parametrize(
    "known",
    [
        f"[192.0.2.1]:8022 {OTHER}\n",
        f"[192.0.2.1]:8022 {OURS}\n* {OTHER}\n",
        f"[192.0.2.1]:8022 {OURS}\n[192.0.2.1]:8022 {FALSE_RSA}\n",
        f"[192.0.2.6]:22 {OTHER}\n",  # libssh
        f"192.0.2.4 {OTHER}\n",  # ncclient asks without the port too,
        f"[192.0.2.5]:830 {OTHER}\n",  # and for 830 where no port is given
    ],
)
def test_a_device_that_is_known_by_another_key_is_not_reached(tmp_path, known):
    with pytest.raises(StaleError, match="known knows the device by another key than the plan's"):
        require(tmp_path, known)


def test_a_device_that_is_known_by_another_type_alone_is_not_reached(tmp_path):
    with pytest.raises(
        StaleError, match="by no key that the plan pins, only by one of another type"
    ) as raised:
        require(tmp_path, f"[192.0.2.1]:8022 {RSA}\n")
    assert raised.value.do.endswith(f"add the line: [192.0.2.1]:8022 {OURS}")


def test_what_the_error_says_to_type_makes_the_device_reached(tmp_path):
    known = f"192.0.2.1 {OTHER}\n[192.0.2.1]:8022 {OTHER}\n"
    with pytest.raises(StaleError) as raised:
        require(tmp_path, known)
    command = re.search(r"ssh-keygen -R \S+ -f \S+", raised.value.do)[0]
    assert command.startswith("ssh-keygen -R '[192.0.2.1]:8022' -f ")
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    left = (tmp_path / "known").read_text()
    assert left == f"192.0.2.1 {OTHER}\n"
    require(tmp_path, left + raised.value.do.rpartition("add the line: ")[2] + "\n")


def test_a_device_that_the_plan_pins_no_key_of_is_left_to_the_library(tmp_path):
    require(tmp_path, f"[192.0.2.1]:8022 {OTHER}\n", pinned=b"")


def test_each_home_that_a_library_may_mean_is_read(monkeypatch):
    monkeypatch.setenv("HOME", "/home/said")
    monkeypatch.setattr(_devices.pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_dir="/home/entry"))
    users = [files[0] for files in _devices.read_here()]
    assert users == [Path("/home/said/.ssh/known_hosts"), Path("/home/entry/.ssh/known_hosts")]


def test_an_account_without_a_home_is_told_what_to_do(monkeypatch):
    def nobody(_uid):
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(_devices.pwd, "getpwuid", nobody)
    with pytest.raises(ToolMissingError, match="no home folder") as raised:
        _devices.read_here()
    assert raised.value.where == "~/.ssh/known_hosts"
    assert "Set HOME" in raised.value.do


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path, monkeypatch):
    def closed(*_args, **_more):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(ToolMissingError, match=r"cannot be read, .*: Permission denied") as raised:
        _devices.require(HOSTS, WAYS, PINNED, read=(tmp_path / "known",))
    assert raised.value.where == str(tmp_path / "known")
    assert "Let this account read it" in raised.value.do


def noted(pinned: bytes, *, contained: bool) -> list[str]:
    hosts = [{"name": host.name, "address": host.address, "port": host.port} for host in HOSTS]
    return [*_devices.notes(WAYS, hosts, pinned, contained=contained)]


def test_what_the_library_does_with_other_types_is_noted_once():
    (note,) = noted(PINNED, contained=False)
    assert note.startswith("hosts fw1, fw2, sw1, sw2: their SSH library also takes a key of a type")
    assert len(noted(b"", contained=False)) == len(noted(PINNED, contained=True)) == 4


def test_a_pinned_device_that_a_container_reaches_is_noted():
    notes = noted(PINNED, contained=True)
    assert all(
        "by the image's own known_hosts files, not by the plan's pinned keys" in note for note in notes
    )


def test_left_overs_are_asked_of_no_device_that_another_key_is_known_of(tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"[192.0.2.1]:8022 {OTHER}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    held = {layout.WAYS: WAYS.to_bytes(), layout.KNOWN_HOSTS: PINNED}
    manifest = SimpleNamespace(artifacts=held, versions={}, inventory=SimpleNamespace(hosts=HOSTS))
    plan = SimpleNamespace(manifest=manifest, artifact=held.__getitem__)
    step = SimpleNamespace(delegates=("sw1",), secrets={})
    monkeypatch.setattr(runner, "_step", lambda _part: step)
    monkeypatch.setattr(runner.AnsibleRunner, "_answers", lambda *_args: pytest.fail("it was asked"))
    with pytest.raises(StaleError, match="another key"):
        runner.AnsibleRunner()._ask_targets(plan, SimpleNamespace(hosts=()), None)
