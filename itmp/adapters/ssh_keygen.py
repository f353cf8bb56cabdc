"""People's keys through stock OpenSSH: `ssh-keygen -Y sign`, `ssh-keygen -Y verify` and `ssh-add -L`.

Rules kept here: private keys are never read by us, only by ssh-keygen, the agent or the hardware. Where
standard input is no terminal nothing may ask: the child has no terminal and no askpass, and ends within a
fixed time; the error names the key and what to do. Each signature is verified by our own verifier, by the
expected key, before it is handed on. Messages and allowed_signers stand in a private temporary folder for as
long as the child runs.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from itmp.errors import InvalidInputError, NotFoundError, ToolMissingError
from itmp.signing import (
    PublicKey,
    SignatureError,
    Signed,
    Statement,
    WeakKeyError,
    allowed_signers_line,
    verify_sshsig,
)
from itmp.signing.keys import TYPES

_UNATTENDED_SECONDS: Final = 60  # long enough to touch a hardware key
_ATTENDED_SECONDS: Final = 300
_NEEDED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TERM", "TMPDIR", "TZ", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"}
)
_PREFIXES: Final = ("SSH_", "XDG_", "LC_", "LANG")
_SHORT_SECONDS: Final = 20
_MAX_PUB: Final = 64 * 1024


class KeyUnusableError(InvalidInputError):
    """A key that exists but cannot sign here and now."""


class SshKey:
    """A key that ssh-keygen signs with. Keeps the contract of `PersonalKey`.

    `path` is a private key's file (its `.pub` beside it is used where there is one), or a `.pub` file whose
    private half the agent holds. `SshKey.of_agent` needs no file at all. `environ` is what children see;
    `attended` says whether a person may be asked (by default: whether standard input is a terminal).
    """

    def __init__(
        self,
        path: Path | None,
        *,
        public: PublicKey | None = None,
        environ: Mapping[str, str] | None = None,
        attended: bool | None = None,
    ) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._attended = _has_terminal() if attended is None else attended
        self._path = path.expanduser() if path else None
        found = self._read_public(self._path) if self._path else public
        if found is None:
            raise NotFoundError("no key is named", do="Name an SSH key by --key or ITMP_KEY.")
        self._public = found

    @classmethod
    def of_agent(
        cls, public: PublicKey, *, environ: Mapping[str, str] | None = None, attended: bool | None = None
    ) -> "SshKey":
        """Return the key whose private half the agent of `environ` holds."""
        return cls(None, public=public, environ=environ, attended=attended)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._public

    @property
    def name(self) -> str:
        """How messages call this key: its file, or the agent's and its fingerprint."""
        return str(self._path) if self._path else f"agent key {self._public.fingerprint}"

    def sign(self, message: bytes, namespace: str) -> str:
        """Return the armor over `message`; raise `KeyUnusableError`, which says what to do."""
        with tempfile.TemporaryDirectory(prefix="itmp-sign-") as folder:
            text, public = Path(folder, "message"), Path(folder, "key.pub")
            text.write_bytes(message)
            public.write_text(self._public.line + "\n", encoding="ascii")
            key = str(self._path or public)
            call = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", key, str(text)]
            said = self._run(call)
            armor = Path(folder, "message.sig")
            if not armor.exists():
                raise self._unusable(said)
            signature = armor.read_text(encoding="ascii")
        signed = verify_sshsig(signature, message, namespace)
        if signed.key != self._public:
            raise self._unusable(
                f"it signed by another key, {signed.key.fingerprint}: the public key doesn't match"
            )
        return signature

    def _read_public(self, path: Path) -> PublicKey:
        beside = path if path.suffix == ".pub" else Path(f"{path}.pub")
        try:
            if not path.is_file():
                raise NotFoundError(
                    "no such key file", where=str(path), do="Name an SSH key by --key or ITMP_KEY."
                )
            if beside.is_file():
                return PublicKey.parse(_read_line(beside))
        except OSError as error:
            raise KeyUnusableError(f"it cannot be read: {error.strerror}", where=str(path)) from error
        done = _call(["ssh-keygen", "-y", "-P", "", "-f", str(path)], self._environ, _SHORT_SECONDS)
        if done.returncode:
            raise KeyUnusableError(
                f"its public half is unknown: {_last_line(done.stderr)}",
                where=str(path),
                do=f"Put it beside the key: ssh-keygen -y -f {path} > {path}.pub",
            )
        return PublicKey.parse(done.stdout)

    def _run(self, call: list[str]) -> str:
        """Run the signing child and return its last words."""
        if not self._attended:
            return _last_line(_call(call, self._environ, _UNATTENDED_SECONDS).stderr)
        try:  # the person sees ssh-keygen's own prompts (passphrase, PIN, touch)
            done = subprocess.run(
                call,
                env=_passed(self._environ),
                stdout=subprocess.DEVNULL,
                timeout=_ATTENDED_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise _missing("ssh-keygen") from error
        except subprocess.TimeoutExpired as error:
            raise KeyUnusableError(f"no answer within {_ATTENDED_SECONDS} s", where=self.name) from error
        return f"ssh-keygen ended with code {done.returncode}"

    def _unusable(self, said: str) -> KeyUnusableError:
        if "doesn't match" in said and self._path:
            private = str(self._path).removesuffix(".pub")
            do = f"Write the .pub file anew: ssh-keygen -y -f {private} > {private}.pub"
        elif self._attended:
            do = "See ssh-keygen's own message above, then try again."
        elif self._path and self._path.suffix != ".pub":
            do = f"If it has a passphrase, load it into the agent (ssh-add {self.name}), or use a terminal."
        else:
            do = "Load its private half into the agent (ssh-add) and check SSH_AUTH_SOCK."
        return KeyUnusableError(f"the key did not sign: {said}", where=self.name, do=do)


def agent_keys(environ: Mapping[str, str] | None = None) -> tuple[PublicKey, ...]:
    """Return the acceptable keys of the running agent; none where there is no agent.

    Weak keys, certificates and unknown types are left out.
    """
    seen = os.environ if environ is None else environ
    if not seen.get("SSH_AUTH_SOCK"):
        return ()
    done = _call(["ssh-add", "-L"], seen, _SHORT_SECONDS)
    keys = list[PublicKey]()
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        try:
            keys.append(PublicKey.parse(line))
        except WeakKeyError:
            continue
    return tuple(keys)


def choose_key(
    option: str | None,
    environ: Mapping[str, str],
    me_key: str | None,
    *,
    allowed: Collection[PublicKey] | None = None,
    attended: bool | None = None,
) -> SshKey:
    """Return the key to sign with, in the order: `--key`, ITMP_KEY, `me.key` of itmp.yml, the agent.

    Each of the first three is a file's path or a public key line (then the agent holds the private half). The
    agent alone decides only if exactly one of its keys is among `allowed` (`None`: any). Raises
    `NotFoundError` or `KeyUnusableError`, naming the fingerprints that were found.
    """
    for given in (option, environ.get("ITMP_KEY"), me_key):
        if given and " " in given and given.split(" ", 1)[0] in TYPES:
            return SshKey.of_agent(PublicKey.parse(given), environ=environ, attended=attended)
        if given:
            return SshKey(Path(given), environ=environ, attended=attended)
    found = agent_keys(environ)
    fitting = [key for key in found if allowed is None or key in allowed]
    if len(fitting) == 1:
        return SshKey.of_agent(fitting[0], environ=environ, attended=attended)
    do = "Name the key by --key PATH, ITMP_KEY or me.key in itmp.yml."
    if not found:
        raise NotFoundError("no SSH key is named and the agent offers none", do=do)
    names = ", ".join(f"{key.fingerprint} ({key.type})" for key in fitting or found)
    what = (
        "several keys of the agent fit" if fitting else "none of the agent's keys is one that may sign here"
    )
    raise KeyUnusableError(f"{what}: {names}", do=do)


def strict_verify(
    signed: Signed,
    *,
    principal: str,
    key: PublicKey,
    authority: bool = False,
    at: datetime | None = None,
) -> None:
    """Have stock ssh-keygen verify a signed statement; raise `SignatureError` with its words if it refuses.

    `key` is what `principal` must have signed with (or, with `authority`, the CA of the certificate). `at` is
    the time for which a certificate's validity is judged (default: now). Raises `ToolMissingError` without
    ssh-keygen.
    """
    namespace = Statement.parse(signed.text).namespace
    with tempfile.TemporaryDirectory(prefix="itmp-verify-") as folder:
        allowed, armor = Path(folder, "allowed_signers"), Path(folder, "message.sig")
        line = allowed_signers_line(principal, key, namespaces=namespace, authority=authority)
        allowed.write_text(line + "\n", encoding="ascii")
        armor.write_text(signed.signature, encoding="ascii", errors="replace", newline="")
        call = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-f",
            str(allowed),
            "-I",
            principal,
            "-n",
            namespace,
            "-s",
            str(armor),
        ]
        if at is not None:
            call += ["-O", f"verify-time={at.astimezone(UTC):%Y%m%d%H%M%S}"]
        done = _call(call, {**os.environ, "TZ": "UTC"}, _SHORT_SECONDS, given=signed.text)
    if done.returncode:
        raise SignatureError(
            f"ssh-keygen refuses the signature: {_last_line(done.stderr or done.stdout)}", where=principal
        )


def _passed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what ssh's tools need of an environment: a secret that stands there for a run is none of it."""
    return {name: value for name, value in environ.items() if name in _NEEDED or name.startswith(_PREFIXES)}


def _call(
    call: list[str], environ: Mapping[str, str], seconds: int, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a child that can ask nobody: own session without a terminal, no askpass, bounded in time."""
    env = {**_passed(environ), "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}
    env.pop("SSH_ASKPASS", None)  # OpenSSH before 8.4 does not know the variable above
    env.pop("DISPLAY", None)
    try:
        return subprocess.run(
            call,
            env=env,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise _missing(call[0]) from error
    except subprocess.TimeoutExpired as error:
        raise KeyUnusableError(
            f"{call[0]} gave no answer within {seconds} s",
            do="If it is a hardware key, touch it when it blinks.",
        ) from error


def _missing(tool: str) -> ToolMissingError:
    return ToolMissingError(
        f"{tool} is not installed", do="Install OpenSSH's client programs (8.2 or newer)."
    )


def _has_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _read_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_MAX_PUB)


def _last_line(text: str) -> str:
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
    shown = lines[-1].strip() if lines else "no message"
    return "".join(character if character.isprintable() else "?" for character in shown)[:300]
