"""What a push and a night run is what the Makefile has and what the README says, within the time that was promised."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github/workflows/ci.yml").read_text()
JOBS = yaml.safe_load(TEXT)["jobs"]
MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
PROMISED = {"test": 30, "test-crash": 15}


def targets(job: str) -> dict[str, int]:
    """Return the targets of a job with the minutes that each may take."""
    return {one["target"]: one["minutes"] for one in JOBS[job]["strategy"]["matrix"]["include"]}


@pytest.mark.parametrize("job", JOBS)
def test_each_target_is_in_the_makefile(job: str) -> None:
    runs = [step.get("run", "") for step in JOBS[job]["steps"]]
    made = re.findall(r"\bmake ([a-z][a-z-]*)", " && ".join(run for run in runs if "apt-get" not in run))
    assert [
        name for name in [*made, *targets(job)] if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)
    ] == []
    assert "make ${{ matrix.target }}" in runs


def test_the_promised_minutes_end_a_step_of_each_push() -> None:
    assert PROMISED.items() <= targets("each-push").items()
    for job in JOBS.values():
        assert job["steps"][-1]["timeout-minutes"] == "${{ matrix.minutes }}"


@pytest.mark.parametrize("job", JOBS)
def test_the_readme_says_which_job_runs_what(job: str) -> None:
    words = ", ".join(f"`{target}` ({minutes} min)" for target, minutes in targets(job).items())
    assert f"{job.replace('-', ' ')}: {words}" in re.sub(r"\s+", " ", README)


def test_it_names_no_host() -> None:
    assert re.findall(r"://|\b[a-z0-9-]+\.(?:com|org|net|io|dev)\b", TEXT) == []
