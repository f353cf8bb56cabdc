"""Foreign projects that install, enrol, start and remove: on whole hosts they leave under itmp what they leave bare.

Each project is a folder of `whole_hosts/`, as those of `projects/`; `touches` in its `expect.yml` names everything but
files that it changes on fresh hosts, so that none is equal because it did nothing. They run with
`make test-foreign`; by default, only what the comparison sees is held.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import packages_of_debian
import pytest
from sidebyside import Expect, bring, differences, run_bare, run_itmp
from whole_hosts import GROUPS, HOSTS, PROJECTS, WholeHosts, look, unsalted, without_files

from itmp.lab import namespaces

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]
SAMPLE = set[str]()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[namespaces.NamespaceFleet]:
    folder = tmp_path_factory.mktemp("whole") / "fleet"
    with namespaces.up(folder, len(HOSTS), names=HOSTS, groups=GROUPS) as fleet:
        fleet.release_update()
        packages_of_debian.publish(fleet.folder / "repo")
        yield fleet


@pytest.fixture
def ground(tmp_path: Path, fleet: namespaces.NamespaceFleet) -> Iterator[WholeHosts]:
    place = WholeHosts.found(tmp_path / "w", fleet)  # type: ignore[arg-type]  # it has all that a place asks of a fleet
    assert isinstance(place, WholeHosts)
    place.renew()
    try:
        yield place
    finally:
        place.leave()


def named(name: str) -> object:
    return pytest.param(name, marks=[] if name in SAMPLE else [pytest.mark.foreign])


@pytest.mark.parametrize("name", [named(path.name) for path in sorted(PROJECTS.iterdir())])
def test_a_foreign_project_leaves_whole_hosts_as_bare_ansible_leaves_them(
    ground: WholeHosts, name: str
) -> None:
    expect = Expect.read(PROJECTS / name)
    folder = bring(ground, PROJECTS / name / "tree", expect)
    fresh = look(ground)
    bare = unsalted(run_bare(ground, folder, expect, look), expect.salted)
    ground.renew()
    ours = unsalted(run_itmp(ground, expect, look), expect.salted)
    assert bare["ends"] == expect.ends
    assert [name for name in bare if "…" in name] == expect.leaves
    touched = differences(without_files(fresh), without_files(bare))
    assert sorted(touched) == sorted(expect.touches), touched
    found = differences(bare, ours)
    assert found == expect.explained, found
    assert ground.sound()


HARMS = {
    "apt-get -qq update && apt-get -qq -y install itmp-lib=2.0": ["package itmp-lib"],
    "dpkg --force-depends --purge media-types": ["package media-types"],
    "apt-mark hold itmp-demo": ["package itmp-demo"],
    "apt-mark auto procps": ["package procps"],
    "usermod --shell /bin/sh games": ["user games"],
    "useradd eve": ["user eve", "group eve", "password eve", "group password eve"],
    "gpasswd --add games audio": ["group audio", "group password audio"],
    "chage --expiredate 1 root": ["password root"],
    "pkill -x syslogd": ["process 0 /usr/sbin/syslogd"],
    "update-rc.d procps disable": ["service procps"],
    "setsid sleep 4242 </dev/null >/dev/null 2>&1 &": ["process 0 sleep 4242"],
    "setsid python3 -m http.server 8642 </dev/null >/dev/null 2>&1 &": ["process 0 python3 -m"],
    f"until grep -q :{8642:X} /proc/net/tcp; do sleep 0.1; done": ["port tcp"],
    "chmod 4755 /bin/cat": ["file /usr/bin/cat"],
    "chown games /etc/motd; echo 1 >>/etc/motd": ["file /etc/motd"],
    "mkdir -p /etc/cron.d && echo '* * * * * root true' >/etc/cron.d/more": ["file /etc/cron.d/more"],
    "ln -sf /dev/null /etc/localtime": ["file /etc/localtime"],
    "rm /etc/issue": ["file /etc/issue"],
}
"""What is done to a host, and how the names of what is then not equal begin."""


def test_nothing_differs_on_fresh_hosts_and_whatever_is_done_to_one_is_seen(ground: WholeHosts) -> None:
    fresh = look(ground)
    ground.renew()
    assert differences(fresh, look(ground)) == {}
    ground.shell("web1", "set -e\n" + "\n".join(HARMS))
    found = differences(fresh, look(ground))
    names = [f"web1 {name}" for names in HARMS.values() for name in names]
    assert [name for name in names if not any(key.startswith(name) for key in found)] == []
    told = without_files({key: values for key, (*values,) in found.items()})
    assert [key for key in told if not any(key.startswith(name) for name in names)] == []
