"""Reads OpenSSH's known_hosts: which lines speak of a host, and with which fingerprints.

Rules kept here: a line matches as OpenSSH matches it: hashed names, wildcards, negation, and `[host]:port` for
every port but 22. A line that is not understood matches nothing. Nothing is written.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SSH_PORT: Final = 22
_LENGTH: Final = 4
_TYPE: Final = re.compile(rb"[a-z0-9@.-]{4,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A pinned key: its type as in `ssh-ed25519`, its SHA256 fingerprint, and both fields as known_hosts has them."""

    type: str
    fingerprint: str
    text: str


class PinnedKeys:
    """The host keys of a known_hosts file, given as its path or its bytes; an absent file pins nothing."""

    def __init__(self, path: Path | None = None, *, data: bytes = b"") -> None:
        if path is not None and path.is_file():
            data = path.read_bytes()
        self._lines = tuple(data.decode(errors="replace").splitlines())  # what is not UTF-8 matches nothing

    def of(self, address: str, port: int) -> tuple[str, ...]:
        """Return the lines that speak of one place, `@revoked` and `@cert-authority` lines included."""
        return tuple(line for line in self._lines if _speaks(line, place(address, port)))

    def fingerprints(self, address: str, port: int) -> tuple[str, ...]:
        """Return the SHA256 fingerprints pinned for one place, in the file's order."""
        return tuple(key.fingerprint for key in self.keys(place(address, port)))

    def keys(self, name: str) -> tuple["Key", ...]:
        """Return the keys pinned for a name as known_hosts writes it (`place`), in the file's order."""
        return tuple(_keys(line for line in self._lines if line[:1] != "@" and _speaks(line, name)))

    def only(self, hosts: Iterable[tuple[str, int]]) -> bytes:
        """Return the file cut down to the lines that speak of `hosts` (address, port)."""
        wanted = [place(address, port) for address, port in hosts]
        kept = (line for line in self._lines if any(_speaks(line, name) for name in wanted))
        return "".join(f"{line}\n" for line in kept).encode()


def place(address: str, port: int) -> str:
    """Return how known_hosts names a host."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


def fingerprint(blob: bytes) -> str:
    """Return the SHA256 fingerprint of a public key's wire form, as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _keys(lines: Iterable[str]) -> Iterator[Key]:
    for line in lines:
        fields = line.split()
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except (IndexError, ValueError):
            continue
        # What a key is, its own bytes say: some libraries do not look at the word before them.
        said = blob[_LENGTH : _LENGTH + int.from_bytes(blob[:_LENGTH])] if len(blob) > _LENGTH else b""
        kind = said.decode("ascii", "replace") if _TYPE.fullmatch(said) else fields[1]
        yield Key(type=kind, fingerprint=fingerprint(blob), text=f"{fields[1]} {fields[2]}")


def _speaks(line: str, name: str) -> bool:
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return False
    if fields[0].startswith("@"):
        fields = fields[1:]
    patterns = fields[0].split(",") if fields else []
    if any(pattern.startswith("!") and _matches(pattern[1:], name) for pattern in patterns):
        return False
    return any(_matches(pattern, name) for pattern in patterns)


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _hashed(pattern, name)
    wild = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, name.lower()) is not None


def _hashed(pattern: str, name: str) -> bool:
    parts = pattern.split("|")
    try:
        salt, wanted = base64.b64decode(parts[2], validate=True), base64.b64decode(parts[3], validate=True)
    except (IndexError, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), wanted)


__all__ = ["SSH_PORT", "Key", "PinnedKeys", "fingerprint", "place"]
