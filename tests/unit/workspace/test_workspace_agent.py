"""A log key that a real ssh-agent keeps: it signs like any note key, and when it is gone nothing is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from keep import make_key

from itmp import workspace
from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.ssh_agent import AgentAwayError, AgentKey
from itmp.audit import Event, SignedCheckpoint
from itmp.errors import InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import NoteVerifier
from itmp.workspace.place import EXECUTOR


class Agent:
    """A real ssh-agent on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.folder = folder / "agent.sock", folder
        self._process = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL)
        while not self.socket.exists():
            assert self._process.poll() is None

    def load(self, name: str) -> str:
        """Make a key, load it, and return its fingerprint."""
        make_key(self.folder / name)
        self.call("ssh-add", "-q", str(self.folder / name))
        return self.call("ssh-keygen", "-l", "-f", str(self.folder / f"{name}.pub")).split()[1]

    def call(self, *words: str) -> str:
        environ = {**os.environ, "SSH_AUTH_SOCK": str(self.socket)}
        return subprocess.run(words, check=True, env=environ, capture_output=True, text=True).stdout

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    made = Agent(tmp_path_factory.mktemp("a"))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    monkeypatch.setenv("ITMP_LOG_AGENT", str(made.socket))
    yield made
    made.end()


@pytest.fixture
def place(tmp_path: Path, agent: Agent) -> workspace.Workspace:
    root = tmp_path / "w"
    root.mkdir()
    make_key(root / "key")
    print_ = agent.load("log")
    workspace.init(
        root,
        key=str(root / "key"),
        organization="example.com",
        signer="alice@example.com",
        log_key=f"agent:{print_}",
    )
    return workspace.Workspace.here(root)


def noted(place: workspace.Workspace) -> None:
    place.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))


def test_what_the_agent_signs_is_a_note_like_any_other(place: workspace.Workspace) -> None:
    noted(place)
    note = place.log.checkpoint().note
    verifier = NoteVerifier.parse(place.log.vkey)
    assert SignedCheckpoint.open(note, [verifier]).checkpoint.size == 2
    held = (place.state / "keys/log.key").read_text()
    assert held == f"SSH-AGENT+KEY+{place.log.vkey}\n"
    assert workspace.audit_verify(place).exit_code == 0


def test_an_interrupted_founding_is_completed_with_its_own_log_key(
    place: workspace.Workspace, agent: Agent
) -> None:
    shutil.rmtree(place.root / "trust")
    who = {"key": str(place.root / "key"), "organization": "example.com", "signer": "alice@example.com"}
    for other in ("", f"agent:{agent.load('second')}"):
        with pytest.raises(InvalidInputError, match="begun here with another log key"):
            workspace.init(place.root, **who, log_key=other)  # type: ignore[arg-type]  # all are texts
    assert not (place.root / "trust").exists()
    done = workspace.init(place.root, **who, log_key=f"agent:{_fingerprint(agent)}")  # type: ignore[arg-type]  # as above
    assert (done.vkey, (place.root / "trust/genesis").exists()) == (place.log.vkey, True)


def test_without_the_agent_nothing_is_signed_and_nothing_is_lost(
    place: workspace.Workspace, agent: Agent
) -> None:
    agent.call("ssh-add", "-q", "-D")
    after = workspace.Workspace.here(place.root)
    noted(after)
    with pytest.raises(AgentAwayError, match="it refused") as caught:
        after.log.checkpoint()
    assert caught.value.exit_code == 16
    findings = after.log.health(SystemClock().now()).findings
    assert [(one.name, one.grave) for one in findings] == [("key-away", True)]
    assert workspace.audit_health(after).exit_code == 16
    agent.call("ssh-add", "-q", str(agent.folder / "log"))
    assert after.log.checkpoint().checkpoint.size == 2
    assert after.log.health(SystemClock().now()).ok
    agent.end()
    noted(after)
    with pytest.raises(AgentAwayError, match="does not answer"):
        after.log.checkpoint()
    assert posix_log.open_log(after.state).size() == 3


def test_a_log_key_in_the_agent_is_rotated_to_another(place: workspace.Workspace, agent: Agent) -> None:
    with pytest.raises(InvalidInputError, match="the key of another period"):
        workspace.rotate(
            place, period="2031", log_key=f"agent:{_fingerprint(agent)}", key=str(place.root / "key")
        )
    second = agent.load("second")
    done = workspace.rotate(place, period="2031", log_key=f"agent:{second}", key=str(place.root / "key"))
    assert done.done
    after = workspace.Workspace.here(place.root)
    assert after.log.origin == "example.com/ops/2031"
    assert workspace.audit_verify(after).exit_code == 0


def test_a_log_does_not_end_while_its_key_is_away(place: workspace.Workspace, agent: Agent) -> None:
    agent.call("ssh-add", "-q", "-D")
    with pytest.raises(LogUnavailableError, match="both logs' keys must sign the handover"):
        workspace.rotate(place, period="2031", key=str(place.root / "key"))
    assert workspace.Workspace.here(place.root).log.leaf(0).event.type == "log.created"
    agent.call("ssh-add", "-q", str(agent.folder / "log"))
    assert workspace.rotate(workspace.Workspace.here(place.root), key=str(place.root / "key")).done


def _fingerprint(agent: Agent) -> str:
    return agent.call("ssh-keygen", "-l", "-f", str(agent.folder / "log.pub")).split()[1]


def test_a_persons_key_is_no_log_key(tmp_path: Path, agent: Agent) -> None:
    root = tmp_path / "w"
    root.mkdir()
    make_key(root / "key")
    agent.call("ssh-add", "-q", str(root / "key"))
    own = agent.call("ssh-keygen", "-l", "-f", str(root / "key.pub")).split()[1]
    with pytest.raises(InvalidInputError, match="signs for a person"):
        workspace.init(
            root,
            key=str(root / "key"),
            organization="example.com",
            signer="a@example.com",
            log_key=f"agent:{own}",
        )
    with pytest.raises(NotFoundError, match="holds no Ed25519 key"):
        AgentKey.choose("SHA256:nothing", "example.com/ops/2026")
    with pytest.raises(InvalidInputError, match="names no log key"):
        workspace.init(
            root, key=str(root / "key"), organization="example.com", signer="a@example.com", log_key="file:x"
        )
