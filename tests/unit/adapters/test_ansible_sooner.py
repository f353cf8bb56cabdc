"""Ansible gets the table of its own moved plugins as its own reader would give it, or reads it itself."""

import json
import subprocess
import sys
from pathlib import Path

import ansible
from ansible.utils.collection_loader._collection_meta import _meta_yml_to_dict

from itmp.adapters.ansible import _sooner

RAW = (Path(ansible.__file__).parent / "config" / "ansible_builtin_runtime.yml").read_bytes()
ASK = """
import json, sys
from pathlib import Path
from itmp.adapters.ansible import _sooner
_sooner.start_sooner(Path(sys.argv[1]))
from ansible.utils.collection_loader import _collection_finder as finder
ask = finder._meta_yml_to_dict
raw = sys.stdin.buffer.read()
print(json.dumps([ask(raw, ("ansible.builtin", "runtime.yml")), ask(b"a: 1", ("acme.own", "runtime.yml"))]))
"""


def asked(folder: Path) -> list[object]:
    """What a program that starts sooner hands to Ansible."""
    call = [sys.executable, "-c", ASK, str(folder)]
    done = subprocess.run(call, input=RAW, capture_output=True, check=True, timeout=60)
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_what_is_kept_is_what_ansible_reads(tmp_path: Path) -> None:
    read = _meta_yml_to_dict(RAW, ("ansible.builtin", "runtime.yml"))
    assert len(read["plugin_routing"]) > 3
    folder = tmp_path / "kept"
    _sooner.keep(RAW, read, folder)
    assert _sooner.recalled(RAW, folder) == read
    assert asked(folder) == [read, {"a": "1"}]
    (kept,) = folder.iterdir()
    kept.write_text('{"kept": "indeed"}')
    assert asked(folder) == [{"kept": "indeed"}, {"a": "1"}], "it is asked for, and no other collection's"


def test_for_other_bytes_and_from_a_damaged_file_nothing_is_known(tmp_path: Path) -> None:
    _sooner.keep(RAW, {"a": "b"}, tmp_path)
    assert _sooner.recalled(RAW + b"\n", tmp_path) is None
    (kept,) = tmp_path.iterdir()
    for text in ("", "[]", '{"a": ', "{}\n{}"):
        kept.write_text(text)
        assert _sooner.recalled(RAW, tmp_path) is None
    kept.unlink()
    assert _sooner.recalled(RAW, tmp_path / "nowhere") is None


def test_what_json_would_change_is_not_kept_and_what_is_old_goes(tmp_path: Path) -> None:
    _sooner.keep(RAW, {1: "a"}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    _sooner.keep(b"old", {"a": "b"}, tmp_path)
    _sooner.keep(b"new", {"a": "c"}, tmp_path)
    assert (_sooner.recalled(b"old", tmp_path), _sooner.recalled(b"new", tmp_path)) == (None, {"a": "c"})
    assert len(list(tmp_path.iterdir())) == 1
