"""From the moment a workspace is opened, no child reaches the user's ssh-agent or other runs' connections, guard or not."""

import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keep import make_key

from itmp import workspace
from itmp.adapters import agent, supervisor
from itmp.adapters.supervisor import custody
from itmp.change import team_policy
from itmp.workspace.config import Config

_ASK = "import socket, sys; s = socket.socket(socket.AF_UNIX); sys.exit(s.connect_ex(sys.argv[1]) != 0)"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "a"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        monkeypatch.setattr(custody, "_CUSTODY", custody._Custody())
        monkeypatch.setattr(agent, "_PROCESS", agent._Process())
        yield path


@pytest.mark.parametrize("keys", ["", "agent_keys: []\n"])
def test_a_child_that_was_given_no_guard_does_not_reach_the_agent(
    tmp_path: Path, address: Path, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "w"
    root.mkdir()
    make_key(root / "alice")
    line, roles = (root / "alice.pub").read_text(), ("sre", "owner")
    person: dict[str, tuple[str, tuple[str, ...]]] = {"alice@example.com": (line, roles)}
    (root / "first.yml").write_bytes(team_policy(person, amend=1))
    workspace.init(
        root, key=str(root / "alice"), organization="example.com", signer="alice@example.com",
        policy=root / "first.yml",
    )  # fmt: skip
    with (root / "itmp.yml").open("a") as file:
        file.write(keys)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
    workspace.Workspace.here(root)
    if custody.means() not in {"namespaces", "user-namespace"}:
        pytest.skip("nothing here can close a socket")
    done = supervisor.run(
        [sys.executable, "-c", _ASK, str(address)], token=secrets.token_hex(8), environment={}, timeout=30
    )
    assert done.rc == 1


def test_a_child_that_is_shown_nothing_reaches_no_runs_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody, "_CUSTODY", custody._Custody())
    monkeypatch.setattr(custody, "shelter", lambda: tmp_path / "shelter")
    (tmp_path / "shelter" / "other").mkdir(parents=True)
    (tmp_path / "w" / ".itmp").mkdir(parents=True)
    workspace.Workspace(root=tmp_path / "w", config=Config(organization="example.com"))
    if custody.means() not in {"namespaces", "user-namespace"}:
        pytest.skip("nothing here can close a shared folder")
    done = supervisor.run(
        ["ls", str(tmp_path / "shelter")], token=secrets.token_hex(8), environment={}, timeout=30
    )
    assert (done.rc, done.stdout) == (0, b"")
