"""A host without a pinned key: refused, then allowed by the people who sign the policy, planned and run."""

import pytest
import yaml
from places import Place, rolling

pytestmark = pytest.mark.fleet
UNCHECKED = {"ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"}


def test_a_host_without_a_pinned_key_is_reached_once_a_signed_policy_allows_it(place: Place) -> None:
    place.inventory(web1=UNCHECKED)
    own = place.fleet.host("web1").known_hosts
    known = place.root / "inventories/known_hosts"
    known.write_text(place.fleet.known_hosts.replace(own, ""))
    assert own.split()[0] not in known.read_text()
    place.write("runbooks/r.yml", rolling("one", hosts="web1"))

    def refused() -> None:
        told = place.itmp("plan", "runbooks/r.yml", "-o", "r.plan.tar")
        assert (told.rc, "changes how host keys are checked" in told.err) == (2, True), told
        assert "limits.unpinned_hosts: allow" in told.err
        assert not (place.root / "r.plan.tar").exists()

    refused()
    policy = yaml.safe_load((place.root / "policy.yml").read_text())
    place.write("next.yml", yaml.safe_dump({**policy, "limits": {"unpinned_hosts": "allow"}}))
    proposed = place.json("policy", "propose", "next.yml", "--key", "alice")
    assert proposed["in_force"] is False
    refused()  # one of two has signed
    assert place.json("policy", "sign", proposed["policy"], "--key", "bob")["in_force"] is True
    place.itmp("plan", "runbooks/r.yml", "-o", "r.plan.tar", expect=0)
    assert "web1 its host key is not checked" in " ".join(
        place.itmp("show", "r.plan.tar", expect=0).out.split()
    )
    change = place.json("change", "open", "r.plan.tar", "--reason", "new host", "--key", "alice")["change"]
    place.approve(change, key="carol")
    assert place.untouched()
    assert place.run(change)["hosts"] == {"web1": "changed"}
    assert place.journals() == {"web1": ["begin one", "end one"], "web2": [], "web3": []}
    assert place.sound()
