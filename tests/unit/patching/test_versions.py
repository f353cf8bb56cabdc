"""Versions sort as dpkg sorts them."""

import shutil
import subprocess
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.patching.versions import newer

ASCENDING = [
    "0~", "0", "0.9", "1.0~~", "1.0~~a", "1.0~", "1.0~rc1", "1.0", "1.0-1", "1.0-1+deb12u1", "1.0-1.1", "1.0a",
    "1.0+b1", "1.0.0-1", "1.2", "1.10", "1.10-9", "1.10-10", "2.0", "1:0.1", "1:0.1-1", "2:0",
]  # fmt: skip


@pytest.mark.parametrize(("older", "later"), list(combinations(ASCENDING, 2)))
def test_a_later_version_is_newer(older: str, later: str) -> None:
    assert newer(later, older)
    assert not newer(older, later)


@pytest.mark.parametrize(
    ("left", "right"), [("1.0", "1.0-0"), ("0:1.0", "1.0"), ("1.00", "1.0"), ("1.", "1.0")]
)
def test_two_spellings_of_one_version_are_equal(left: str, right: str) -> None:
    assert not newer(left, right)
    assert not newer(right, left)


@given(
    st.lists(
        st.from_regex(r"[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True), min_size=2, max_size=2
    )
)
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_dpkg(pair: list[str]) -> None:
    tool = shutil.which("dpkg")
    if tool is None:  # the table above stands for it on other systems
        return
    answer = subprocess.run(
        [tool, "--compare-versions", pair[0], "gt", pair[1]], check=False, capture_output=True
    )
    assert newer(*pair) is (answer.returncode == 0)
