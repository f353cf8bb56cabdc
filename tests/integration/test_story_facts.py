"""Facts go from step to step of one run, over its resume, and no further; what holds a secret, or is no fact, stays."""

from pathlib import Path

import pytest
from places import Place

pytestmark = pytest.mark.fleet

SECRET = "fäct-of-the-store:77aa"
HEAD = """\
itmp: runbook/v1
name: facts
title: Facts
owner: team-web
environment: production
risk: moderate
steps:
"""
GATHER = """\
  - id: gather
    hosts: web1
    vars: {token: {secret: "env:FACT_SECRET"}}
    tasks:
      - name: Keep
        ansible.builtin.set_fact: {fine: "kept", leak: "x{{ token }}y", deep: [{inner: "{{ token | b64encode }}"}], cacheable: true}
      - {name: Pass, ansible.builtin.set_fact: {passing: "here"}}
      - {name: Read, ansible.builtin.command: echo read, register: read}
"""
USE = """\
  - id: use
    hosts: web1
    tasks:
      - name: Tell
        ansible.builtin.shell: >-
          echo "{{ ansible_facts.fine | default('none') }} {{ ansible_facts.leak | default('none') }}
          {{ ansible_facts.deep | default('none') }} {{ passing | default('gone') }}
          {{ (read | default({})).stdout | default('gone') }}" >> {{ host_root }}/journal
      - {name: Act, ansible.builtin.raw: "sh {{ host_root }}/act use"}
"""


@pytest.fixture
def secretive(place: Place) -> Place:
    place.environ["FACT_SECRET"] = SECRET
    return place


def kept(place: Place) -> list[Path]:
    """Files in which facts lie."""
    return sorted((place.root / ".itmp" / "runs").glob("*/facts/*"))


@pytest.mark.long
def test_facts_reach_later_steps_and_a_resume_but_nothing_else_and_no_other_run(secretive: Place) -> None:
    place = secretive
    place.fail("web1", "use")
    change = place.ready(HEAD + GATHER + USE)
    place.run(change, expect=13)
    assert place.journal("web1")[0] == "kept none none gone gone"
    (file,) = kept(place)
    assert file.name.endswith("web1")
    found = [
        path for path in place.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert found == []
    (place.on("web1") / "fail-use").unlink()
    place.json("resume", change, "--retry", "failed", "--key", "alice")
    assert place.journal("web1")[-3:] == ["kept none none gone gone", "begin use", "end use"]
    assert kept(place) == []
    place.run(place.ready(HEAD + USE + USE.replace("id: use", "id: again")))
    assert place.journal("web1")[-3:] == ["none none none gone gone", "begin use", "end use"]
    assert place.sound()
