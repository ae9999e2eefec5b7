# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate before policy is enforced knows the data plane of the nodes."""

from __future__ import annotations

import pytest
from builders import policy
from module_run import run_module
from test_policies import versions

pytestmark = pytest.mark.one_flavour


def coded():
    definition = policy("ping", "Allow", 10)
    definition["spec"]["ingress"] = [{"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8, "code": 0}}]
    return definition


def enforce(api, **options):
    given = {"definitions": [coded()], "default_action": "Pass", "settle": 0, "reach": False}
    return run_module("policies", api, name="ping", state="enforced", **{**given, **options})


@pytest.mark.parametrize("where", ["default", "node.sim-0002"])
def test_a_policy_that_stops_felix_on_nftables_is_not_enforced(clean_api, where):
    clean_api.add_nodes(2)
    assert not run_module("host_endpoints", clean_api)["failed"]
    if where == "default":
        clean_api.admin.patch(
            clean_api.path("FelixConfiguration", "default"), {"spec": {"nftablesMode": "Enabled"}}
        )
    else:
        clean_api.create("FelixConfiguration", where, {"nftablesMode": "Enabled"})
    before = versions(clean_api)
    refused = enforce(clean_api)
    assert refused["failed"]
    assert "icmp-code" in refused["msg"]
    assert "icmp.code" in refused["msg"]
    assert versions(clean_api) == before


def test_on_iptables_it_is_only_worth_knowing(clean_api):
    clean_api.add_nodes(1)
    assert not run_module("host_endpoints", clean_api)["failed"]
    done = enforce(clean_api)
    assert not done["failed"], done["msg"]
    assert [f["severity"] for f in done["findings"] if f["id"] == "icmp-code"] == ["info"]


def test_a_nodes_own_configuration_is_judged_for_that_node(clean_api):
    clean_api.add_nodes(2)
    clean_api.create("FelixConfiguration", "node.sim-0001", {"bpfEnabled": True})
    flows = [
        {"node": name, "direction": "ingress", "protocol": "TCP", "source": "192.0.2.1"}
        | {"destination": "100.64.0.1", "destination_port": 80}
        for name in ("sim-0001", "sim-0002")
    ]
    judged = run_module("flow_verdict", clean_api, flows=flows)
    assert not judged["failed"], judged.get("msg")
    assert judged["dataplane"] == "ebpf, iptables"
