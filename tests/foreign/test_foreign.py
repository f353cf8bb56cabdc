"""Foreign projects, unchanged: what bare `ansible-playbook` does on a host, itmp does; every difference is explained.

Each project is a folder of `projects/`: `tree` knows nothing of itmp, `expect.yml` says what is declared and what
differs. Three of them run by default; all of them with `make test-foreign`.
"""

import pytest
from places import Place
from sidebyside import PROJECTS, Expect, bring, differences, renew, run_bare, run_itmp

pytestmark = [pytest.mark.fleet]
SAMPLE = {"handlers", "serial_abort"}


def named(name: str) -> object:
    return pytest.param(name, marks=[] if name in SAMPLE else [pytest.mark.foreign])


@pytest.mark.parametrize("name", [named(path.name) for path in sorted(PROJECTS.iterdir())])
def test_a_foreign_project_does_under_itmp_what_it_does_bare(place: Place, name: str) -> None:
    expect = Expect.read(PROJECTS / name)
    folder = bring(place, PROJECTS / name / "tree", expect)
    if expect.refused:
        refuse(place, expect)
        return
    for host in expect.down:
        place.fleet.stop_host(host)
    try:
        passed = [_passed(place, expect)]
        bare = run_bare(place, folder, expect)
        passed.append(_passed(place, expect))
        renew(place, name)
        ours = run_itmp(place, expect)
        passed.append(_passed(place, expect))
    finally:
        for host in expect.down:
            place.fleet.start_host(host)
    assert bare["ends"] == expect.ends
    assert (passed[0] < passed[1] < passed[2]) == bool(expect.through), passed
    found = differences(bare, ours)
    assert found == expect.explained, found
    assert place.sound()


def _passed(place: Place, expect: Expect) -> int:
    """How many connections the host has seen that leads to the others."""
    return place.fleet.connections(expect.through) if expect.through else 0


def refuse(place: Place, expect: Expect) -> None:
    """The project is refused while it is planned, and the words say what to do."""
    place.write("runbooks/r.yml", expect.runbook(place))
    done = place.itmp("plan", "runbooks/r.yml", "-o", "r.plan.tar", expect=2)
    assert [words for words in expect.refused if words not in done.err] == [], done.err
