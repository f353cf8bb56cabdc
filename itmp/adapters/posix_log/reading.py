"""Where a log's parts stand, and what reading it takes: its folder and its key.

Rules kept here: nothing is written; a key that others can read, or that is not ours, is refused. What speaks with an
agent loads when a log's key is there.
"""

from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable
from itmp.adapters.posix_log.files import STATE, PosixReader
from itmp.errors import LogUnavailableError, NotFoundError
from itmp.signing import LogKey, NoteKey, NoteVerifier

LOG: Final = "log"
HEAD: Final = "head.sqlite"
SNAPSHOT: Final = "snapshot"
KEY: Final = Path("keys") / "log.key"
PUBLISHING: Final = Path(LOG) / STATE / "publish.lock"
RETIRED: Final = "log.vkey"
"""The public key of a log that has ended: its private key is destroyed then."""
_IN_AGENT: Final = "SSH-AGENT+"  # of `ssh_agent.AGENT`
_MAX_KEY: Final = 4096


def open_reader(log_dir: Path) -> PosixReader:
    """Open a log's folder (or a copy of it) read-only; no key, no head record."""
    if not log_dir.is_dir():
        raise NotFoundError("there is no log here", where=str(log_dir))
    return PosixReader(log_dir)


def key_of(root: Path) -> LogKey:
    """Return the key of the log below `root`; of one that has ended only the public half is there."""
    data = durable.read_file(root / RETIRED, _MAX_KEY)
    if data is None:
        return read_key(root / KEY)
    from itmp.adapters.ssh_agent import RetiredKey  # noqa: PLC0415 - as the docstring says

    return RetiredKey(verifier=NoteVerifier.parse(data.decode(errors="replace").removesuffix("\n")))


def read_key(path: Path) -> LogKey:
    """Read the log's key, or which key of the ssh-agent it is; refuse a file that others can read, or not ours."""
    with durable.unavailable("read", path):
        data = durable.read_private(path, _MAX_KEY)
    if data is None:
        raise LogUnavailableError(
            "the log's key is missing", where=str(path), do="Restore it, or start a new period."
        )
    text = data.decode(errors="replace").removesuffix("\n")
    if not text.startswith(_IN_AGENT):
        return NoteKey.from_text(text)
    from itmp.adapters.ssh_agent import AgentKey  # noqa: PLC0415 - as the docstring says

    return AgentKey.from_text(text)
