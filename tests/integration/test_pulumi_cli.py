"""A capacity adjustment from document to evidence with the real `itmp`, engine, provider and cloud double."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from itmp.lab.fleet import make_key
from itmp.testing.cloud import Cloud

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("pulumi")]

ROOT = Path(__file__).parents[2]
POLICY = """itmp: policy/v1
signers:
  - {{id: me@example.com, kind: human, roles: [sre, approver, owner], keys: [{{key: "{key}"}}]}}
roles:
  sre: [open, run, resume, undo, stop, reconcile, cancel, close, review, preview]
  approver: [approve, reject, revoke]
  owner: [enrol, policy, approve-model, rotate, redact, recover]
environments:
  - {{name: lab, rank: 0, match: ["resource:*::itmp:aws:*"]}}
  - {{name: production, rank: 10, match: []}}
quorum:
  - {{environment: lab, risk: low, roles: [], count: 0}}
  - {{environment: production, risk: [low, moderate, high], roles: [approver], count: 1}}
amend: {{roles: [owner], count: 1}}
limits: {{approval: 14d, permit: 24h}}
"""
DOCUMENT = """itmp: capacity-adjustment/v1
name: wide
title: Widen
owner: team
environment: lab
risk: low
adjust:
  - {id: web, knob: autoscaling-group, name: web-asg, to: 8}
"""


class Workspace:
    """A folder in which `itmp` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key = make_key(folder / "key", "me@example.com")
        (folder / "policy.yml").write_text(POLICY.format(key=" ".join(key.split()[:2])))
        (folder / "wide.yml").write_text(DOCUMENT)
        (folder / "stacks").symlink_to(ROOT / "stacks")
        self.itmp(
            "init", "--organization", "example.com", "--signer", "me@example.com", "--policy", "policy.yml"
        )

    def itmp(self, *words: str, expect: int = 0) -> Any:
        signed = [] if words[0] in {"plan", "show"} else ["--key", "key"]
        program = Path(sys.executable).with_name("itmp")
        done = subprocess.run(
            [program, *words, *signed, "--json"], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout)


def test_from_document_to_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Cloud() as cloud:
        cloud.group("web-asg", desired=4, floor=1, ceiling=10)
        for name, value in cloud.environ.items():
            monkeypatch.setenv(name, value)
        place = Workspace(tmp_path)
        place.itmp("plan", "wide.yml", "-o", "wide.plan.tar", "--preview")
        change = place.itmp("change", "open", "wide.plan.tar", "--reason", "sale")["change"]

        seen = place.itmp("show", change)["preview"]
        assert (seen["world"]["present"], seen["moved"], seen["stale"]) == (
            {"aws:autoscaling:Group web-asg desired": 4}, [], [],
        )  # fmt: skip

        cloud.set_desired("web-asg", 6)
        seen = place.itmp("show", change)["preview"]
        assert seen["moved"] == ["aws:autoscaling:Group web-asg desired is 6, was 4"]
        assert seen["stale"] == ["aws:autoscaling:Group web-asg: desired is 6, the plan rests on 4"]
        refused = place.itmp("run", change, expect=12)
        assert [check["n"] for check in refused["checks"] if check["outcome"] == "refused"] == [6]
        assert cloud.desired("web-asg") == 6

        cloud.set_desired("web-asg", 4)
        place.itmp("run", change)
        assert cloud.desired("web-asg") == 8
        place.itmp("undo", change, expect=0)
        assert cloud.desired("web-asg") == 4
