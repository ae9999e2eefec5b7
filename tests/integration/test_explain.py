# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""explain.yml, as somebody on call runs it: the live cluster in, a few readable lines out."""

from __future__ import annotations

import pytest
from module_run import run_module
from role_run import run_playbook

pytestmark = pytest.mark.one_flavour

FLOW = {
    "node": "sim-0001",
    "direction": "ingress",
    "interface": "eth0",
    "protocol": "TCP",
    "source": "192.0.2.9",
    "destination": "100.64.0.1",
}
POLICY = {
    "selector": "host-endpoint == 'ingress'",
    "order": 5,
    "types": ["Ingress"],
    "ingress": [
        {"action": "Deny", "protocol": "TCP", "destination": {"ports": [10250]}},
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}},
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"services": {"name": "s", "namespace": "d"}},
        },
    ],
}


@pytest.fixture(scope="module")
def cluster(api):
    api.reset()
    api.add_nodes(1)
    assert not run_module("host_endpoints", api)["failed"]
    api.create("GlobalNetworkPolicy", "edge", POLICY)
    api.create("StagedGlobalNetworkPolicy", "edge", {**POLICY, "ingress": [{"action": "Allow"}]})
    return api


@pytest.mark.parametrize(
    ("port", "lines"),
    [
        (
            10250,
            [
                "TCP 192.0.2.9 -> 100.64.0.1:10250, ingress at sim-0001",
                "verdict: deny (policy-deny)",
                "filter INPUT: normal ingress policy of host endpoint sim-0001-hostfence",
                "tier default: GlobalNetworkPolicy edge ingress rule 0 denies",
                "with staged policies enforced: allow (policy-allow)",
            ],
        ),
        (443, ["verdict: allow (policy-allow)", "GlobalNetworkPolicy edge ingress rule 1 allows"]),
        (22, ["verdict: allow (failsafe)", "failsafe tcp/22"]),
        (
            8080,
            [
                "verdict: undetermined (unknown-match)",
                "assuming: GlobalNetworkPolicy edge ingress[2] matches",
            ],
        ),
    ],
)
def test_an_answer_reads_from_top_to_bottom(cluster, port, lines):
    done = run_playbook(
        cluster.kubeconfig, "playbooks/explain.yml", explain_flow={**FLOW, "destination_port": port}
    )
    assert (done.code, done.changed) == (0, 0), done.output
    for line in lines:
        assert line in done.text
    assert "no variable of Hostfence" not in done.text


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        ("sim-0001", 'explain_flow: "sim-0001": must be a mapping with node, direction, protocol'),
        ({**FLOW, "source": "10.0.0.300"}, "flows[0].source: '10.0.0.300': an IPv4 or IPv6 address"),
        ({**FLOW, "node": "sim-0009"}, "flows[0].node: 'sim-0009': no such node; known are sim-0001"),
    ],
)
def test_a_packet_that_cannot_be_read_is_one_line(cluster, flow, says):
    done = run_playbook(cluster.kubeconfig, "playbooks/explain.yml", explain_flow=flow)
    assert done.code != 0
    assert says in done.text
    assert "Traceback" not in done.output
