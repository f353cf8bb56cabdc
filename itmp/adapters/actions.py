"""The action socket: how a child process asks before it acts and tells what happened.

A UNIX stream socket in a private folder carries JSON lines, one answer per message, in order:

| message | answer |
|---|---|
| `{"m":"hello","token":…,"role":…}` (first, once) | `{"ok":true}` |
| `{"m":"before", <fields of Action>}` | `{"ok":true}` once the observer has returned, or as below |
| `{"m":"outside", <fields of Action>}`, with `outside` | refused, and with it every later `before` |
| `{"m":"after", <fields of ActionResult>}` | `{"ok":true}` |
| `{"m":"secret","name":…}` | `{"ok":true,"value":…}` |
| `{"m":"mask","values":[…]}` (null: withhold all) | `{"ok":true}` once every later result is masked |
| any of these, refused | `{"ok":false,"why":…}` |

Rules kept here: an action is acknowledged only after `Observer.before` has returned; after the first refusal every
later `before` is refused; results of actions that were already acknowledged are still recorded, unless recording
itself failed. What a peer says to lie outside the plan reaches the observer as that: a message that does not say
how is none of this protocol; any peer may say it, since it only ends the run. One thread calls the observer. A
peer must have our uid and know the token; a message that is not of this protocol ends its connection, and a client
that loses its connection before an acknowledgement must not act.

Secrets cross this socket and never its messages' errors. The client imports nothing but the standard library,
because it is loaded into Ansible's and the Pulumi provider's processes.
"""

import dataclasses
import hmac
import json
import os
import selectors
import socket
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from itmp.errors import Error

if TYPE_CHECKING:
    from itmp.execution.doors import Action, ActionResult, Observer

MAX_LINE: Final = 4 * 1024 * 1024
_MAX_PATH: Final = 100  # sun_path holds 108 bytes
_LONGEST_PARENT: Final = 60  # leaves room for a temporary folder's name and the socket's
_CHUNK: Final = 65536
_ENCODER: Final = json.JSONEncoder(default=str)
_UNHEARD: Final = 32
"""Answers that may wait in the socket: far fewer than fill it, so that neither end ever waits for the other to read."""
_STUCK: Final = 10.0  # seconds until a peer that does not read its answers is given up

ALONE: Final = "ansible"
"""The role that one connection has, and then it alone acts: what a play starts here could find socket and token."""

SOCKET_VARIABLE: Final = "ITMP_ACTION_SOCKET"
TOKEN_VARIABLE: Final = "ITMP_ACTION_TOKEN"  # noqa: S105 -- the name of a variable, not a secret


class ActionRefusedError(Error):
    """The executor refused an action, or can no longer be reached: do not act."""

    exit_code = 14


class SecretSource(Protocol):
    """Gives the value of a secret that the slice may use; raises `Error` for any other name."""

    def __call__(self, name: str, /) -> str:
        """Return the value."""


class Masking(Protocol):
    """Takes values that must not be shown from now on."""

    def __call__(self, values: "Sequence[str] | None", /) -> None:
        """Mask `values` in all that follows; None: show nothing of what follows."""


