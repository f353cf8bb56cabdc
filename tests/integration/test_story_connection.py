"""A connection plugin of the project's own, from the plan through the gate to the run."""

import pytest
from places import Place

pytestmark = pytest.mark.fleet

PLUGIN = """\
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = '''
name: here
short_description: a connection of the project's own
options: {}
'''


class Connection(Local):
    transport = 'here'
"""
PLAY = "- {hosts: web1, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"
RUNBOOK = """\
itmp: runbook/v1
name: own
title: By a connection of our own
owner: team-web
environment: lab
risk: low
steps: [{id: ping, playbook: own}]
"""


def test_the_gate_admits_a_plan_that_carries_its_own_connection_plugin(place: Place) -> None:
    place.inventory(web1={"ansible_connection": "here"})
    plugin = place.write("playbooks/connection_plugins/here.py", PLUGIN)
    place.write("playbooks/own.yml", PLAY)
    change = place.ready(RUNBOOK)
    plugin.unlink()
    done = place.run(change)
    assert done["hosts"] == {"web1": "ok"}
    assert any("connection_plugins/here.py was edited" in note for note in done["notes"])
    assert place.untouched()
