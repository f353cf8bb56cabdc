"""`itmp init`: from an empty folder to a workspace whose log has its genesis.

Rules kept here: leaf 0 holds the log's key, the first policy and the enrol statements of its root people, so that
who may do what is never decided by a file of the working tree; with one root person evidence says `single root`; the
log's private key is written once, readable by its owner only, and never into the log's folder.
"""

import getpass
import os
import re
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.adapters.ssh_keygen import choose_key
from itmp.audit import Event
from itmp.calendars import format_time
from itmp.canonical import Digest, digest
from itmp.change import Policy, starter_policy, team_policy
from itmp.errors import InvalidInputError, NotFoundError
from itmp.signing import LogKey, NoteKey, PublicKey, Signed, Statement, sign_statement, verify_signed
from itmp.signing.wire import rebase64
from itmp.workspace import anchoring, config
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.tooling import write_schemas

if TYPE_CHECKING:
    from collections.abc import Iterable

FOUNDING: Final = "founding"
POLICY: Final = "policy.yml"
KEY: Final = "log.key"
TRUST: Final = "trust"
_EMPTY: Final = "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""`seen` of an empty log: size 0 and the RFC 6962 empty root."""
AGENT: Final = "agent:"
_ALL_ROLES: Final = ("sre", "approver", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """A log that has begun: what an auditor must be given now."""

    origin: str
    vkey: str
    genesis: Digest
    trust: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolText:
    """A text that a root person must sign: `command` signs it."""

    path: Path
    signer: str
    command: str


def init(
    folder: Path,
    *,
    key: str | None = None,
    organization: str = "",
    signer: str = "",
    policy: Path | None = None,
    log_key: str = "",
) -> Founded:
    """Found a log for one person, who enrols alone. Raise `InvalidInputError` where one exists.

    `log_key` is `agent:SHA256:…` for a log key in the ssh-agent; else a fresh one is written to a file.
    """
    _refuse_existing(folder)
    person = choose_key(key, os.environ, None)
    signer, organization = _who(signer, organization)
    data = policy.read_bytes() if policy else starter_policy(signer, person.public.line)
    made = _prepare(folder, organization, data, log_key)
    if key:
        _remember(folder, signer, Path(key))
    text = _enrol(made, data, signer)
    founded = _seal(folder, made, data, [sign_statement(text, person)])
    return Founded(
        origin=founded.origin,
        vkey=founded.vkey,
        genesis=founded.genesis,
        trust=founded.trust,
        notes=("single root: one person alone enrolled this log, and its evidence says so",),
    )


def init_roots(
    folder: Path,
    public_keys: tuple[Path, ...],
    *,
    organization: str = "",
    policy: Path | None = None,
    log_key: str = "",
) -> tuple[EnrolText, ...]:
    """Prepare a log for several root people: write one text for each to sign; `seal` then begins the log."""
    _refuse_existing(folder)
    people = dict(_person(path) for path in public_keys)
    first = next(iter(people))
    _, organization = _who(first, organization)
    entries: dict[str, tuple[str, tuple[str, ...]]] = {
        name: (line, _ALL_ROLES) for name, line in people.items()
    }
    data = policy.read_bytes() if policy else team_policy(entries, amend=len(people))
    made = _prepare(folder, organization, data, log_key)
    _keep_pending(folder, made, data)
    return tuple(_write_text(folder, made, data, name) for name in people)


def seal(folder: Path, signatures: tuple[Path, ...]) -> Founded:
    """Begin the log with the root people's signatures over their texts (`TEXT.sig` beside each text)."""
    _refuse_existing(folder)
    pending = folder / config.STATE / FOUNDING
    if not (pending / POLICY).is_file():
        raise NotFoundError(
            "nothing to seal here", where=str(folder), do="Begin with: itmp init --root PUB --root PUB"
        )
    log_key = posix_log.read_key(pending / KEY)
    signed = [_signed(path, log_key) for path in signatures]
    founded = _seal(folder, log_key, (pending / POLICY).read_bytes(), signed)
    for path in pending.iterdir():
        path.unlink()
    pending.rmdir()
    return founded


def _refuse_existing(folder: Path) -> None:
    if (folder / config.STATE / "log" / "checkpoint").exists():
        raise InvalidInputError("there is a log here already", where=str(folder), do="A log is founded once.")


def _who(signer: str, organization: str) -> tuple[str, str]:
    host = re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower()).strip("-.") or "localhost"
    domain = organization or (signer.rpartition("@")[2] if "@" in signer else host)
    return signer or f"{getpass.getuser()}@{domain}", domain


def _prepare(folder: Path, organization: str, policy: bytes, log_key: str) -> LogKey:
    """Write the configuration and the state folder; return the log's key."""
    people = Policy.from_bytes(policy)
    state = folder / config.STATE
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    if not (folder / config.FILE).exists():
        (folder / config.FILE).write_text(
            f"organization: {organization}\nlog: ops\ninventories: []\nanchors:\n  - kind: directory\n"
        )
    settings = config.load(folder)
    origin = f"{settings.organization}/{settings.log}/{datetime.now(UTC):%Y}"
    return log_key_of(log_key, origin, people)


