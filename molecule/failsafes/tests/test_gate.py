# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is enforced only once every node's failsafes were seen, by whatever variables it is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from testbed.api import Api
from testbed.state import run_directory

sys.path.append(str(Path(__file__).parents[3] / "tests/integration"))
from role_run import ROOT, end_of, start_playbook

testinfra_hosts = ["ansible://node2"]
POLICIES = "/apis/crd.projectcalico.org/v1/globalnetworkpolicies"
# Recorded rules do not change with policy, so it is one that needs no further chain to be reached.
POLICY = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkPolicy",
    "metadata": {"name": "telnet"},
    "spec": {
        "order": 10,
        "selector": "host-endpoint == 'ingress'",
        "types": ["Ingress"],
        "ingress": [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [23]}}],
    },
}

# Of the HostEndpoints, from the test on that changes them.
LABELS = {"host-endpoint": "ingress", "proved": "yes"}


@pytest.fixture
def site(tmp_path):
    """Runs a playbook with variables as an inventory says them; returns its exit code and what it said."""

    (tmp_path / "telnet.json").write_text(json.dumps(POLICY))
    settings = {
        "policies_sets": [str(tmp_path / "telnet.json")],
        "policies_default_action": "Pass",
        "failsafes_retries": 1,
        # Recorded rules do not follow policy, so nobody could see a switch in a kernel.
        "policies_prove_programmed": False,
        "enforce_hosts_group": "none",
        "enforce_watchdogs": 0,
        "enforce_waves": ["all"],
    }

    def run(playbook, inventory="inventories/testbed", **variables):
        (tmp_path / "mine.yml").write_text(json.dumps({"all": {"vars": {**settings, **variables}}}))
        kubeconfig, mine = str(run_directory() / "kubeconfig"), str(tmp_path / "mine.yml")
        done = end_of(start_playbook(kubeconfig, ROOT / playbook, "-i", mine, inventory=inventory))
        return done.code, done.text

    return run


@pytest.fixture
def damaged(host):
    """SSH is not the first failsafe of node2 for as long as the test takes."""
    rules = host.check_output("iptables-nft-save")
    host.check_output("iptables-nft -D cali-failsafe-in 1")
    yield
    host.run(f"cat > /tmp/rules <<'EOF'\n{rules}\nEOF\niptables-nft-restore /tmp/rules && rm /tmp/rules")


def enforced():
    return [obj["metadata"]["name"] for obj in Api(run_directory() / "kubeconfig").list(POLICIES)]


@pytest.mark.parametrize("strict", [True, False])
def test_one_unverified_node_keeps_everything_from_being_enforced(site, damaged, strict):
    code, said = site("playbooks/enforce.yml", failsafes_strict=strict)
    assert code != 0, said
    assert "Nothing was enforced. The failsafes of these nodes were not verified: node2." in said
    assert enforced() == []


def test_the_inventory_may_say_that_it_is_enforced(site):
    code, said = site("site.yml", policies_state="enforced", policies_prove=False)
    assert code == 0, said
    assert len(enforced()) > 0
    assert "took new logins" not in said
    code, said = site("site.yml", policies_state="enforced")
    assert code == 0, said
    assert "changed=0" in said
    assert len(enforced()) > 0


def test_other_host_endpoints_are_proved_and_policy_stays(site):
    # The test before leaves it so.
    if not enforced():
        code, said = site("site.yml", policies_state="enforced")
        assert code == 0, said
    code, said = site("site.yml", policies_state="enforced", host_endpoints_labels=LABELS)
    assert code == 0, said
    assert "3 of 3 nodes took new logins" in said
    assert "Every node took a new login" in said
    assert len(enforced()) > 0


def test_the_group_of_the_nodes_is_the_inventorys(site):
    code, said = site("playbooks/verify.yml", hostfence_hosts="zone_b", host_endpoints_labels=LABELS)
    assert code == 0, said
    assert "the failsafes of 1 were verified" in said
    assert "node2 node2-hostfence hostfence verified" in said
    assert "node1 node1-hostfence hostfence not verified" in said


def test_the_inventory_may_name_hosts_otherwise_than_kubernetes_its_nodes(site, tmp_path):
    inventory = yaml.safe_load((run_directory() / "inventory.yml").read_text())
    group = inventory["all"]["children"]["nodes"]
    group["hosts"] = {
        f"{name}.example.org": {**given, "failsafes_node": name} for name, given in group["hosts"].items()
    }
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(yaml.safe_dump(inventory))
    for state in ("absent", "enforced"):
        code, said = site("playbooks/policies.yml", inventory=str(hosts), policies_state=state)
        assert code == 0, said
        assert bool(enforced()) == (state == "enforced")
        if state == "enforced":
            assert "settled" in said
            # What is enforced already is proved by logins.
            code, said = site("playbooks/policies.yml", inventory=str(hosts), policies_state=state)
        assert "3 of 3 nodes took new logins" in said
    code, said = site("playbooks/verify.yml", inventory=str(hosts), host_endpoints_labels=LABELS)
    assert code == 0, said
    assert "node2 node2-hostfence hostfence verified" in said
    assert "the failsafes of 3 were verified" in said
