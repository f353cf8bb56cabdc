"""The grammar of statements: which lines each act has, in which order, and what may stand in them.

Rules kept here: a value is printable ASCII on one line without outer spaces and has one form only (UTC
seconds with Z, numbers without leading zeros, digests in lower case, standard base64). So no control, bidi or
look-alike character can stand in a statement, and what a signer sees is what the verifier reads. `-` stands
for "none", only where the grammar says so. Checks raise `ValueError` with the reason; `statements` adds the
place.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Final

from itmp.errors import InvalidInputError
from itmp.signing.notes import NoteVerifier
from itmp.signing.wire import WireError, unbase64

_RECENT: Final = 256
"""Values that stay read: a statement's interval and head are asked for several times while it is judged."""
MAX_VALUE: Final = 8192
MAX_FREE_TEXT: Final = 1024
NONE: Final = "-"

_OWN: Final = {
    "enrol": "logkey previous",
    "open": "plan type reason external window",
    "approve": "change plan request window scope",
    "reject": "change plan request window scope",
    "revoke": "change of",
    "run": "change plan request limit",
    "resume": "change plan request limit",
    "undo": "change plan request limit",
    "preview": "change plan request limit",
    "stop": "change reason",
    "cancel": "change reason",
    "close": "change reason",
    "review": "change reason",
    "answer": "change run step value",
    "reconcile": "change run host outcome reason",
    "approve-model": "plan model reason",
    "policy": "from to",
    "rotate": "from to size",
    "read": "leaf pointer reason",
    "redact": "leaf pointer reason",
    "recover": "size reason",
}

ACTS: Final = frozenset(_OWN)
"""Everything that a person can sign."""

_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,15})"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_SEGMENT: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ROOT_SIZE: Final = 32
_NONCE_SIZE: Final = 16
_EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

SCOPE: Final = re.compile(rf"env=([a-z0-9][a-z0-9_.-]{{0,63}}) hosts=({_NUMBER}) resources=({_NUMBER})\Z")
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}\Z")
_ORIGIN: Final = re.compile(rf"{_DOMAIN}/{_SEGMENT}/{_SEGMENT}\Z")


_LINES: Final = {
    act: ("log", "signer", "role", "policy", *own.split(), "valid", "seen", "nonce")
    for act, own in _OWN.items()
}


def lines_of(act: str) -> tuple[str, ...]:
    """Return the names of `act`'s lines after the `act` line, in their fixed order; `KeyError` for no act."""
    return _LINES[act]


def check(act: str, name: str, value: str) -> None:
    """Raise `ValueError` with the reason unless `value` may stand in line `name` of `act`."""
    if not value or len(value) > MAX_VALUE:
        raise ValueError(f"a value of {len(value)} characters; allowed are 1 to {MAX_VALUE}")
    if not (value.isascii() and value.isprintable()) and (found := _UNPRINTABLE.search(value)):
        raise ValueError(f"the character U+{ord(found[0]):04X}; only printable ASCII is signed")
    if value[0] == " " or value[-1] == " ":
        raise ValueError("a space at the beginning or the end")
    if value == NONE and (name in _MAY_BE_NONE or (act == "preview" and name in _ABSENT_IN_PREVIEW)):
        return
    (_CHECKS.get(f"{act}.{name}") or _CHECKS[name])(value)


def check_principal(value: str) -> None:
    """Raise `ValueError` unless `value` is a principal's id.

    Allowed: ASCII letters and digits and `. _ + - @`, the first one a letter or digit, at most 128
    characters. So neither a look-alike from another script nor a pattern (`*`, `?`, `!`, `,`) of
    allowed_signers can be an id.
    """
    if not _PRINCIPAL.match(value):
        raise ValueError(f"{value!r:.80} is no signer's id (ASCII letters, digits and . _ + - @)")


def time_of(value: str) -> datetime:
    """Return the time that `2026-11-22T22:00:00Z` names; raise `ValueError` for any other form."""
    if not _TIME.match(value):
        raise ValueError(f"{value!r:.40} is no time of the form 2026-11-22T22:00:00Z")
    return datetime.fromisoformat(value)


