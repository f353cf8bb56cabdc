"""Our own verifier and the adapter against stock OpenSSH."""

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from itmp.adapters.ssh_keygen import KeyUnusableError, SshKey, agent_keys, choose_key, strict_verify
from itmp.errors import NotFoundError, ToolMissingError
from itmp.signing import (
    PublicKey,
    SignatureError,
    Signed,
    Statement,
    WeakKeyError,
    change_id,
    sign_statement,
    verify_signed,
    verify_sshsig,
)
from itmp.testing.people import Person

DIGEST = "sha256:" + "0f" * 32
STATEMENT = Statement.compose(
    "open",
    {
        "log": "example.com/ops/2026",
        "signer": "alice@example.com",
        "role": "sre",
        "policy": DIGEST,
        "plan": DIGEST,
        "type": "normal",
        "reason": "restart",
        "external": "-",
        "window": "-",
        "valid": "2026-11-22T05:00:00Z 2026-11-23T02:00:00Z",
        "seen": "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "nonce": "AAECAwQFBgcICQoLDA0ODw==",
    },
)
KINDS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa-256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa-384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa-521": ["-t", "ecdsa", "-b", "521"],
    "rsa-3072": ["-t", "rsa", "-b", "3072"],
}
QUIET = {name: value for name, value in os.environ.items() if name not in {"SSH_AUTH_SOCK", "ITMP_KEY"}}


def generate(folder: Path, name: str, *options: str, passphrase: str = "") -> Path:
    path = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-N", passphrase, "-C", "a comment", "-f", path, *options],
        check=True,
        timeout=60,
    )
    return path


@pytest.fixture(params=KINDS)
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return generate(tmp_path, "key", *KINDS[request.param])


@pytest.fixture
def agent() -> Iterator[dict[str, str]]:
    folder = tempfile.mkdtemp(prefix="itmp-agent-")  # a socket's path must be short
    socket = Path(folder, "s")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"SSH_AUTH_SOCK" in process.stdout.readline()  # printed once it listens
        yield {**QUIET, "SSH_AUTH_SOCK": str(socket)}
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
        shutil.rmtree(folder)


def add(agent: dict[str, str], path: Path) -> None:
    subprocess.run(["ssh-add", "-q", path], env=agent, check=True, timeout=20)


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_own_verifier_accepts_what_ssh_keygen_signs(key: Path, hash_name: str) -> None:
    call = [
        "ssh-keygen",
        "-Y",
        "sign",
        "-n",
        "itmp-test@example.com",
        "-O",
        f"hashalg={hash_name}",
        "-f",
        key,
    ]
    done = subprocess.run(call, input=b"text\n", capture_output=True, check=True, timeout=20)
    signed = verify_sshsig(done.stdout.decode(), b"text\n", "itmp-test@example.com")
    assert signed.hash == hash_name
    assert signed.key == PublicKey.parse(key.with_suffix(".pub").read_text())
    assert (signed.touched, signed.pin, signed.certificate) == (None, None, None)
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", key], capture_output=True, check=True, text=True, timeout=20
    )
    assert listed.stdout.split()[1] == signed.key.fingerprint
    with pytest.raises(SignatureError, match="over this text"):
        verify_sshsig(done.stdout.decode(), b"texT\n", "itmp-test@example.com")


def test_a_key_file_signs_a_statement_that_both_verifiers_accept(key: Path) -> None:
    signed = sign_statement(STATEMENT, SshKey(key, environ=QUIET, attended=False))
    _, by = verify_signed(signed, domain="example.com")
    strict_verify(signed, principal="alice@example.com", key=by.key)
    assert change_id(signed).startswith("CHG-")


