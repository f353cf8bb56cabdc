"""No build passes over a test in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SKIPPING = """
import pytest
@pytest.mark.skipif(True, reason="needs root")
def test_one(): pass
def test_two(): pytest.skip("nothing here can")
def test_three(): pass
"""


@pytest.mark.parametrize(
    ("build", "told"),
    [("fail", "1 failed, 1 passed, 1 error"), ("", "1 passed, 2 skipped")],
    ids=["build", "person"],
)
def test_what_is_skipped_fails_a_build_and_no_person(tmp_path: Path, build: str, told: str) -> None:
    (tmp_path / "test_some.py").write_text(SKIPPING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    call = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "test_some.py"]
    path = os.pathsep.join([str(TESTS), str(TESTS / "fuzz")])
    done = subprocess.run(
        call, cwd=tmp_path, env={**os.environ, "ITMP_SKIPS": build, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told in done.stdout, done.stdout
    assert done.returncode == (1 if build else 0)
    assert ("is skipped in a build: Skipped: needs root" in done.stdout) == bool(build)
