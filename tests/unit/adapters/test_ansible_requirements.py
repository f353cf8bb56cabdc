import pytest

from itmp.adapters.ansible import _requirements

ASKED = b"roles:\n- {name: acme.motd, version: 1.2.0}\n- {src: https://example.com/acme/ntp.git}\n- {include: other.yml}\n"


def told(requirements: bytes, *more: tuple[str, bytes]) -> list[str]:
    return list(_requirements.notes({"project/playbooks/requirements.yml": requirements, **dict(more)}))


def test_what_is_asked_for_and_missing_is_named_with_the_command():
    motd, ntp = told(ASKED)
    command = "ansible-galaxy role install -r playbooks/requirements.yml -p playbooks/roles"
    assert motd == f"playbooks/requirements.yml asks for role acme.motd: {command}"
    assert "role ntp:" in ntp


def test_another_version_is_named_and_the_right_one_is_quiet():
    ntp = ("project/roles/ntp/tasks/main.yml", b"")
    info = "project/playbooks/roles/acme.motd/meta/.galaxy_install_info"
    assert told(ASKED, ntp, (info, b"version: 1.2.0\n")) == []
    assert told(ASKED, ntp, (info, b"version: 1.1.0\n")) == [
        "playbooks/requirements.yml asks for role acme.motd 1.2.0, 1.1.0 is installed"
    ]


@pytest.mark.parametrize(
    "data", [b"", b"[", b"- a\n- 3\n", b"roles: text", b"roles: [{name: ../x}]", b"\xff", b"[[[" * 9999]
)
def test_a_file_that_says_nothing_useful_is_quiet(data):
    assert told(data) == []
