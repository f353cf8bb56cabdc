"""The public API: its page's examples run, on real hosts; its names are these; its page names every event."""

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
from places import Place, rolling

from itmp import workspace
from itmp.workspace import events

PAGE = Path(__file__).parents[2] / "docs/api.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.fleet
def test_the_page_s_examples_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("runbooks/roll.yml", rolling("one"))
    monkeypatch.chdir(place.root)
    for name in ("HOME", "TMPDIR", "PATH", "LC_ALL"):
        monkeypatch.setenv(name, place.environ[name])
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    names: dict[str, object] = {}
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page


def test_every_name_of_the_list_is_there_and_no_other() -> None:
    assert workspace.__all__ == sorted(
        workspace.__all__, key=lambda name: (not name.isupper(), name.islower(), name)
    )
    assert set(workspace.__all__) == set(workspace._HOME)
    for name, home in workspace._HOME.items():
        assert getattr(workspace, name) is getattr(import_module(f"itmp.workspace.{home}"), name)
    for name in events.__all__:
        assert hasattr(events, name)


def test_the_page_names_every_event_and_its_values() -> None:
    page = PAGE.read_text().partition("## Every name")[0]
    rows = dict(re.findall(r"^\| (`[a-z.`, ]+`) \| (.+) \|$", page, re.MULTILINE))
    told = {name: set(re.findall(r"`(\w+)`", values)) for names, values in rows.items() for name in re.findall(r"`([\w.]+)`", names)}  # fmt: skip
    real = {}
    for kind in get_args(events.RunEvent):
        own = {field.name: str(field.type) for field in fields(kind)}
        for name in re.findall(r"['\"]([\w.]+)['\"]", own.pop("event")):
            real[name] = set(own)
    assert told == real
