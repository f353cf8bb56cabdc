"""A host for which a play ends because of another has not got through, whatever its own results say."""

import pytest

from itmp.adapters.ansible import AnsibleRunner
from itmp.testing.rig import Rig

pytestmark = pytest.mark.fleet

HEAD = "- hosts: web\n  gather_facts: false\n"
BEGIN = "    - {name: Begin, ansible.builtin.command: 'true'}\n"
FAIL = "    - {name: Fail, ansible.builtin.command: 'false', when: inventory_hostname == 'web1'}\n"
NEVER = '    - {name: Never, ansible.builtin.command: "touch {{ host_root }}/never"}\n'
RESCUED = """\
    - name: Try
      block:
        - {name: Fail, ansible.builtin.command: 'false', when: inventory_hostname == 'web1'}
      rescue:
        - {name: Mend, ansible.builtin.command: 'true'}
"""
ENDS = "    - {ansible.builtin.meta: end_play}\n"
ALL = HEAD.replace("web", "all")


@pytest.mark.parametrize(
    ("play", "ends"),
    [
        (f"{HEAD}  tasks:\n{BEGIN}{FAIL}{NEVER}", {"web1": "failed", "web2": "changed"}),
        (
            f"{HEAD}  tasks:\n{BEGIN}    - {{name: Once, ansible.builtin.command: 'false', run_once: true}}\n{NEVER}",
            {"web1": "failed", "web2": "failed"},
        ),
        (
            f"{HEAD}  any_errors_fatal: true\n  tasks:\n{BEGIN}{FAIL}{NEVER}",
            {"web1": "failed", "web2": "failed"},
        ),
        (
            f"{HEAD}  max_fail_percentage: 0\n  tasks:\n{BEGIN}{FAIL}{NEVER}",
            {"web1": "failed", "web2": "failed"},
        ),
        (
            f"{HEAD}  any_errors_fatal: true\n  tasks:\n{BEGIN}{RESCUED}",
            {"web1": "changed", "web2": "changed"},
        ),
        (
            f"{HEAD}  tasks:\n{BEGIN}{HEAD}  serial: 1\n  tasks:\n{FAIL}{NEVER}",
            {"web1": "failed", "web2": "failed"},
        ),
        (f"{HEAD}  serial: 1\n  tasks:\n{FAIL}{NEVER}", {"web1": "failed", "web2": "not_reached"}),
        (f"{HEAD}  tasks:\n{BEGIN}{ENDS}{NEVER}", {"web1": "changed", "web2": "changed"}),
        (
            f"{ALL}  tasks:\n{BEGIN}{FAIL}{ALL}  serial: 1\n  tasks:\n{ENDS}{NEVER}",
            {"web1": "failed", "web2": "changed", "lb1": "changed"},
        ),
    ],
    ids=[
        "own",
        "once",
        "any",
        "share",
        "rescued",
        "later play",
        "later batch",
        "meant",
        "meant beside a failure",
    ],
)
def test_who_was_broken_off_has_failed_and_runs_again(world, play, ends) -> None:
    world.write("playbooks/play.yml", f"---\n{play}")
    rig = Rig(world.plan(), runner=lambda *_: AnsibleRunner())
    rig.folder = world.root / ".run"
    summary = rig.execute()
    assert dict(summary.hosts) == ends
    done = [e for e in rig.journal.events if e.type == "action.finished" and e.target["id"] == "web2"]
    told = [e.data["message"] for e in done if "broken off" in e.data["message"]]
    assert len(told) == (ends["web2"] == "failed")
