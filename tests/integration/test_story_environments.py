"""A runbook names its execution environment: proposed, shown, approved and run in it; without its engine nothing starts."""

import os
from collections.abc import Iterator
from pathlib import Path

import environments
import pytest
from places import BIN, Place

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.fleet,
    pytest.mark.xdist_group("podman"),
    pytest.mark.skipif(bool(environments.why_not()), reason=environments.why_not()),
]
DOCUMENT = """\
itmp: runbook/v1
name: inside
title: Inside an image
owner: team-web
environment: production
risk: moderate
execution_environment: {{image: "{image}"}}
steps:
  - id: gather
    hosts: web
    gather_facts: true
    tasks:
      - name: Hello
        lab.demo.hello:
        delegate_to: localhost
        connection: local
  - id: use
    hosts: web
    tasks:
      - name: Tell
        ansible.builtin.shell: echo "{{{{ ansible_facts.system }}}} {{{{ hostvars['web2'].ansible_facts.system }}}}" >> "{{{{ host_root }}}}/journal"
"""


@pytest.fixture
def contained(place: Place) -> Iterator[Place]:
    before = dict(os.environ)
    os.environ.update(environments.settings())
    place.environ |= environments.settings()
    yield place
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.long
def test_a_runbook_names_its_image_and_runs_in_it(contained: Place, tmp_path: Path) -> None:
    image = environments.image()
    change = contained.ready(DOCUMENT.format(image=image))
    shown = contained.itmp("show", change, expect=0).out
    assert f"Ansible runs in the container image {image}" in shown.replace("\n", " ") or image in shown
    without = tmp_path / "bin"
    without.mkdir()
    for name in ("ssh", "scp", "sftp", "ssh-keygen", "sh"):
        (without / name).symlink_to(f"/usr/bin/{name}")
    refused = contained.itmp("run", change, "--key", "alice", PATH=f"{BIN}:{without}")
    assert refused.rc == 17
    assert f"podman pull {image}" in refused.err
    assert contained.untouched()
    assert "statement.recorded" not in contained.types(change)[-1:]
    contained.run(change)
    (permit,) = [leaf.event for leaf in contained.leaves(change) if leaf.event.type == "permit.issued"]
    assert permit.data["permit"]["binaries"]["container"].startswith("podman ")
    assert contained.journal("web1") == ["Linux Linux"]
    assert environments.containers(f"{permit.run}-1") == []
    assert contained.sound()