def test_the_person_in_memory_signs_like_ssh_keygen(tmp_path: Path) -> None:
    alice = Person("alice@example.com", 1)
    strict_verify(sign_statement(STATEMENT, alice), principal="alice@example.com", key=alice.public)
    path = generate(tmp_path, "key", "-t", "ed25519")
    stock = SshKey(path, attended=False).sign(b"x", "n")
    own = alice.sign(b"x", "n")
    assert [len(line) for line in stock.splitlines()] == [len(line) for line in own.splitlines()]


def test_ssh_keygen_refuses_another_text_key_or_principal() -> None:
    alice, bob = Person("alice@example.com", 1), Person("bob@example.com", 1)
    signed = sign_statement(STATEMENT, alice)
    forged = Signed(text=signed.text.replace("restart", "Restart"), signature=signed.signature)
    for case, principal, key in (
        (forged, "alice@example.com", alice.public),
        (signed, "alice@example.com", bob.public),
    ):
        with pytest.raises(SignatureError, match="ssh-keygen refuses"):
            strict_verify(case, principal=principal, key=key)
    with pytest.raises(SignatureError, match="ssh-keygen refuses"):
        strict_verify(
            Signed(text=signed.text, signature="-"), principal="alice@example.com", key=alice.public
        )


def test_keys_that_stock_tools_still_make_are_refused(tmp_path: Path) -> None:
    weak = generate(tmp_path, "weak", "-t", "rsa", "-b", "2048")
    with pytest.raises(WeakKeyError, match="2048 bits"):
        SshKey(weak, attended=False)


def test_a_key_without_its_pub_file(tmp_path: Path) -> None:
    path = generate(tmp_path, "key", "-t", "ed25519")
    expected = PublicKey.parse(Path(f"{path}.pub").read_text())
    Path(f"{path}.pub").unlink()
    assert SshKey(path, attended=False).public == expected
    locked = generate(tmp_path, "locked", "-t", "ed25519", passphrase="secret")
    Path(f"{locked}.pub").unlink()
    with pytest.raises(KeyUnusableError, match=r"ssh-keygen -y"):
        SshKey(locked, attended=False)


def test_a_pub_file_of_another_key_is_noticed(tmp_path: Path) -> None:
    path, other = generate(tmp_path, "key", "-t", "ed25519"), generate(tmp_path, "other", "-t", "ed25519")
    Path(f"{path}.pub").write_text(Path(f"{other}.pub").read_text())
    with pytest.raises(KeyUnusableError, match="doesn't match") as caught:
        SshKey(path, environ=QUIET, attended=False).sign(b"x", "n")
    assert f"ssh-keygen -y -f {path}" in caught.value.do


def test_a_program_that_signs_by_another_key_is_noticed(tmp_path: Path) -> None:
    path = generate(tmp_path, "key", "-t", "ed25519")
    (tmp_path / "armor").write_text(Person("mallory", 1).sign(b"x", "n"))
    wrapper = tmp_path / "ssh-keygen"
    wrapper.write_text(f'#!/bin/sh\nfor last; do :; done\ncat {tmp_path}/armor > "$last.sig"\n')
    wrapper.chmod(0o755)
    environ = {**QUIET, "PATH": f"{tmp_path}:{QUIET['PATH']}"}
    with pytest.raises(KeyUnusableError, match="another key"):
        SshKey(path, environ=environ, attended=False).sign(b"x", "n")


def test_a_path_that_cannot_be_read_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusableError, match="cannot be read"):
        SshKey(tmp_path / ("x" * 5000), attended=False)
    with pytest.raises(NotFoundError):
        SshKey(tmp_path, attended=False)


def test_without_openssh_the_error_names_the_tool(tmp_path: Path) -> None:
    path = generate(tmp_path, "key", "-t", "ed25519")
    with pytest.raises(ToolMissingError, match="ssh-keygen"):
        SshKey(path, environ={"PATH": str(tmp_path)}, attended=False).sign(b"x", "n")


