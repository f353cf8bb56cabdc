"""Every benchmark starts: what it imports is there, and those that are quick print what they are for.

Nothing else runs them day by day: whoever wants a figure next would find what a renaming broke long ago. Names that a
benchmark uses further in are mypy's matter.
"""

import json
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "benchmarks"
FILES: Final = sorted(file.stem for file in FOLDER.glob("*.py"))
IMPORT_EACH: Final = """
import importlib, json, sys, traceback
told = {}
for name in sys.argv[1:]:
    try:
        told[name] = ["", callable(getattr(importlib.import_module(name), "main", None))]
    except BaseException:
        told[name] = [traceback.format_exc(), False]
print(json.dumps(told))
"""
QUICK: Final = {
    "compile_hosts.py 20": ["hosts 20, manifest", "gather+freeze+encode"],
    "crowd.py --processes 1 --seconds 0.1": ["| 1 started |", "| 1 forked |"],
    "results_path.py 5 2": ["results, 5 hosts, 2 tasks: "],
    "start.py 1": ["ms above a bare interpreter"],
    "whole_log.py 50": ["hashing         50 events: ", "full            50 events: "],
}
"""Programs that are done in a moment at this size, and the rows that they print. How fast they were is not judged."""


@pytest.fixture(scope="module")
def imported() -> dict[str, tuple[str, bool]]:
    """What came of importing each in turn: what was raised, and whether there is a `main`."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *FILES], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    return {name: (raised, main) for name, (raised, main) in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_can_be_imported_and_a_program_has_its_main(
    name: str, imported: dict[str, tuple[str, bool]]
) -> None:
    raised, main = imported[name]
    assert not raised
    assert main == ('if __name__ == "__main__"' in (FOLDER / f"{name}.py").read_text())


def test_the_names_that_benchmarks_use_are_checked() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert config["tool"]["mypy"]["files"] == ["itmp", "benchmarks"]


def test_make_bench_names_benchmarks_that_are_there() -> None:
    order = runpy.run_path(str(FOLDER / "run.py"))["ORDER"]
    assert {words.split()[0].removesuffix(".py") for words in order} <= set(FILES)


def test_make_bench_judges_every_shape_of_run_that_has_a_limit() -> None:
    order = runpy.run_path(str(FOLDER / "run.py"))["ORDER"]
    limits = runpy.run_path(str(FOLDER / "run_overhead.py"))["LIMITS"]
    taken = [words.split() for words in order if words.startswith("run_overhead.py ")]
    assert {(int(words[1]), int(words[3])) for words in taken} == set(limits)
    assert all(words[4] == "--alone" for words in taken), (
        "bare with defaults is shown once, by the small shape"
    )
    assert "run_overhead.py" in order


@pytest.mark.parametrize("words", QUICK)
def test_a_quick_benchmark_prints_its_rows(words: str) -> None:
    program, *sizes = words.split()
    done = subprocess.run(
        [sys.executable, FOLDER / program, *sizes], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {0, 1}, done.stderr  # 1: over its limit, which this size says nothing about
    for row in QUICK[words]:
        assert row in done.stdout
