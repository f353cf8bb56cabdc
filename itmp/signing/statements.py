"""Statements: the text that a person signs, and the pair of text and signature that becomes part of a leaf.

Rules kept here: a statement has one encoding. `Statement(text=…)` accepts exactly the text that `compose`
would write (version line, act, then the act's lines in their fixed order, each ending in LF) or raises
`StatementError` with the line. The signed bytes are the text's bytes. The namespace of the signature is
`itmp-<act>@<domain>`, where the domain is the part of `log` before the first `/`, so a signature given for
one act or one organization is worth nothing for another.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from itmp.errors import InvalidInputError
from itmp.signing import fields as grammar
from itmp.signing.ed25519 import SignatureError
from itmp.signing.keys import PublicKey
from itmp.signing.sshsig import PersonalKey, SignedBy, unarmor, verify_sshsig
from itmp.signing.wire import WireError

VERSION_LINE: Final = "itmp-statement/v1"
MAX_TEXT: Final = 16 * 1024
_CHANGE_DIGITS: Final = 10
_RECENT: Final = 64
"""Texts that stay read, and signatures that stay verified, by all their bytes: whoever judges a change comes to some of
its statements several times.
"""
_SAID: Final = 512
"""Lines that were found good: statements of one change, or under one policy, have most of theirs in common."""


class StatementError(InvalidInputError):
    """A text that is no statement; `where` names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a signer was shown of the plan's reach."""

    environment: str
    hosts: int
    resources: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One act of one signer. `fields` maps each line's name (after `act`) to its value, in order."""

    text: str
    act: str = field(init=False, compare=False)
    fields: Mapping[str, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        act, values = _read(self.text)
        object.__setattr__(self, "act", act)
        object.__setattr__(self, "fields", values)

    @classmethod
    def parse(cls, text: str) -> "Statement":
        """Read a statement; raise `StatementError` with the line unless `text` is its one encoding."""
        return cls(text=text)

    @classmethod
    def compose(cls, act: str, fields: Mapping[str, str]) -> "Statement":
        """Write the statement of `act`; raise `StatementError` for missing, unknown or malformed fields."""
        names = _lines(act, "act")
        missing, unknown = [n for n in names if n not in fields], sorted(fields.keys() - set(names))
        if missing or unknown:
            raise StatementError(f"fields missing: {missing}, unknown: {unknown}", where=f"statement {act}")
        for name in names:
            _check(act, name, fields[name], f"statement {act}, field {name}")
        lines = [VERSION_LINE, f"act {act}", *(f"{name} {fields[name]}" for name in names)]
        return cls(text="\n".join(lines) + "\n")

    @property
    def domain(self) -> str:
        """The organization: the part of `log` before the first `/`."""
        return self.fields["log"].partition("/")[0]

    @property
    def namespace(self) -> str:
        """The SSHSIG namespace in which this statement must be signed."""
        return namespace(self.act, self.domain)

    @property
    def valid(self) -> tuple[datetime, datetime]:
        """From when until when the signer means it (UTC)."""
        return grammar.interval_of(self.fields["valid"])

    @property
    def seen(self) -> tuple[int, bytes]:
        """Size and root hash of the checkpoint that the signer's client knew."""
        return grammar.head_of(self.fields["seen"])

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """The change's window (UTC); `None` where it has none or this act does not speak of it."""
        value = self.fields.get("window", grammar.NONE)
        return None if value == grammar.NONE else grammar.interval_of(value)

    @property
    def scope(self) -> Scope | None:
        """The reach that the signer was shown; `None` where this act does not speak of it."""
        found = grammar.SCOPE.match(self.fields.get("scope", ""))
        return found and Scope(environment=found[1], hosts=int(found[2]), resources=int(found[3]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement's text and its SSHSIG armor, as received. Nothing is verified yet; see `verify_signed`."""

    text: str
    signature: str

    def to_data(self) -> dict[str, str]:
        """Return `{"text": …, "signature": …}` as it stands in an event's `data`."""
        return {"text": self.text, "signature": self.signature}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Signed":
        """Read the pair from an event's `data`; raise `StatementError` where it is missing."""
        text, signature = data.get("text"), data.get("signature")
        if not isinstance(text, str) or not isinstance(signature, str):
            raise StatementError("no text and signature of a statement")
        return cls(text=text, signature=signature)


def namespace(act: str, domain: str) -> str:
    """Return the SSHSIG namespace of `act` in the organization `domain`."""
    return f"itmp-{act}@{domain}"


def sign_statement(statement: Statement, key: PersonalKey) -> Signed:
    """Have `key` sign the statement's bytes."""
    return Signed(text=statement.text, signature=key.sign(statement.text.encode(), statement.namespace))


def verify_signed(signed: Signed, *, domain: str) -> tuple[Statement, SignedBy]:
    """Read the statement and verify its signature for the organization `domain`.

    Raises `StatementError` for the text, `SignatureError` for the signature. Whose key it is, and whether
    that person may do this, is the policy's question.
    """
    return _verified(signed, domain)


@lru_cache(_RECENT)
def _verified(signed: Signed, domain: str) -> tuple[Statement, SignedBy]:
    statement = Statement.parse(signed.text)
    if statement.domain != domain:
        raise SignatureError(
            f"the statement is for {statement.domain!r:.80}, not for {domain!r:.80}", where="log"
        )
    by = verify_sshsig(signed.signature, signed.text.encode(), statement.namespace)
    if by.origin is not None or not by.key.for_ssh:
        raise SignatureError(
            "a signature for a web page, which binds the page and not what a person read",
            do="Sign with ssh-keygen -Y sign.",
        )
    return statement, by


def change_id(signed_open: Signed) -> str:
    """Return the id of the change that a signed `open` statement opens.

    `CHG-` and the first 10 hex digits of sha256 over the text's bytes followed at once by the armor's bytes
    (UTF-8, which is ASCII here; the text ends in LF, the armor begins with its marker line and ends in LF).
    """
    if Statement.parse(signed_open.text).act != "open":
        raise StatementError("only an open statement opens a change", where="act")
    try:
        unarmor(signed_open.signature)
    except WireError as error:
        raise SignatureError(error.what, where="SSH signature") from error
    text = signed_open.text.encode() + signed_open.signature.encode()
    return "CHG-" + hashlib.sha256(text).hexdigest()[:_CHANGE_DIGITS]


def check_principal(text: str) -> str:
    """Return `text` if it is a signer's id, else raise `StatementError` (see `fields.check_principal`)."""
    try:
        grammar.check_principal(text)
    except ValueError as error:
        raise StatementError(str(error)) from error
    return text


def allowed_signers_line(principal: str, key: PublicKey, *, namespaces: str, authority: bool = False) -> str:
    """Return the line for stock `ssh-keygen -Y verify`: this principal, these namespaces, this key (or CA).

    `namespaces` is one namespace or an OpenSSH pattern list such as `itmp-*@example.com`.
    """
    check_principal(principal)
    option = "cert-authority," if authority else ""
    return f'{principal} {option}namespaces="{namespaces}" {key.line}'


@lru_cache(_RECENT)
def _read(text: str) -> tuple[str, Mapping[str, str]]:
    if len(text) > MAX_TEXT:
        raise StatementError(f"a statement of {len(text)} characters; the limit is {MAX_TEXT}")
    if not text.endswith("\n"):
        raise StatementError(
            "a statement whose last line does not end", where=f"line {text.count(chr(10)) + 1}"
        )
    lines = text[:-1].split("\n")
    if lines[0] != VERSION_LINE:
        raise StatementError(f"{lines[0]!r:.40} instead of {VERSION_LINE!r}", where="line 1")
    act = _value(lines, 1, "act")
    names = _lines(act, "line 2")
    values = {name: _value(lines, at, name) for at, name in enumerate(names, 2)}
    if len(lines) > len(names) + 2:
        raise StatementError(
            f"a line too many: {lines[len(names) + 2]!r:.60}", where=f"line {len(names) + 3}"
        )
    for at, (name, value) in enumerate(values.items(), 3):
        _check(act, name, value, f"line {at}")
    return act, MappingProxyType(values)


def _value(lines: list[str], at: int, name: str) -> str:
    line = lines[at] if at < len(lines) else ""
    found, space, value = line.partition(" ")
    if found != name or not space:
        raise StatementError(f"{line!r:.60} where {name!r} must stand", where=f"line {at + 1}")
    return value


def _lines(act: str, where: str) -> tuple[str, ...]:
    if act not in grammar.ACTS:
        raise StatementError(
            f"{act!r:.40} is no act; acts are: {', '.join(sorted(grammar.ACTS))}", where=where
        )
    return grammar.lines_of(act)


@lru_cache(_SAID)
def _fits(act: str, name: str, value: str) -> None:
    grammar.check(act, name, value)


def _check(act: str, name: str, value: str, where: str) -> None:
    try:
        _fits(act, name, value)
    except ValueError as error:
        raise StatementError(f"{name}: {error}", where=where) from error