@lru_cache(_RECENT)
def interval_of(value: str) -> tuple[datetime, datetime]:
    """Return start and end of `TIME TIME`; raise `ValueError` unless the start lies before the end."""
    first, _, second = value.partition(" ")
    start, end = time_of(first), time_of(second)
    if not start < end:
        raise ValueError("the end is not after the start")
    return start, end


@lru_cache(_RECENT)
def head_of(value: str) -> tuple[int, bytes]:
    """Return size and root hash of `SIZE BASE64`; raise `ValueError` for anything else."""
    size, _, root = value.partition(" ")
    _number(size)
    raw = _bytes(root, _ROOT_SIZE, "root hash")
    if size == "0" and raw != _EMPTY_ROOT:
        raise ValueError("the root hash of an empty log is another one")
    return int(size), raw


def _pattern(text: str, meaning: str) -> Callable[[str], None]:
    compiled = re.compile(text + r"\Z")

    def checked(value: str) -> None:
        if not compiled.match(value):
            raise ValueError(f"{value!r:.80} is not {meaning}")

    return checked


def _bytes(text: str, size: int, what: str) -> bytes:
    try:
        raw = unbase64(text, what)
    except WireError as error:
        raise ValueError(error.what) from error
    if len(raw) != size:
        raise ValueError(f"{what}: {len(raw)} bytes instead of {size}")
    return raw


def _free(value: str) -> None:
    if len(value) > MAX_FREE_TEXT:
        raise ValueError(f"a text of {len(value)} characters; the limit is {MAX_FREE_TEXT}")


_number: Final = _pattern(_NUMBER, "a whole number without leading zeros")
_digest: Final = _pattern("sha256:[0-9a-f]{64}", "a digest (sha256: and 64 lower-case hex digits)")


def _vkey(value: str) -> None:
    try:
        NoteVerifier.parse(value)
    except InvalidInputError as error:
        raise ValueError(f"no note verifier key: {error.what}") from error


_MAY_BE_NONE: Final = frozenset({"window", "external", "limit", "previous"})
_ABSENT_IN_PREVIEW: Final = frozenset({"change", "request"})
_CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "log": _pattern(_ORIGIN.pattern.removesuffix(r"\Z"), "a log's origin (DOMAIN/NAME/PERIOD)"),
    "signer": check_principal,
    "role": _pattern(r"[a-z][a-z0-9_-]{0,63}", "a role (lower-case letters, digits, - and _)"),
    "policy": _digest,
    "logkey": _vkey,
    "previous": head_of,
    "plan": _digest,
    "type": _pattern("standard|normal|emergency", "standard, normal or emergency"),
    "reason": _free,
    "external": _pattern("[!-~]{1,256}", "an external reference (without spaces)"),
    "window": interval_of,
    "change": _pattern("CHG-[0-9a-f]{10}", "a change's id (CHG- and 10 hex digits)"),
    "request": _digest,
    "scope": _pattern(SCOPE.pattern.removesuffix(r"\Z"), "a scope (env=… hosts=… resources=…)"),
    "of": _digest,
    "limit": _pattern("[ -~]{1,8192}", "a host pattern"),
    "run": _pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "a run's id"),
    "step": _pattern(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}", "a step's id"),
    "value": _free,
    "host": _pattern("[!-~]{1,1024}", "a host's or resource's name (without spaces)"),
    "outcome": _pattern("ok|failed", "ok or failed"),
    "model": _pattern(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}", "a model's name"),
    "from": _digest,
    "to": _digest,
    "rotate.from": _vkey,
    "rotate.to": _vkey,
    "size": _number,
    "leaf": _digest,
    "pointer": _pattern("(?:/[!-~]*)", "a JSON pointer (without spaces)"),
    "valid": interval_of,
    "seen": head_of,
    "nonce": lambda value: _bytes(value, _NONCE_SIZE, "nonce"),
}
