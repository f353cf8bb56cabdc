import json
import sys

import pytest

from itmp.adapters.ansible import _versions
from itmp.errors import StaleError

PLACE = "project/playbooks/collections/ansible_collections/acme/web"


def test_the_versions_of_this_interpreter_are_accepted():
    _versions.require(_versions.present(), "a@0")
    _versions.require({}, "a@0")
    _versions.require({"pulumi": "1.0", "collection acme.web": "0.1"}, "a@0")


@pytest.mark.parametrize("name", ["ansible_core", "jinja2", "python"])
def test_another_version_is_stale_and_named(name):
    planned = _versions.present() | {name: "0.9"}
    with pytest.raises(StaleError, match=rf"{name} is .* the plan was made with 0\.9") as caught:
        _versions.require(planned, "a@0")
    assert (caught.value.where, caught.value.exit_code) == ("a@0", 12)


def test_python_counts_by_its_minor_version():
    assert _versions.present()["python"] == f"3.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("name", "data", "version"),
    [
        ("MANIFEST.json", json.dumps({"collection_info": {"version": "1.2.3"}}), "1.2.3"),
        ("galaxy.yml", "namespace: acme\nversion: 2.0.0\n", "2.0.0"),
    ],
)
def test_a_collection_states_its_version(name, data, version):
    assert _versions.of_collections({f"{PLACE}/{name}": data.encode()}) == {"collection acme.web": version}


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"a: [", b"version: ''", b'{"collection_info": 3}'])
def test_a_collection_that_states_none_has_none(data):
    assert _versions.of_collections({f"{PLACE}/MANIFEST.json": data, "project/x.yml": b"version: 1"}) == {}
