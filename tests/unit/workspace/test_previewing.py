"""What a preview says beforehand of a plan that asks, waits and branches."""

from itmp.testing.small_plans import ansible, ask, hosts, plan, wait
from itmp.workspace import previewing

TWO = hosts(2)


def test_what_check_mode_does_not_tell_is_told_beforehand() -> None:
    made = plan(
        [ask("confirm"), wait("soak", seconds=60), ansible("rest", TWO)],
        guards={"rest": "steps.confirm.answer"},
    )
    assert list(previewing._beforehand(made)) == [
        "confirm: asks during the run; a preview does not",
        "soak: waits during the run; a preview does not",
        "rest: only where steps.confirm.answer",
    ]
