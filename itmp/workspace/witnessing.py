"""Verbs of a witness, which another team runs beside its own logs or none: its key, its server.

Rules kept here: a witness has a folder of its own and needs no workspace.
"""

from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path

from itmp.adapters.anchors import serving


def witness_key(state: Path, name: str = "") -> str:
    """Return the public key of the witness in `state`; with a name, make it there first."""
    return serving.make(state, name) if name else serving.read_key(state).vkey


def witness_server(state: Path, logs: Sequence[str], address: tuple[str, int]) -> ThreadingHTTPServer:
    """Return the server that cosigns checkpoints of the logs with these keys, bound and not yet serving."""
    return serving.server(state, logs, address)
