"""A step whose time is up: what was running is ended, and nobody knows what became of its host."""

import pytest
from places import Place

pytestmark = pytest.mark.fleet

BOOK = """\
itmp: runbook/v1
name: slow
title: Slow
owner: team-web
environment: production
risk: moderate
steps:
  - id: slow
    hosts: web1:web2
    timeout: 12s
    tasks:
      - {name: Slow, ansible.builtin.raw: "sh {{ host_root }}/act slow"}
  - id: after
    hosts: web1:web2
    tasks:
      - {name: After, ansible.builtin.raw: "sh {{ host_root }}/act after"}
"""


def test_a_step_whose_time_is_up_leaves_its_host_unknown(place: Place) -> None:
    place.hold("web1", "slow")
    change = place.ready(BOOK)
    ended = place.run(change, expect=14)
    assert ended["hosts"] == {"web1": "unknown", "web2": "unknown"}
    assert place.journal("web1") == ["begin slow"]
    assert place.journal("web2") == ["begin slow", "end slow"]
