"""A whole change by an account without any right: plan, approval, run, evidence; on both means that it has for custody."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import itmp

STORY = Path(__file__).with_name("story_of_a_person.py")
HOME = Path(itmp.__file__).parents[1]
UID = 4711
ROOT = os.geteuid() == 0
OTHERS = Path("/usr/bin") / f"python{sys.version_info.major}.{sys.version_info.minor}"
# As root a person is made in a mount namespace alone; in a changed root nobody can have a user namespace.
PERSON = """
mount --bind {top}/passwd /etc/passwd && mount --bind {top}/group /etc/group
level=$1; shift
[ "$level" = landlock ] && mount --rbind / {top}/root && into="chroot {top}/root"
exec $into setpriv --reuid {uid} --regid {uid} --clear-groups --inh-caps=-all --bounding-set=-all \\
  env -i HOME={top}/home TMPDIR=/tmp LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PATH={top}/venv/bin:/usr/sbin:/usr/bin:/bin \\
  {more} "$@"
"""

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(
        not ROOT or not OTHERS.exists(), reason="needs root, to make a person, and a python for them"
    ),
]


@pytest.fixture
def top() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    for name in ("home", "root"):
        (made / name).mkdir()
    os.chown(made / "home", UID, UID)
    (made / "home/story").mkdir()
    os.chown(made / "home/story", UID, UID)
    (made / "passwd").write_text(f"{Path('/etc/passwd').read_text()}sre:x:{UID}:{UID}::{made}/home:/bin/sh\n")
    (made / "group").write_text(f"{Path('/etc/group').read_text()}sre:x:{UID}:\n")
    subprocess.run([OTHERS, "-m", "venv", "--without-pip", made / "venv"], check=True, timeout=60)
    (packages,) = (made / "venv").glob("lib/python3*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("\n".join([str(HOME), *borrowed]) + "\n")
    for name, module in (("itmp", "main"), ("itmp-verify", "verify")):
        program = made / "venv/bin" / name
        program.write_text(
            f"#!{made}/venv/bin/python\nimport sys\nfrom itmp.cli.{module} import main\nsys.exit(main())\n"
        )
        program.chmod(0o755)
    yield made
    shutil.rmtree(made)


def as_person(top: Path, level: str, *command: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as the account without rights; `more` are further variables of its environment."""
    script = PERSON.format(top=top, uid=UID, more=more)
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", level, *command],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.parametrize("level", ["user-namespace", "landlock"])
def test_a_person_without_rights_plans_runs_and_proves_a_change(top: Path, level: str) -> None:
    done = as_person(top, level, f"{top}/venv/bin/python", str(STORY), f"{top}/home/story")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["uid"], told["binaries"]["custody"], told["found"]) == (UID, level, "looked\n")
    assert told["journals"] == {host: ["begin act", "end act"] for host in ("web1", "web2", "web3")}
    assert told["verified"] == 0, told["report"]
    assert level in told["report"]
