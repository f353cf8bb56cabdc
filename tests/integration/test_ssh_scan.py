import socket
import subprocess

import pytest

from itmp.adapters import ssh

pytestmark = pytest.mark.fleet


def test_keys_are_those_of_the_hosts_and_silence_is_reported(ansible_fleet, tmp_path):
    with socket.socket() as closed, socket.socket() as mute:
        closed.bind(("127.0.0.1", 0))
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        asked = [(host.name, host.address, host.port) for host in ansible_fleet.hosts]
        asked += [
            ("closed", "127.0.0.1", closed.getsockname()[1]),
            ("mute", "127.0.0.1", mute.getsockname()[1]),
        ]
        found = ssh.scan(asked, timeout=2)
    assert [answer.name for answer in found] == ["web1", "web2", "lb1", "closed", "mute"]
    assert [answer.line + "\n" for answer in found[:3]] == [host.known_hosts for host in ansible_fleet.hosts]
    assert [bool(answer.error) for answer in found] == [False, False, False, True, True]
    assert not any(answer.line for answer in found[3:])
    (tmp_path / "known").write_text(found[0].line)
    listed = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "known"], check=True, capture_output=True, text=True
    )
    assert found[0].fingerprint in listed.stdout
