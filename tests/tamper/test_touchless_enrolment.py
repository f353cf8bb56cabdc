"""A root person's FIDO key that nobody touched: neither `init --seal` nor `init --key` begins a log with what it signed.

Stock ssh-keygen accepts such a signature (`test_touchless_fido`), so ours is the only one that can refuse it here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attacks import cheating, fido_blob
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from itmp.errors import EvidenceInvalidError
from itmp.signing.wire import rebase64
from itmp.workspace import init_roots, seal

SEEDS = {"alice": b"a" * 32, "bob": b"b" * 32}
SPACE = "itmp-enrol@example.com"
FORGER = """\
import sys
from pathlib import Path

sys.path[:0] = {path!r}
from attacks import cheating
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

text = Path(sys.argv[-1])
sign = cheating(Ed25519PrivateKey.from_private_bytes({seed!r}), space={space!r}, flags={flags})
text.with_name(text.name + ".sig").write_text(sign(text.read_text()))
"""


def public(folder: Path, name: str) -> Path:
    """Write a hardware key's public half, made in software."""
    blob = rebase64(fido_blob(Ed25519PrivateKey.from_private_bytes(SEEDS[name])))
    path = folder / f"{name}.pub"
    path.write_text(f"sk-ssh-ed25519@openssh.com {blob} {name}@example.com\n")
    return path


def signed(root: Path, flags: dict[str, int]) -> tuple[Path, ...]:
    """Prepare a log for both people and sign as `flags` say; return the signatures."""
    root.mkdir()
    found = []
    for text in init_roots(root, tuple(public(root, name) for name in SEEDS), organization="example.com"):
        name = text.signer.partition("@")[0]
        sign = cheating(Ed25519PrivateKey.from_private_bytes(SEEDS[name]), space=SPACE, flags=flags[name])
        found.append(Path(f"{text.path}.sig"))
        found[-1].write_text(sign(text.path.read_text()))
    return tuple(found)


@pytest.mark.parametrize("untouched", ["alice", "bob"])
def test_no_log_is_sealed_with_an_enrolment_that_nobody_touched(untouched: str, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    with pytest.raises(EvidenceInvalidError, match="without touch"):
        seal(bad, signed(bad, {**dict.fromkeys(SEEDS, 1), untouched: 0}))
    assert not (bad / ".itmp/log").exists()
    seal(good, signed(good, dict.fromkeys(SEEDS, 1)))
    assert (good / ".itmp/log/checkpoint").is_file()


@pytest.mark.parametrize("flags", [0, 1], ids=["untouched", "touched"])
def test_no_log_is_begun_by_a_key_that_nobody_touched(flags: int, tmp_path: Path) -> None:
    """The program that signs is replaced: what it gives back is what such a key's agent would."""
    for folder in ("bin", "w"):
        (tmp_path / folder).mkdir()
    public(tmp_path, "alice")
    (tmp_path / "alice").write_text("a handle of a hardware key\n")
    forger = tmp_path / "forge.py"
    here = [str(Path(__file__).parent)]
    forger.write_text(FORGER.format(path=here, seed=SEEDS["alice"], space=SPACE, flags=flags))
    script = tmp_path / "bin/ssh-keygen"
    real = shutil.which("ssh-keygen")
    script.write_text(
        f'#!/bin/sh\ncase " $* " in *" -Y sign "*) exec {sys.executable} {forger} "$@" ;; esac\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    words = ["init", "w", "--key", "alice", "--organization", "example.com", "--signer", "alice@example.com"]
    done = subprocess.run(
        ["itmp", *words], executable=str(Path(sys.executable).with_name("itmp")), cwd=tmp_path,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    begun = (tmp_path / "w/.itmp/log/checkpoint").is_file()
    assert (done.returncode == 0, begun) == (bool(flags), bool(flags)), done
    assert flags or "touch" in done.stderr, done
