"""Reads the host keys that hosts show, for people to compare and pin. Never accepts one.

Rules kept here: scanning proves nothing, so every key comes with its fingerprint for a person to compare
with a trusted source; nothing is written; a host that does not answer is reported, each with its reason.
"""

import base64
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import paramiko

from itmp.adapters.known_hosts import fingerprint, place

# In order of preference: what OpenSSH itself prefers.
_ALGORITHMS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
)
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedHost:
    """One host: its `known_hosts` line and SHA256 `fingerprint`, or the `error` that kept it silent."""

    name: str
    address: str
    port: int
    key_type: str = ""
    line: str = ""
    fingerprint: str = ""
    error: str = ""


def scan(hosts: Iterable[tuple[str, str, int]], *, timeout: float = 10.0) -> tuple[ScannedHost, ...]:
    """Ask every host (name, address, port) for its host key; return an answer each, in the same order.

    `timeout` seconds bound each host's connection and key exchange. Of a host's keys the preferred one is
    returned: ed25519 where there is one.
    """
    asked = list(hosts)
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(asked)))) as pool:
        return tuple(pool.map(lambda host: _scan(host[0], host[1], host[2], timeout), asked))


def _scan(name: str, address: str, port: int, timeout: float) -> ScannedHost:
    try:
        key = _key(address, port, timeout)
    except (OSError, EOFError, paramiko.SSHException, ValueError) as error:
        text = str(getattr(error, "strerror", None) or error or type(error).__name__)
        return ScannedHost(name=name, address=address, port=port, error=text.replace("\n", " ")[:300])
    encoded = base64.b64encode(key.asbytes()).decode()
    return ScannedHost(
        name=name,
        address=address,
        port=port,
        key_type=key.get_name(),
        line=f"{place(address, port)} {key.get_name()} {encoded}",
        fingerprint=fingerprint(key.asbytes()),
    )


def _key(address: str, port: int, timeout: float) -> Any:
    with socket.create_connection((address, port), timeout=timeout) as connection:
        transport = paramiko.Transport(connection)
        try:
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
            options = transport.get_security_options()
            options.key_types = [name for name in _ALGORITHMS if name in options.key_types]
            transport.start_client(timeout=timeout)
            return transport.get_remote_server_key()
        finally:
            transport.close()


__all__ = ["ScannedHost", "fingerprint", "scan"]
