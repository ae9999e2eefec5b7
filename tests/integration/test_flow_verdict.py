# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules flow_verdict and policy_lint, on a live cluster, on files and on given objects."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from module_run import run_module

FLOW = {
    "node": "sim-0001",
    "direction": "ingress",
    "interface": "eth0",
    "protocol": "TCP",
    "source": "192.0.2.9",
    "source_port": 40000,
    "destination": "10.0.0.1",
    "destination_port": 8080,
}
POLICY = {
    "selector": "host-endpoint == 'ingress'",
    "order": 5,
    "types": ["Ingress"],
    "ingress": [
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"nets": ["192.0.2.0/24"]},
            "destination": {"ports": [80]},
        }
    ],
}
NO_CLUSTER = SimpleNamespace(kubeconfig="/nonexistent")


def protected(api):
    api.add_nodes(1)
    run_module("host_endpoints", api)


def test_the_live_cluster_is_judged(clean_api):
    protected(clean_api)
    before = run_module("flow_verdict", clean_api, flows=[FLOW])
    assert before["verdicts"][0]["reason_code"] == "profile-allow"
    clean_api.create("GlobalNetworkPolicy", "closed", POLICY)
    after = run_module("flow_verdict", clean_api, flows=[FLOW, {**FLOW, "destination_port": 80}])
    assert [verdict["reason_code"] for verdict in after["verdicts"]] == ["end-of-tier", "policy-allow"]
    assert after["counts"] == {"allow": 1, "deny": 1, "undetermined": 0}
    assert not after["changed"]


def test_a_staged_policy_is_compared(clean_api):
    if "StagedGlobalNetworkPolicy" not in clean_api.kinds:
        pytest.skip(f"CRDs {clean_api.flavour} have no staged policy")
    protected(clean_api)
    clean_api.create("StagedGlobalNetworkPolicy", "closed", POLICY)
    (verdict,) = run_module("flow_verdict", clean_api, flows=[FLOW], staged="compare")["verdicts"]
    assert (verdict["verdict"], verdict["staged"]["verdict"]) == ("allow", "deny")


def test_the_live_cluster_is_linted(clean_api):
    protected(clean_api)
    quiet = run_module("policy_lint", clean_api)
    assert quiet["counts"]["error"] == 0
    clean_api.create("GlobalNetworkPolicy", "closed", {**POLICY, "ingress": [{"action": "Deny"}]})
    found = run_module("policy_lint", clean_api)
    assert {"deny-covers-loopback"} <= {finding["id"] for finding in found["findings"]}
    failed = run_module("policy_lint", clean_api, fail_on="error")
    assert failed["failed"]
    assert "GlobalNetworkPolicy closed" in failed["msg"]


def objects():
    hep = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": "h", "labels": {"host-endpoint": "ingress"}},
        "spec": {"node": "sim-0001", "interfaceName": "*", "profiles": ["projectcalico-default-allow"]},
    }
    policy = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "p"}}
    return [hep, {**policy, "spec": POLICY}]


def test_given_objects_need_no_cluster():
    result = run_module("flow_verdict", NO_CLUSTER, resources=objects(), flows=[FLOW])
    assert result["verdicts"][0]["decided_by"]["name"] == "default"
    assert result["origin"] == "resources"


def test_files_need_no_cluster(tmp_path):
    lines = ["apiVersion: projectcalico.org/v3", "kind: GlobalNetworkPolicy", "metadata: {name: p}", "spec:"]
    rule = "{action: Allow, protocol: TCP, destination: {ports: [20:22, 70000]}}"
    (tmp_path / "p.yaml").write_text("\n".join([*lines, "  selector: has(x)", f"  ingress: [{rule}]"]))
    result = run_module("policy_lint", NO_CLUSTER, src=str(tmp_path))
    ports = [finding for finding in result["findings"] if finding["id"] == "invalid-port"]
    assert [finding["field"] for finding in ports] == ["spec.ingress[0].destination.ports[1]"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"flows": [{**FLOW, "destination_port": 70000}]}, "flows[0].destination_port: 70000"),
        ({"flows": [{**FLOW, "node": "x"}]}, "flows[0].node: 'x': no such node"),
        (
            {"flows": [{**FLOW, "direction": "up"}]},
            "direction must be one of: ingress, egress, forward",
        ),
        ({"flows": [{**FLOW, "port": 1}]}, "flows.port"),
        ({"flows": [FLOW], "nodes": [{}]}, "nodes[0].name"),
        ({"flows": [FLOW], "resources": [{"kind": "Tier"}]}, "resources[0].metadata.name"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(options, says):
    result = run_module("flow_verdict", NO_CLUSTER, **{"resources": objects(), **options})
    assert result["failed"]
    assert says in result["msg"]
    assert "\n" not in result["msg"]
    assert "Traceback" not in result["msg"]


def test_without_a_cluster_and_without_objects_it_says_so():
    result = run_module("flow_verdict", NO_CLUSTER, flows=[FLOW])
    assert result["failed"]
    assert "kubeconfig" in result["msg"]
