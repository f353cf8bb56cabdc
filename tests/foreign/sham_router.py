"""A router on loopback that knows a few commands: a real SSH server with a shell in the manner of VyOS, for one login.

It notes every command that it is given, in order. What it answers is made up; how a session goes (echo, prompt, no exit
codes) is how such devices behave.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import paramiko

_PROMPT: Final = b"vyos@edge1:~$ "
_ANSWERS: Final = {
    "show version": "Version:          VyOS 1.4.0\r\nHW model:         sham",
    "show host name": "edge1",
    "show interfaces": "eth0  192.0.2.1/24  u/u",
}


@dataclass(kw_only=True)
class Router:
    """One router: where it listens, the line by which it is known, and what it was told."""

    port: int
    known_hosts: str
    told: list[str] = field(default_factory=list)


class _Login(paramiko.ServerInterface):
    def __init__(self, public: str) -> None:
        self._public = public

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        del username
        return paramiko.AUTH_SUCCESSFUL if key.get_base64() == self._public else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return paramiko.OPEN_SUCCEEDED

    def check_channel_pty_request(self, *_: object) -> bool:
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        del channel
        return True


@contextmanager
def up(public_key: Path) -> Iterator[Router]:
    """Let a router stand for whoever has the key that belongs to `public_key`."""
    host_key = paramiko.RSAKey.generate(2048)
    public = public_key.read_text().split()[1]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        router = Router(
            port=port, known_hosts=f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n"
        )
        sessions: list[paramiko.Transport] = []
        thread = threading.Thread(target=_accept, args=(listening, host_key, public, router, sessions))
        thread.start()
        try:
            yield router
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for session in sessions:
                session.close()


def _accept(
    listening: socket.socket,
    host_key: paramiko.PKey,
    public: str,
    router: Router,
    sessions: list[paramiko.Transport],
) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            session = paramiko.Transport(connection)
            session.add_server_key(host_key)
            sessions.append(session)
            with suppress(paramiko.SSHException, EOFError):
                session.start_server(server=_Login(public))
                threading.Thread(target=_serve, args=(session, router), daemon=True).start()


def _serve(session: paramiko.Transport, router: Router) -> None:
    channel = session.accept(30)
    if channel is None:
        return
    line = b""
    with suppress(OSError):
        channel.sendall(b"Welcome to a sham\r\n" + _PROMPT)
        while data := channel.recv(1024):
            channel.sendall(data.replace(b"\r", b"\r\n").replace(b"\n\n", b"\n"))
            line += data
            while line and (end := min((line.find(c) for c in b"\r\n" if c in line), default=-1)) >= 0:
                command, line = line[:end].decode(), line[end + 1 :]
                if command:
                    router.told.append(command)
                    channel.sendall(_answer(command) + _PROMPT)


def _answer(command: str) -> bytes:
    if command.startswith(("set terminal", "exit")):
        return b""
    return (_ANSWERS.get(command) or f"\r\n  Invalid command: [{command}]").encode() + b"\r\n"