def log_key_of(option: str, origin: str, policy: Policy) -> LogKey:
    """Return a new key for log `origin`: `agent:SHA256:…` is the agent's, nothing a fresh one for a file.

    Raise `InvalidInputError` for a key that signs for a person of the policy as well.
    """
    if not option:
        return NoteKey.generate(origin, secrets.token_bytes(32))
    if not option.startswith(AGENT):
        raise InvalidInputError(
            f"{option!r:.60} names no log key",
            do="Say agent:SHA256:… (ssh-add -l), or leave it out for a key file.",
        )
    from itmp.adapters.ssh_agent import AgentKey  # noqa: PLC0415 - most logs keep their key in a file

    key = AgentKey.choose(option.removeprefix(AGENT), origin)
    if any(key.verifier.public == entry.key.blob[-32:] for person in policy.signers for entry in person.keys):
        raise InvalidInputError(
            "this key signs for a person of the policy", where=option, do="A log needs a key of its own."
        )
    return key


def _remember(folder: Path, signer: str, key: Path) -> None:
    """Write who signs here by default, where nothing says so yet."""
    if not (folder / config.LOCAL).exists():
        (folder / config.LOCAL).write_text(f"me: {{signer: {signer}, key: {key.expanduser().resolve()}}}\n")


def _keep_pending(folder: Path, log_key: LogKey, policy: bytes) -> None:
    """Keep key and policy until the root people have signed; the key is readable by its owner only."""
    pending = folder / config.STATE / FOUNDING
    pending.mkdir(mode=0o700)
    (pending / POLICY).write_bytes(policy)
    with os.fdopen(os.open(pending / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(log_key.to_text() + "\n")


def _enrol(log_key: LogKey, policy: bytes, signer: str) -> Statement:
    now = datetime.now(UTC)
    return Statement.compose(
        "enrol",
        {
            "log": log_key.name,
            "signer": signer,
            "role": _enrol_role(Policy.from_bytes(policy), signer),
            "policy": digest(policy),
            "logkey": log_key.vkey,
            "previous": "-",
            "valid": f"{format_time(now)} {format_time(now + timedelta(days=7))}",
            "seen": _EMPTY,
            "nonce": rebase64(secrets.token_bytes(16)),
        },
    )


def _enrol_role(policy: Policy, signer: str) -> str:
    role = policy.role_for(signer, "enrol")
    if role is None:
        raise InvalidInputError(
            f"the policy gives {signer} no role that may enrol",
            do="Root people need a role with the act `enrol`.",
        )
    return role


def _write_text(folder: Path, log_key: LogKey, policy: bytes, signer: str) -> EnrolText:
    pending = folder / config.STATE / FOUNDING
    statement = _enrol(log_key, policy, signer)
    path = pending / f"enrol-{re.sub(r'[^A-Za-z0-9.-]', '-', signer)}.txt"
    path.write_text(statement.text)
    command = f"ssh-keygen -Y sign -n {statement.namespace} -f KEY {path}"
    return EnrolText(path=path, signer=signer, command=command)


def _signed(path: Path, log_key: LogKey) -> Signed:
    text = path.with_suffix("")
    if path.suffix != ".sig" or not text.is_file() or not path.is_file():
        raise NotFoundError(
            "no signature beside its text", where=str(path), do="Sign with the printed command."
        )
    signed = Signed(text=text.read_text(), signature=path.read_text())
    verify_signed(signed, domain=log_key.name.partition("/")[0])
    return signed


def _seal(folder: Path, log_key: LogKey, policy: bytes, statements: "Iterable[Signed]") -> Founded:
    event = Event(
        id=new_id(),
        type="log.created",
        actor=dict(EXECUTOR),
        data={
            "schema": "itmp-log/v1",
            "origin": log_key.name,
            "log_key": log_key.vkey,
            "previous": None,
            "policy": policy.decode(),
            "statements": [signed.to_data() for signed in statements],
        },
    )
    log = posix_log.create(folder / config.STATE, origin=log_key.name, key=log_key, genesis=event)
    genesis = log.leaf(0).hash
    write_schemas(folder / config.STATE)
    anchoring.checkpoint(Workspace(root=folder.resolve(), config=config.load(folder)))
    return Founded(
        origin=log.origin, vkey=log.vkey, genesis=genesis, trust=_write_trust(folder, log.vkey, genesis)
    )


def _write_trust(folder: Path, vkey: str, genesis: Digest) -> Path:
    """Write what an auditor brings: the log's key as a C2SP tlog-policy and the genesis leaf's hash."""
    trust = folder / TRUST
    trust.mkdir(exist_ok=True)
    (trust / "log.policy").write_text(f"log {vkey}\nquorum none\n")
    (trust / "genesis").write_text(genesis + "\n")
    return trust


def _person(path: Path) -> tuple[str, str]:
    """Read a public key file whose comment is the person's id."""
    try:
        line = path.read_text().strip()
    except OSError as error:
        raise NotFoundError(f"cannot be read: {error.strerror}", where=str(path)) from error
    PublicKey.parse(line)
    parts = line.split(None, 2)
    if len(parts) < 3 or "@" not in parts[2]:  # noqa: PLR2004 - type, key, comment
        raise InvalidInputError(
            "the key's comment is no signer id",
            where=str(path),
            do="Set it: ssh-keygen -c -C alice@example.com -f KEY",
        )
    return parts[2].strip(), line
