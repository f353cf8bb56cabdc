"""Ansible gets its own two tables as its own readers would give them, or reads them itself."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from itmp.adapters.ansible import _sooner

ASK = """
import json, sys
from pathlib import Path
from itmp.adapters.ansible import _sooner
_sooner.start_sooner(Path(sys.argv[1]))
from ansible import constants
from ansible.config import manager
from ansible.utils.collection_loader import _collection_finder as finder
base = manager.ConfigManager._read_config_yaml_file(None, str(Path(manager.__file__).parent / "base.yml"))
runtime = (Path(manager.__file__).parent / "ansible_builtin_runtime.yml").read_bytes()
ask = finder._meta_yml_to_dict
moved = [ask(runtime, ("ansible.builtin", "runtime.yml")), ask(b"a: 1", ("acme.own", "runtime.yml"))]
print(json.dumps([*moved, base]))
"""
MOVED, SETTINGS = _sooner.tables()


def asked(folder: Path) -> list[Any]:
    """What a program that starts sooner hands to Ansible: moved plugins, those of a collection, settings."""
    call = [sys.executable, "-c", ASK, str(folder)]
    done = subprocess.run(call, capture_output=True, check=True, timeout=60)
    answer: list[Any] = json.loads(done.stdout)
    return answer


def test_what_is_kept_is_what_ansible_reads(tmp_path: Path) -> None:
    read = _sooner.tables()
    assert "plugin_routing" in read[MOVED]
    assert "DEFAULT_FORKS" in read[SETTINGS]
    _sooner.keep(read, tmp_path / "kept")
    for raw, value in read.items():
        assert _sooner.recalled(raw, tmp_path / "kept") == value
    for place in ("kept", "nowhere"):
        assert asked(tmp_path / place) == [read[MOVED], {"a": "1"}, read[SETTINGS]]


def test_it_is_asked_for_and_for_no_other_collection(tmp_path: Path) -> None:
    read = _sooner.tables()
    more = {"KEPT_INDEED": {"default": 1, "name": "x", "description": []}}
    told = {MOVED: {"kept": "indeed"}, SETTINGS: read[SETTINGS] | more, b"a: 1": {"not": "asked"}}
    _sooner.keep(told, tmp_path)
    assert asked(tmp_path) == [{"kept": "indeed"}, {"a": "1"}, read[SETTINGS] | more]


def test_for_other_bytes_and_from_a_damaged_file_nothing_is_known(tmp_path: Path) -> None:
    _sooner.keep({MOVED: {"a": "b"}}, tmp_path)
    assert _sooner.recalled(MOVED + b"\n", tmp_path) is None
    (kept,) = tmp_path.iterdir()
    for text in ("", "[]", '{"a": ', "{}\n{}"):
        kept.write_text(text)
        assert _sooner.recalled(MOVED, tmp_path) is None


def test_what_json_would_change_is_not_kept_and_what_is_old_goes(tmp_path: Path) -> None:
    _sooner.keep({MOVED: {1: "a"}}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    _sooner.keep({b"old": {"a": "b"}, b"same": {}}, tmp_path)
    _sooner.keep({b"new": {"a": "c"}, b"same": {}}, tmp_path)
    known = [_sooner.recalled(raw, tmp_path) for raw in (b"old", b"new", b"same")]
    assert known == [None, {"a": "c"}, {}]
    assert len(list(tmp_path.iterdir())) == 2
