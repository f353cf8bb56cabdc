"""A log of the harness whose key a real ssh-agent holds: the same key, so that the same notes are signed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from log_actor import KEY, SEED
from log_faults import copied

from itmp.adapters.ssh_agent import SOCKET, AgentKey


@pytest.fixture(scope="module")
def agent(scratch: Path) -> Iterator[Path]:
    """Start an agent with the log's key; the children that act find it, if they are forked later."""
    key, address = scratch / "agent.key", scratch / "agent.sock"
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    while not address.exists():
        assert process.poll() is None
    before = os.environ.get(SOCKET)
    os.environ[SOCKET] = str(address)
    subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(address)})
    key.unlink()
    yield address
    process.terminate()
    process.wait(10)
    del os.environ[SOCKET]
    if before is not None:
        os.environ[SOCKET] = before


def in_agent(template: Path, folder: Path) -> Path:
    """Return the log of `template` with its key in the agent and no copy of it here."""
    root = folder / "in-agent"
    if not root.exists():
        copied(template, root)
        (root / "keys/log.key").write_text(f"{AgentKey(verifier=KEY.verifier).to_text()}\n")
    return root
