# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What mode auto left: in the API, and in every node's kernel."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import effective_labels

from testbed.api import Api
from testbed.state import run_directory

testinfra_hosts = ["ansible://nodes"]
CALICO = "/apis/crd.projectcalico.org/v1"


@pytest.fixture(scope="module")
def api() -> Api:
    return Api(run_directory() / "kubeconfig")


def test_kube_controllers_made_the_nodes_host_endpoint(host, api):
    name = host.check_output("hostname")
    hep = api.get(f"{CALICO}/hostendpoints/{name}-auto-hep")
    labels = effective_labels(hep)
    assert labels["projectcalico.org/created-by"] == "calico-kube-controllers"
    assert labels["host-endpoint"] == "ingress"
    assert hep["spec"]["profiles"] == ["projectcalico-default-allow"]


def test_no_other_host_endpoint_exists(api):
    names = {h["metadata"]["name"] for h in api.list(f"{CALICO}/hostendpoints")}
    assert names == {"node1-auto-hep", "node2-auto-hep", "node3-auto-hep"}


def test_it_is_on_record_that_hostfence_enabled_them(api):
    stored = api.get(f"{CALICO}/kubecontrollersconfigurations/default")
    assert stored["metadata"]["annotations"]["hostfence.io/auto-host-endpoints"] == "enabled"


def test_failsafes_are_in_the_kernel(host):
    rules = host.check_output("iptables-nft-save -t filter").splitlines()
    assert "-A cali-fh-any-interface-at-all" in " ".join(rules)
    assert any("--dports 22 " in r for r in rules if r.startswith("-A cali-failsafe-in "))
