"""A variable that is named like a secret and is none: what its document calls public can be planned, approved and run."""

import pytest
from places import Place

pytestmark = pytest.mark.fleet

RUNBOOK = """\
itmp: runbook/v1
name: public
title: Public
owner: team-web
environment: production
risk: moderate
public_vars: [door_token]
steps:
  - {id: act, playbook: act}
"""
PLAY = """\
- hosts: web1
  gather_facts: false
  tasks: [{name: Act, ansible.builtin.raw: "sh {{ host_root }}/act {{ door_token }}"}]
"""


def test_a_change_whose_variables_are_public_is_admitted_and_run(place: Place) -> None:
    place.write("playbooks/group_vars/all.yml", "door_token: open\n")
    place.write("playbooks/act.yml", PLAY)
    change = place.ready(RUNBOOK)
    place.run(change)
    assert place.journal("web1") == ["begin open", "end open"]
