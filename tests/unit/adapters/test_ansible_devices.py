"""Devices whose keys another SSH library checks: by none that the plan does not pin."""

import base64
from pathlib import Path

import pytest

from itmp.adapters.ansible import _devices
from itmp.adapters.ansible._ways import Way, Ways
from itmp.canonical import digest
from itmp.errors import StaleError
from itmp.plan.model import Host

OURS, OTHER = (base64.b64encode(word).decode() for word in (b"ours", b"other"))
WAYS = Ways(
    of={"sw1": Way(connection="ansible.netcommon.network_cli"), "box": Way(connection="acme.net.box")}
)
HOSTS = [
    Host(name=name, address=address, port=port, groups=(), vars=digest(b""))
    for name, address, port in (
        ("sw1", "192.0.2.1", 8022),
        ("box", "192.0.2.2", 22),
        ("web1", "192.0.2.3", 22),
    )
]
PINNED = f"[192.0.2.1]:8022 ssh-ed25519 {OURS}\n192.0.2.2 ssh-ed25519 {OURS}\n".encode()


def require(tmp_path: Path, text: str, pinned: bytes = PINNED) -> None:
    (tmp_path / "known").write_text(text)
    _devices.require(HOSTS, WAYS, pinned, read=(tmp_path / "absent", tmp_path / "known"))


@pytest.mark.parametrize(
    "known",
    [
        "",
        f"[192.0.2.1]:8022 ssh-ed25519 {OURS}\n",
        f"192.0.2.2 ssh-ed25519 {OTHER}\n",  # reached in another way
        f"192.0.2.3 ssh-ed25519 {OTHER}\n",  # of ssh, which reads the plan's alone
    ],
)
def test_a_device_that_is_known_by_the_plans_keys_alone_is_reached(tmp_path, known):
    require(tmp_path, known)


@pytest.mark.parametrize(
    "known",
    [
        f"[192.0.2.1]:8022 ssh-ed25519 {OTHER}\n",
        f"[192.0.2.1]:8022 ssh-ed25519 {OURS}\n* ssh-rsa {OTHER}\n",
        f"192.0.2.1 ssh-ed25519 {OTHER}\n",  # some libraries ask without the port too
    ],
)
def test_a_device_that_is_known_by_another_key_is_not_reached(tmp_path, known):
    with pytest.raises(StaleError, match="known knows the device by another key than the plan's") as raised:
        require(tmp_path, known)
    assert "ssh-keygen -R 192.0.2.1" in str(raised.value.do)


def test_a_device_that_the_plan_pins_no_key_of_is_left_to_the_library(tmp_path):
    require(tmp_path, f"[192.0.2.1]:8022 ssh-ed25519 {OTHER}\n", pinned=b"")