def test_a_passphrase_without_a_terminal_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = generate(tmp_path, "locked", "-t", "ed25519", passphrase="secret")
    asked = tmp_path / "asked"
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    askpass.chmod(0o755)
    environ = {**QUIET, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    with pytest.raises(KeyUnusableError) as caught:
        SshKey(path, environ=environ, attended=False).sign(b"x", "n")
    assert str(path) in str(caught.value)
    assert f"ssh-add {path}" in str(caught.value)
    assert not asked.exists()


_ATTENDED = """
import fcntl, sys, termios
from pathlib import Path
from itmp.adapters.ssh_keygen import SshKey
from itmp.signing import verify_sshsig
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
key = SshKey(Path(sys.argv[1]))
print("HASH", verify_sshsig(key.sign(b"x", "n"), b"x", "n").hash)
"""


def read_until(terminal: int, word: bytes) -> bytes:
    said = b""
    while word not in said:
        assert select.select([terminal], [], [], 30)[0], said
        said += os.read(terminal, 4096)
    return said


def test_a_person_at_a_terminal_is_asked_for_the_passphrase(tmp_path: Path) -> None:
    path = generate(tmp_path, "locked", "-t", "ed25519", passphrase="secret")
    ours, theirs = pty.openpty()
    call = [sys.executable, "-c", _ATTENDED, str(path)]
    child = subprocess.Popen(
        call, env=QUIET, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    try:
        read_until(ours, b"passphrase")
        os.write(ours, b"secret\n")
        said = read_until(ours, b"HASH sha512")
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait(10)
        os.close(ours)
        os.close(theirs)
    assert b"secret" not in said


def test_the_agent_signs_for_a_pub_file_and_for_a_bare_key(agent: dict[str, str], tmp_path: Path) -> None:
    path = generate(tmp_path, "key", "-t", "ed25519")
    add(agent, path)
    public = tmp_path / "elsewhere.pub"
    public.write_text(Path(f"{path}.pub").read_text())
    path.unlink()
    for chosen in (
        SshKey(public, environ=agent, attended=False),
        SshKey.of_agent(agent_keys(agent)[0], environ=agent),
    ):
        assert verify_sshsig(chosen.sign(b"x", "n"), b"x", "n").key == chosen.public
    with pytest.raises(KeyUnusableError, match="SSH_AUTH_SOCK"):
        SshKey(public, environ=QUIET, attended=False).sign(b"x", "n")


def test_the_order_of_choice(agent: dict[str, str], tmp_path: Path) -> None:
    paths = {
        name: generate(tmp_path, name, "-t", "ed25519") for name in ("option", "variable", "me", "agent")
    }
    publics = {name: PublicKey.parse(Path(f"{path}.pub").read_text()) for name, path in paths.items()}
    add(agent, paths["agent"])
    with_variable = {**agent, "ITMP_KEY": str(paths["variable"])}
    assert choose_key(str(paths["option"]), with_variable, str(paths["me"])).public == publics["option"]
    assert choose_key(None, with_variable, str(paths["me"])).public == publics["variable"]
    assert choose_key(None, agent, str(paths["me"])).public == publics["me"]
    assert choose_key(None, agent, None).public == publics["agent"]
    literal = choose_key(None, agent, publics["agent"].line, attended=False)
    assert verify_sshsig(literal.sign(b"x", "n"), b"x", "n").key == publics["agent"]
    with pytest.raises(NotFoundError, match="no such key file"):
        choose_key(str(tmp_path / "absent"), agent, str(paths["me"]))


def test_the_agent_decides_only_when_one_key_fits(agent: dict[str, str], tmp_path: Path) -> None:
    paths = [generate(tmp_path, name, "-t", "ed25519") for name in ("one", "two")]
    for path in paths:
        add(agent, path)
    one, two = agent_keys(agent)
    with pytest.raises(KeyUnusableError, match="several") as caught:
        choose_key(None, agent, None)
    assert one.fingerprint in str(caught.value)
    assert two.fingerprint in str(caught.value)
    assert choose_key(None, agent, None, allowed=[two]).public == two
    with pytest.raises(KeyUnusableError, match="none of the agent's keys") as caught:
        choose_key(None, agent, None, allowed=[Person("carol", 1).public])
    assert one.fingerprint in str(caught.value)


def test_no_agent_and_no_key_says_what_to_do() -> None:
    assert agent_keys(QUIET) == ()
    assert agent_keys({**QUIET, "SSH_AUTH_SOCK": "/nonexistent/socket"}) == ()
    with pytest.raises(NotFoundError, match="ITMP_KEY"):
        choose_key(None, QUIET, None)


def certify(folder: Path, *options: str) -> tuple[SshKey, PublicKey]:
    ca, user = generate(folder, "ca", "-t", "ed25519"), generate(folder, "user", "-t", "ecdsa")
    call = ["ssh-keygen", "-q", "-s", ca, "-I", "alice's card", *options, f"{user}.pub"]
    subprocess.run(call, check=True, timeout=20)
    return SshKey(user, attended=False), PublicKey.parse(Path(f"{ca}.pub").read_text())


def sign_with_certificate(folder: Path, agent: dict[str, str], statement: Statement) -> Signed:
    add(agent, folder / "user")
    text = folder / "text"
    text.write_text(statement.text)
    call = ["ssh-keygen", "-Y", "sign", "-n", statement.namespace, "-f", folder / "user-cert.pub", text]
    subprocess.run(call, env=agent, check=True, capture_output=True, timeout=20)
    return Signed(text=statement.text, signature=Path(f"{text}.sig").read_text())


def test_a_certificate_binds_key_ca_principal_and_time(agent: dict[str, str], tmp_path: Path) -> None:
    key, ca = certify(
        tmp_path, "-n", "alice@example.com,al", "-V", "20261101000000Z:20261201000000Z", "-z", "7"
    )
    signed = sign_with_certificate(tmp_path, agent, STATEMENT)
    _, by = verify_signed(signed, domain="example.com")
    certificate = by.certificate
    assert certificate is not None
    assert by.key == key.public
    assert (certificate.ca, certificate.serial, certificate.key_id) == (ca, 7, "alice's card")
    assert certificate.principals == ("alice@example.com", "al")
    start, end = STATEMENT.valid
    certificate.admit(authorities=[ca], principal="alice@example.com", start=start, end=end)
    strict_verify(signed, principal="alice@example.com", key=ca, authority=True, at=start)
    for authorities, principal, at in (
        ([key.public], "alice@example.com", start),
        ([], "alice@example.com", start),
        ([ca], "bob@example.com", start),
        ([ca], "Alice@example.com", start),
        ([ca], "alice@example.com", datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)),
        ([ca], "alice@example.com", datetime(2026, 12, 1, tzinfo=UTC)),
    ):
        with pytest.raises(SignatureError):
            certificate.admit(authorities=authorities, principal=principal, start=at, end=at)
    with pytest.raises(SignatureError, match="elsewhen"):
        certificate.admit(authorities=[ca], principal="al", start=start, end=start + timedelta(days=30))
    with pytest.raises(SignatureError, match="ssh-keygen refuses"):
        strict_verify(signed, principal="alice@example.com", key=key.public)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-n", "alice@example.com", "-O", "force-command=true"], "force-command"),
        (["-n", "alice@example.com", "-O", "critical:itmp@example.com=1"], "critical option"),
        ([], "without principals"),
        (["-h", "-n", "alice@example.com"], "for hosts"),
    ],
)
def test_certificates_that_restrict_or_say_nothing_are_refused(
    agent: dict[str, str], tmp_path: Path, options: list[str], reason: str
) -> None:
    certify(tmp_path, *options)
    signed = sign_with_certificate(tmp_path, agent, STATEMENT)
    with pytest.raises(SignatureError, match=reason):
        verify_signed(signed, domain="example.com")
