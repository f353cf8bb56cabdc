"""`itmp init`: from an empty folder to a workspace whose log has its genesis.

Rules kept here: leaf 0 holds the log's key, the first policy and the enrol statements of its root people, so that
who may do what is never decided by a file of the working tree; with one root person evidence says `single root`; the
log's private key is written once, readable by its owner only, and never into the log's folder; a founder may die at any
moment: asked the same again, it completes what was begun (see `begun`).
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
from itmp.adapters.posix_log import durable
from itmp.adapters.ssh_keygen import choose_key
from itmp.audit import Event
from itmp.calendars import format_time
from itmp.canonical import Digest, digest
from itmp.change import Policy, starter_policy, team_policy
from itmp.errors import InvalidInputError, NotFoundError
from itmp.signing import LogKey, NoteKey, PublicKey, Signed, Statement, sign_statement, verify_signed
from itmp.signing.wire import rebase64
from itmp.workspace import anchoring, begun, config
from itmp.workspace.begun import FOUNDING, KEY, POLICY
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.plain import plain, read_given, read_plain
from itmp.workspace.same_user import kept_by_us, separating
from itmp.workspace.tooling import write_schemas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from itmp.audit import Log

SINGLE: Final = "single root: one person alone enrolled this log, and its evidence says so"
COMPLETED: Final = (
    "an earlier itmp init had begun this log and was interrupted; what was missing is written now"
)
_EMPTY: Final = "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""`seen` of an empty log: size 0 and the RFC 6962 empty root."""
AGENT: Final = "agent:"
_ALL_ROLES: Final = ("sre", "approver", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """A log that has begun: what an auditor must be given now, and the commands that come `next`."""

    origin: str
    vkey: str
    genesis: Digest
    trust: Path
    notes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()


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
    """Found a log for one person, who enrols alone; complete it where this was begun and interrupted.

    `InvalidInputError` where a log was founded, or begun otherwise. `log_key` is `agent:SHA256:…` for a log key in the
    ssh-agent; else a fresh one is written to a file.
    """
    with begun.alone(folder):
        log = begun.open_begun(folder)
        begun.refuse_prepared(folder)
        person = choose_key(key, os.environ, None)
        signer, organization = _who(signer, organization)
        data = read_given(policy) if policy else starter_policy(signer, person.public.line)
        if log is not None:
            begun.check_policy(log, data)
            if _is_other(posix_log.key_of(folder / config.STATE), log_key, data):
                raise begun.differs(log, "with another log key")
            return _end(folder, log, (SINGLE, COMPLETED))
        made = _prepare(folder, organization, data, log_key)
        if key:
            _remember(folder, signer, Path(key))
        text = _enrol(made, data, signer)
        return _seal(folder, made, data, [sign_statement(text, person)], (SINGLE,))


def init_roots(
    folder: Path,
    public_keys: tuple[Path, ...],
    *,
    organization: str = "",
    policy: Path | None = None,
    log_key: str = "",
) -> tuple[EnrolText, ...]:
    """Prepare a log for several root people: write one text for each to sign; `seal` then begins the log.

    Asked again, it returns the same texts, for some may be signed by now; new ones when they have expired.
    """
    people = dict(_person(path) for path in public_keys)
    first = next(iter(people))
    _, organization = _who(first, organization)
    entries: dict[str, tuple[str, tuple[str, ...]]] = {
        name: (line, _ALL_ROLES) for name, line in people.items()
    }
    data = read_given(policy) if policy else team_policy(entries, amend=len(people))
    texts = {_text_name(name): name for name in people}
    if len(texts) < len(people):
        raise InvalidInputError(
            "two signers' texts would have one name",
            do="Let ids differ in letters, digits, dots and hyphens.",
        )
    with begun.alone(folder):
        begun.refuse_begun(begun.open_begun(folder))
        state = folder / config.STATE
        if begun.prepared(state, data, texts, datetime.now(UTC)):
            if _is_other(posix_log.read_key(state / FOUNDING / KEY), log_key, data):
                begun.refuse_prepared(folder)
        else:
            made = _prepare(folder, organization, data, log_key)
            statements = {file: _enrol(made, data, name).text for file, name in texts.items()}
            begun.keep_prepared(state, {POLICY: data.decode(), KEY: made.to_text() + "\n", **statements})
    return tuple(_enrol_text(state / FOUNDING / file, name) for file, name in texts.items())


def seal(folder: Path, signatures: tuple[Path, ...]) -> Founded:
    """Begin the log with the root people's signatures over their texts (`TEXT.sig` beside each text).

    Complete it where this was begun and interrupted.
    """
    pending = folder / config.STATE / FOUNDING
    with begun.alone(folder):
        log = begun.open_begun(folder)
        if log is not None:
            begun.check_signed(log, signatures)
            return _end(folder, log, (COMPLETED,))
        if not (pending / POLICY).is_file():
            raise NotFoundError(
                "nothing to seal here", where=str(folder), do="Begin with: itmp init --root PUB --root PUB"
            )
        log_key = posix_log.read_key(pending / KEY)
        signed = [_signed(path, log_key) for path in signatures]
        return _seal(folder, log_key, read_given(pending / POLICY), signed)


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
        text = f"organization: {organization}\nlog: ops\ninventories: []\nanchors:\n  - kind: directory\n"
        durable.replace(folder / config.FILE, text.encode(), mode=0o644)
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


def _is_other(held: LogKey, option: str, policy: bytes) -> bool:
    """Whether `option` (see `log_key_of`) means another key than the one that was made or chosen before."""
    if isinstance(held, NoteKey):
        return bool(option)
    return not option or log_key_of(option, held.name, Policy.from_bytes(policy)).vkey != held.vkey


def _remember(folder: Path, signer: str, key: Path) -> None:
    """Write who signs here by default, where nothing says so yet."""
    if not (folder / config.LOCAL).exists():
        text = f"me: {{signer: {signer}, key: {key.expanduser().resolve()}}}\n"
        durable.replace(folder / config.LOCAL, text.encode(), mode=0o644)


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


def _text_name(signer: str) -> str:
    return f"enrol-{re.sub(r'[^A-Za-z0-9.-]', '-', signer)}.txt"


def _enrol_text(path: Path, signer: str) -> EnrolText:
    namespace = Statement.parse(read_plain(path)).namespace
    return EnrolText(path=path, signer=signer, command=f"ssh-keygen -Y sign -n {namespace} -f KEY {path}")


def _signed(path: Path, log_key: LogKey) -> Signed:
    text = path.with_suffix("")
    if path.suffix != ".sig" or not text.is_file() or not path.is_file():
        raise NotFoundError(
            "no signature beside its text", where=str(path), do="Sign with the printed command."
        )
    signed = Signed(text=read_plain(text), signature=read_plain(path))
    verify_signed(signed, domain=log_key.name.partition("/")[0])
    return signed


def _seal(
    folder: Path, log_key: LogKey, policy: bytes, statements: "Iterable[Signed]", notes: tuple[str, ...] = ()
) -> Founded:
    event = Event(
        id=new_id(),
        type="log.created",
        actor=dict(EXECUTOR),
        data={
            "schema": "itmp-log/v1",
            "origin": log_key.name,
            "log_key": log_key.vkey,
            "previous": None,
            "policy": plain(policy, Path(POLICY)),
            "statements": [signed.to_data() for signed in statements],
        },
    )
    log = posix_log.create(folder / config.STATE, origin=log_key.name, key=log_key, genesis=event)
    return _end(folder, log, notes)


def _end(folder: Path, log: "Log", notes: tuple[str, ...]) -> Founded:
    """Do what is left when the log is at its place, TRUST last; done again, it does what is missing."""
    begun.forget_prepared(folder / config.STATE)
    write_schemas(folder / config.STATE)
    place = Workspace(root=folder.resolve(), config=config.load(folder))
    anchoring.checkpoint(place)
    return Founded(
        origin=log.origin,
        vkey=log.vkey,
        genesis=log.leaf(0).hash,
        trust=begun.write_trust(folder, log),
        notes=notes,
        next=(separating(),) if kept_by_us(place) else (),
    )


def _person(path: Path) -> tuple[str, str]:
    """Read a public key file whose comment is the person's id."""
    line = read_plain(path).strip()
    PublicKey.parse(line)
    parts = line.split(None, 2)
    if len(parts) < 3 or "@" not in parts[2]:  # noqa: PLR2004 - type, key, comment
        raise InvalidInputError(
            "the key's comment is no signer id",
            where=str(path),
            do="Set it: ssh-keygen -c -C alice@example.com -f KEY",
        )
    return parts[2].strip(), line
