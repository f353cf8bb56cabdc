"""What an approver sees of the shipped runbooks, and their digests, word for word.

Regenerate with `python tests/golden/test_golden_plans.py` and read the difference before committing it: a changed digest
means that every approval of such a plan is void.
"""

from pathlib import Path

import pytest

from itmp.plan import show, slices
from itmp.testing.runbooks import compile_runbook
from itmp.testing.sources import FakeSources
from itmp.testing.stacks import BothSources, FakeStackSources

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "plans"
NAMES = ("config-rollout", "install-web", "restart-web", "scale-and-configure")
"""One of each shape: rolling with undo, plain, delegates and always, hosts and stacks together."""


def shown(name: str) -> str:
    path = f"runbooks/operate/{name}.yml"
    hosts = {**{f"web{number}": ("web",) for number in range(1, 7)}, "lb1": ("lb",)}
    playbooks = {one.stem: one.read_bytes() for one in (ROOT / "playbooks").glob("*.yml")}
    fleet = FakeSources(hosts=hosts, playbooks=playbooks, delegates={"drain": ("lb1",), "undrain": ("lb1",)})
    world = BothSources(hosts=fleet, stacks=FakeStackSources(values={"web-asg": 4}))
    plan = compile_runbook((ROOT / path).read_bytes(), sources=world, path=path)
    lines = [
        f"{section.title}\n" + "".join(f"  {' | '.join(row)}\n" for row in section.rows)
        for section in show(plan)
    ]
    for phase in ("do", "undo"):
        work = slices(plan.manifest, phase)
        lines.append(
            f"Slices ({phase})\n"
            + "".join(f"  {s.id}@{batch} {' '.join(hosts)}\n" for s, batch, hosts in work)
        )
    rendered = [path for path in plan.manifest.artifacts if "/_itmp_" in path]
    lines += [f"{path}\n{plan.artifact(path).decode()}" for path in rendered]
    return "\n".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_runbooks_compile_to_what_was_reviewed(name: str):
    assert shown(name) == (GOLDEN / f"{name}.txt").read_text()


def test_no_golden_file_is_left_over():
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == list(NAMES)


if __name__ == "__main__":
    for one in NAMES:
        (GOLDEN / f"{one}.txt").write_text(shown(one))
