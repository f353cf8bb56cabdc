"""rsync under the plan's host keys: `synchronize`, which by itself looks at none."""

import pytest
from places import Place
from sidebyside import Expect, bring, run_bare

pytestmark = [pytest.mark.fleet, pytest.mark.foreign]
SITE = """\
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Push, ansible.posix.synchronize: {src: sent, dest: "{{ host_root }}/sent"}}
"""
EXPECT = Expect(feature="rsync", collections=["ansible/posix"], hosts={"web1": {}})


def test_rsync_sends_nothing_to_a_host_with_another_key_and_bare_does(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tmp_path_factory.mktemp("tree")
    (tree / "files").mkdir()
    (tree / "files" / "sent").write_text("for web1 alone\n")
    (tree / "site.yml").write_text(SITE)
    bare = bring(place, tree, EXPECT)
    pinned = place.root / "inventories" / "known_hosts"
    place_of_web1 = place.fleet.host("web1").known_hosts.split()[0]
    pinned.write_text(f"{place_of_web1} {place.fleet.host('lb1').key}\n")
    sent = place.on("web1") / "sent"
    run_bare(place, bare, EXPECT)
    assert sent.read_text() == "for web1 alone\n"  # the module's default
    sent.unlink()
    change = place.ready(EXPECT.runbook(place))
    result = place.run(change, expect=13)
    assert result["hosts"] == {"web1": "failed"}
    assert not sent.exists()
    shown = place.json("logs", change)["entries"]
    assert any("REMOTE HOST IDENTIFICATION HAS" in row["what"] for row in shown), shown
