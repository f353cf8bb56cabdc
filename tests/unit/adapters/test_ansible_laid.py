"""Whether a laid out file is still the one that was laid out."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from itmp.adapters.ansible._laid import CHANGED, Laid
from itmp.adapters.ansible._masked import Masked
from itmp.adapters.secrets import Masker
from itmp.execution.doors import Action

TASKS = "project/playbooks/tasks/turn.yml"
TEXT = "- ansible.builtin.raw: act more\n"


@pytest.fixture
def laid(tmp_path: Path) -> Laid:
    (tmp_path / TASKS).parent.mkdir(parents=True)
    (tmp_path / TASKS).write_text(TEXT)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/known_hosts").touch()
    made = Laid(tmp_path, (TASKS, "inventory/known_hosts"))
    _tick(tmp_path)
    return made


def _tick(folder: Path) -> None:
    """Wait until the kernel's clock of files has gone on: long before that Ansible has not even started."""
    laid_out = (folder / TASKS).stat().st_ctime_ns
    while True:
        (folder / "clock").write_text("tick")
        if (folder / "clock").stat().st_ctime_ns > laid_out:
            return
        time.sleep(0.001)


def longer(file: Path) -> None:
    file.write_text(TEXT + TEXT)


def as_long_and_as_old(file: Path) -> None:
    seen = file.stat()
    with file.open("r+") as open_file:
        open_file.write(TEXT.replace("more", "less"))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def put_back(file: Path) -> None:
    longer(file)
    as_it_was = file.with_name("as-it-was")
    as_it_was.write_text(TEXT)
    as_it_was.replace(file)


def exchanged(file: Path) -> None:
    other = file.with_name("other")
    other.write_text(TEXT)
    other.replace(file)


def led_elsewhere(file: Path) -> None:
    file.rename(file.with_name("other"))
    file.symlink_to("other")


@pytest.mark.parametrize(
    "change", [longer, as_long_and_as_old, put_back, exchanged, led_elsewhere, Path.unlink]
)
def test_a_file_that_was_changed_in_any_way_is_another_one(
    laid: Laid, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    change(tmp_path / TASKS)
    assert laid.changed(TASKS)


def test_what_nobody_changed_and_what_the_plan_does_not_hold_is_none(laid: Laid, tmp_path: Path) -> None:
    (tmp_path / TASKS).read_text()
    (tmp_path / TASKS).with_name("beside.yml").write_text(TEXT)  # plays may write there
    (tmp_path / "inventory/known_hosts").write_text("a host")  # no task is carried out from there
    assert not any(map(laid.changed, (TASKS, "inventory/known_hosts", "project/playbooks/beside.yml", "")))


def test_an_action_of_a_changed_file_is_told_as_outside_the_plan(laid: Laid, tmp_path: Path) -> None:
    told: list[Action] = []

    class Observer:
        def before(self, action: Action) -> None:
            told.append(action)

        def after(self, result: object) -> None: ...

    masked = Masked(Observer(), Masker([]), frozenset(), laid)
    action = Action(id="1", host="web1", action="ansible.builtin.raw", path=TASKS, line=1)
    masked.before(action)
    longer(tmp_path / TASKS)
    masked.before(action)
    assert [one.outside for one in told] == ["", CHANGED]
