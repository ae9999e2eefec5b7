# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What site.yml left: in the API, and in every node's kernel."""

from __future__ import annotations

import pytest

from testbed.api import Api
from testbed.state import run_directory

testinfra_hosts = ["ansible://nodes"]
CALICO = "/apis/crd.projectcalico.org/v1"


@pytest.fixture(scope="module")
def api() -> Api:
    return Api(run_directory() / "kubeconfig")


def test_node_has_its_host_endpoint(host, api):
    name = host.check_output("hostname")
    hep = api.get(f"{CALICO}/hostendpoints/{name}-hostfence")
    assert hep["spec"]["node"] == name
    assert hep["spec"]["interfaceName"] == "*"
    addresses = host.interface("eth0").addresses
    assert set(hep["spec"]["expectedIPs"]) <= set(addresses)
    assert len(hep["spec"]["expectedIPs"]) == 2


def test_failsafes_are_in_the_kernel_before_policy(host):
    rules = host.check_output("iptables-nft-save -t filter").splitlines()
    chain = [r for r in rules if r.startswith("-A cali-fh-any-interface-at-all ")]
    jumps = [i for i, r in enumerate(chain) if r.endswith("-j cali-failsafe-in")]
    policy = [i for i, r in enumerate(chain) if "-j cali-p" in r]
    assert len(jumps) == 1
    assert all(jumps[0] < i for i in policy)
    assert any("--dports 22 " in r for r in rules if r.startswith("-A cali-failsafe-in "))


def test_only_host_endpoints_of_the_nodes_exist(api):
    names = {h["metadata"]["name"] for h in api.list(f"{CALICO}/hostendpoints")}
    assert names == {"node1-hostfence", "node2-hostfence", "node3-hostfence"}


def test_policies_are_staged_and_nothing_is_enforced(api):
    staged = api.list(f"{CALICO}/stagedglobalnetworkpolicies")
    assert staged
    assert all(p["spec"]["types"] for p in staged)
    assert api.list(f"{CALICO}/globalnetworkpolicies") == []
