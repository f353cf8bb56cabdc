"""Where the policy demands a synchronised clock, evidence says for each permit that there was one."""

import yaml

from itmp.evidence import Report, Trust, verify
from itmp.testing.story import Story


def demanding() -> Story:
    tree = yaml.safe_load(Story().policy_bytes)
    limits = {**tree.get("limits", {}), "unsynchronised_clock": "refuse"}
    return Story(policy=yaml.safe_dump({**tree, "limits": limits}).encode())


def judged(story: Story) -> Report:
    return verify(story.evidence(), Trust.from_files(story.trust()))


def test_a_permit_that_names_its_clock_holds() -> None:
    report = judged(demanding().tell())
    assert report.exit_code == 0, report.broken


def test_a_permit_that_names_none_is_not_what_the_gate_grants() -> None:
    story = demanding()
    story.open()
    story.act("approve", "bob")
    story.force()
    report = judged(story)
    assert report.broken
    assert (report.exit_code, report.broken.n) == (40, 10)
    assert "synchronised clock" in report.broken.why


def test_without_the_demand_nothing_need_be_said() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    story.force()
    assert judged(story).exit_code == 41