class ActionClient:
    """The child's end. Any failure is an `ActionRefusedError`: without an acknowledgement nothing may happen.

    Answers come in the order of what was said, so that whoever only tells can hear them later.
    Not for use from two threads at once; each process opens its own.
    """

    def __init__(self, path: str, *, token: str, role: str, timeout: float | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._pending = b""
        self._unheard = 0
        try:
            self._socket.connect(path)
            self._ask({"m": "hello", "token": token, "role": role})
        except OSError as error:
            self.close()
            raise ActionRefusedError("the executor cannot be reached", where=path) from error
        except ActionRefusedError:
            self.close()
            raise

    @classmethod
    def from_environment(cls, role: str, *, timeout: float | None = None) -> "ActionClient":
        """Connect to the socket that the executor named in the environment."""
        try:
            path, token = os.environ[SOCKET_VARIABLE], os.environ[TOKEN_VARIABLE]
        except KeyError as error:
            raise ActionRefusedError(f"{error.args[0]} is not set: not started by an executor") from error
        return cls(path, token=token, role=role, timeout=timeout)

    def before(self, action: "Action | Mapping[str, Any]") -> None:
        """Return once `action` may happen."""
        self._ask({"m": "before", **_fields(action)})

    def outside(self, action: "Action | Mapping[str, Any]") -> None:
        """Have it refused and recorded that `action` would leave the plan; its `outside` says how."""
        self._ask({"m": "outside", **_fields(action)})

    def after(self, result: "ActionResult | Mapping[str, Any]") -> None:
        """Return once the executor has taken `result`."""
        self._ask({"m": "after", **_fields(result)})

    def tell(self, result: "ActionResult | Mapping[str, Any]") -> None:
        """Send `result` and go on; what the executor says of it is heard before the next thing that is asked.

        What was sent reaches the executor also when this process ends at once. Each answer that is waited for wakes two
        processes, and a result needs none: an action that follows it is asked for.
        """
        self._say({"m": "after", **_fields(result)})
        if self._unheard >= _UNHEARD:
            self._hear()

    def secret(self, name: str) -> str:
        """Return the value of secret `name`."""
        return str(self._ask({"m": "secret", "name": name})["value"])

    def mask(self, values: "Sequence[str] | None") -> None:
        """Return once the executor masks `values` in every later result (None: withholds them all)."""
        self._ask({"m": "mask", "values": values if values is None else list(values)})

    def fileno(self) -> int:
        """Return the connection's descriptor: it becomes readable when the executor is gone."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._say(message)
        return self._hear()

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            self._socket.sendall(_line(message))
        except OSError as error:
            raise _unanswered(error) from error
        self._unheard += 1

    def _hear(self) -> dict[str, Any]:
        """Read every answer that is due; return the last, raise the first refusal among them."""
        answer, refusal = {}, ""
        while self._unheard:
            answer = self._answer()
            if answer.get("ok") is not True:
                refusal = refusal or f"refused by the executor: {answer.get('why', '')}"
        if refusal:
            raise ActionRefusedError(refusal)
        return answer

    def _answer(self) -> dict[str, Any]:
        self._unheard -= 1
        try:
            answer = json.loads(self._read_line())
        except (OSError, ValueError) as error:
            raise _unanswered(error) from error
        return answer if isinstance(answer, dict) else {}

    def _read_line(self) -> bytes:
        while b"\n" not in self._pending:
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("the executor closed the action socket")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line


def _unanswered(error: Exception) -> ActionRefusedError:
    return ActionRefusedError(f"no answer from the executor: {error}")


def short_parent() -> Path | None:
    """Return where private temporary folders keep a socket's path short; `None` means the usual place.

    A UNIX socket's path holds about a hundred bytes, and TMPDIR may be long.
    """
    usual = Path(tempfile.gettempdir())
    if len(os.fsencode(usual)) <= _LONGEST_PARENT:
        return None
    shared = Path("/dev/shm")  # noqa: S108 -- mkdtemp makes a private folder in it
    return shared if os.access(shared, os.W_OK) else Path("/tmp")  # noqa: S108 -- as above


class ActionServer:
    """The executor's end; a context manager that owns the socket file in `folder` (private, short path).

    `failure` is the first exception of the observer: the caller ends its child and raises it. `roles` are the
    roles that have said hello.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token: str,
        observer: "Observer",
        secret: SecretSource | None = None,
        masking: Masking | None = None,
    ) -> None:
        self.path = folder / "a.sock"
        if len(os.fsencode(self.path)) > _MAX_PATH:
            raise Error("the folder's path is too long for a UNIX socket", where=str(self.path))
        self.failure: BaseException | None = None
        self.roles: set[str] = set()
        self._token, self._observer, self._secret, self._masking = token, observer, secret, masking
        self._refusal = ""
        self._deaf = self._cut = False
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self.path.chmod(0o600)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self.path.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a child finds and enters the socket."""
        return {SOCKET_VARIABLE: str(self.path), TOKEN_VARIABLE: self._token}

    @property
    def refused(self) -> bool:
        """Whether every further `before` is refused."""
        return bool(self._refusal)

    @property
    def deaf(self) -> bool:
        """Whether results can no longer be recorded, so that waiting for them is useless."""
        return self._deaf

    def refuse(self, why: str) -> None:
        """Refuse every further `before`; safe in a signal handler."""
        self._refusal = self._refusal or why

    def watch(self, fd: int) -> None:
        """Let `pump` also return when `fd` becomes readable (a child's pidfd)."""
        self._selector.register(fd, selectors.EVENT_READ)

    def pump(self, timeout: float) -> bool:
        """Serve what is ready, waiting at most `timeout` seconds for it; return whether there was any."""
        served = False
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
                served = True
            elif isinstance(key.fileobj, socket.socket):
                self._receive(key.fileobj, key.data)
                served = True
        return served

    def drain(self, *, cut: bool = False) -> None:
        """Serve everything that has already been sent (after the child has ended).

        `cut` says that we ended it: what it then tells to have gone wrong may be our doing, and is `unknown`.
        """
        self._cut = cut
        while self.pump(0):
            pass

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.settimeout(_STUCK)
            if _peer_uid(connection) != os.geteuid():
                connection.close()
                return
            self._selector.register(connection, selectors.EVENT_READ, _Peer())

    def _receive(self, connection: socket.socket, peer: "_Peer") -> None:
        try:
            chunk = connection.recv(_CHUNK)
            for line in peer.feed(chunk):
                answer = _line(self._answer(peer, json.loads(line.decode())))
                # Whoever is gone may have told more than this.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(answer)
        except OSError:
            chunk = b""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            chunk = b""
            if peer.role:
                self._fail(ActionRefusedError(f"{peer.role} broke the action protocol: {error!s:.200}"))
        if not chunk:
            self._selector.unregister(connection)
            connection.close()

    def _answer(self, peer: "_Peer", message: dict[str, Any]) -> dict[str, Any]:
        kind = message.pop("m")
        if not peer.role:
            if kind != "hello" or not hmac.compare_digest(str(message["token"]), self._token):
                raise ValueError("no hello")
            peer.role = str(message["role"])
            if peer.role == ALONE and ALONE in self.roles:
                raise ValueError("somebody else speaks already")
            self.roles.add(peer.role)
            return {"ok": True}
        if kind in {"before", "after"} and peer.role != ALONE and ALONE in self.roles:
            raise ValueError("it may not act")
        match kind:
            case "before":
                return self._before(message)
            case "outside":
                return self._outside(message)
            case "after":
                return self._after(message)
            case "secret":
                return self._give(str(message["name"]))
            case "mask":
                return self._mask(message["values"])
            case _:
                raise ValueError("no such message")

    def _before(self, fields: dict[str, Any]) -> dict[str, Any]:
        from itmp.execution.doors import Action  # noqa: PLC0415 -- keeps the client's imports light

        action = Action(**fields)
        if not self._refusal:
            self._guarded(lambda: self._observer.before(action))
        return {"ok": False, "why": self._refusal} if self._refusal else {"ok": True}

    def _outside(self, fields: dict[str, Any]) -> dict[str, Any]:
        if not str(fields["outside"]).strip():
            raise ValueError("it says nothing to be outside")
        return self._before(fields)

    def _after(self, fields: dict[str, Any]) -> dict[str, Any]:
        from itmp.execution.doors import ActionResult  # noqa: PLC0415 -- as in _before

        result = ActionResult(**fields)
        if self._cut and result.outcome in {"failed", "unreachable"}:
            result = dataclasses.replace(result, outcome="unknown")
        if not self._deaf:
            self._deaf = not self._guarded(lambda: self._observer.after(result))
        return {"ok": False, "why": self._refusal} if self._deaf else {"ok": True}

    def _guarded(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as error:  # noqa: BLE001 -- kept and raised by the caller once its child has ended
            self._fail(error)
            return False
        return True

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.refuse(str(error).partition("\n")[0] or type(error).__name__)

    def _give(self, name: str) -> dict[str, Any]:
        if self._secret is None:
            return {"ok": False, "why": "no secrets here"}
        try:
            return {"ok": True, "value": self._secret(name)}
        except Error as error:
            return {"ok": False, "why": error.what}

    def _mask(self, values: Any) -> dict[str, Any]:
        if self._masking is None:
            return {"ok": False, "why": "nothing is masked here"}
        self._masking(None if values is None else [str(value) for value in values])
        return {"ok": True}


class _Peer:
    """One connection: who it is, and what it has sent without a line's end."""

    def __init__(self) -> None:
        self.role = ""
        self._pending = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if len(self._pending) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise ValueError("a message that is too long")
        return lines


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _line(message: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(message).encode() + b"\n"


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


__all__ = [
    "SOCKET_VARIABLE",
    "TOKEN_VARIABLE",
    "ActionClient",
    "ActionRefusedError",
    "ActionServer",
    "Masking",
    "SecretSource",
    "short_parent",
]
