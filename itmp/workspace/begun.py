"""What a founding leaves that was interrupted, and what of it is used when `itmp init` is asked again.

Rules kept here: what several root people are asked to sign appears at its place whole, and goes only when the log is at
its place; TRUST is written last, so that a log without it is one whose founding has not ended; what a TRUST says
already is never changed.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from itmp.adapters import posix_log
from itmp.adapters.posix_log import durable
from itmp.adapters.posix_log.locks import locked_folder
from itmp.audit import Log
from itmp.errors import InvalidInputError
from itmp.signing import Signed, Statement
from itmp.workspace import config, handing
from itmp.workspace.plain import plain, read_plain

FOUNDING: Final = "founding"
POLICY: Final = "policy.yml"
KEY: Final = "log.key"
TRUST: Final = "trust"
_NEW, _DONE = f"{FOUNDING}.new", f"{FOUNDING}.done"
_MOST: Final = 1024 * 1024


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the workspace's folder, and hold the right to found a log in it."""
    with durable.unavailable("made", folder):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(PermissionError):  # of a folder that we may not list, as others' are
            durable.sync_folder(folder.parent)
    with locked_folder(folder):
        yield


def open_begun(folder: Path) -> Log | None:
    """Return the log whose founding has not ended, None where there is no log; raise where one was founded."""
    state = folder / config.STATE
    handing.settle(state)  # between two logs' moves there is none at its place
    if not (state / posix_log.LOG / "checkpoint").exists():
        return None
    log = posix_log.open_log(state)
    ours = (log.leaf(0).event.data or {}).get("previous") is None
    if ours and (_pending(state).exists() or _lacks(folder / TRUST, log)):
        return log
    raise InvalidInputError(
        "there is a log here already", where=str(folder), do="It is whole, and a log is founded once."
    )


def check_policy(log: Log, policy: bytes) -> None:
    """Raise unless the log was begun with this first policy."""
    if _genesis(log).get("policy") != policy.decode(errors="replace"):
        raise differs(log, "with another signer, key or policy")


def check_signed(log: Log, signatures: tuple[Path, ...]) -> None:
    """Raise where a signature is over a text that this log was not begun with; texts that are gone say nothing."""
    known = {Signed.from_data(item).text for item in _genesis(log)["statements"]}
    texts = [path.with_suffix("") for path in signatures]
    if any(text.is_file() and read_plain(text) not in known for text in texts):
        raise differs(log, "with other signatures")


def refuse_begun(log: Log | None) -> None:
    """Raise where a log was begun."""
    if log is not None:
        raise differs(log, "already")


def refuse_prepared(folder: Path) -> None:
    """Raise where texts wait for the signatures of several root people."""
    pending = _pending(folder / config.STATE)
    if pending.exists():
        raise InvalidInputError(
            "a log for several people is prepared here, and waits for their signatures",
            where=str(pending),
            do="Seal it: itmp init --seal TEXT.sig …; or remove this folder to give it up.",
        )


def write_trust(folder: Path, log: Log) -> Path:
    """Write, durably, what of TRUST is missing: the log's key as a C2SP tlog-policy and the genesis leaf's hash."""
    trust = folder / TRUST
    with durable.unavailable("written", trust):
        durable.make_folder(trust)
        durable.sync_folder(folder)
        for name, text in _lacks(trust, log).items():
            durable.replace(trust / name, text.encode(), mode=0o644)
    return trust


def keep_prepared(state: Path, files: Mapping[str, str]) -> None:
    """Keep key, policy and texts until the root people have signed; the key is readable by its owner only."""
    new = state / _NEW
    with durable.unavailable("written", new):
        for folder in (new, _pending(state)):
            shutil.rmtree(folder, ignore_errors=True)
        durable.make_folder(new, mode=0o700)
        for name, text in files.items():
            durable.replace(new / name, text.encode(), mode=0o600 if name == KEY else 0o644)
        new.rename(_pending(state))
        durable.sync_folder(state)


def prepared(state: Path, policy: bytes, texts: Mapping[str, str], now: datetime) -> bool:
    """Whether exactly this is prepared and can still be signed: `texts` are the signers by their texts' names.

    Raise where something else waits for signatures.
    """
    pending = _pending(state)
    names = {path.name for path in pending.glob("enrol-*.txt")}
    found = {name: durable.read_file(pending / name, _MOST) for name in (POLICY, KEY, *names)}
    if None in found.values() or not names:
        return False  # of a version that wrote it piece by piece: nobody can seal it
    if any(Statement.parse(plain(found[name] or b"", pending / name)).valid[1] < now for name in names):
        return False
    if found[POLICY] != policy or names != texts.keys():
        refuse_prepared(state.parent)
    return True


def forget_prepared(state: Path) -> None:
    """Drop what was prepared: its log is at its place."""
    pending, done = _pending(state), state / _DONE
    with durable.unavailable("removed", pending):
        if pending.exists():
            shutil.rmtree(done, ignore_errors=True)
            pending.rename(done)
            durable.sync_folder(state)
        for folder in (done, state / _NEW):
            if folder.exists():
                shutil.rmtree(folder)


def _pending(state: Path) -> Path:
    return state / FOUNDING


def _genesis(log: Log) -> Mapping[str, Any]:
    return log.leaf(0).event.data or {}


def differs(log: Log, how: str) -> InvalidInputError:
    """Return the error for words that do not complete what was begun."""
    signers = [
        Statement.parse(Signed.from_data(item).text).fields["signer"] for item in _genesis(log)["statements"]
    ]
    return InvalidInputError(
        f"a log was begun here {how}, and its founding has not ended",
        where=log.origin,
        do=f"Say itmp init as it was said then (for {', '.join(signers)}): that completes it.",
    )


def _lacks(trust: Path, log: Log) -> dict[str, str]:
    """Return the files that TRUST lacks; raise where one says something else."""
    wanted = {"log.policy": f"log {log.vkey}\nquorum none\n", "genesis": log.leaf(0).hash + "\n"}
    found = {name: durable.read_file(trust / name, _MOST) or b"" for name in wanted}
    for name, text in wanted.items():
        says_so = text.splitlines()[0].encode() in found[name].split(b"\n")  # witnesses' lines may follow
        if not says_so and not text.encode().startswith(found[name]):
            raise InvalidInputError(
                "this TRUST is not of the log that lies here",
                where=str(trust / name),
                do="Find out which of both is yours; move the other away.",
            )
    return {name: text for name, text in wanted.items() if len(found[name]) < len(text)}
