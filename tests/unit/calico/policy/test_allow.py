# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports that are to be reachable, as policies."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import presets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.allow import policies
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PlatformNetworks,
    Shape,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import judge_objects

from tests.unit import builders
from tests.unit.builders import V3

SELECTOR = "host-endpoint == 'ingress'"
METRICS = {"name": "metrics", "ports": [9100], "sources": ["192.0.2.0/24"]}


def made(**changes):
    return policies([{**METRICS, **changes}], SELECTOR, "policies_allow")[0]


def test_one_rule_for_each_ip_version():
    spec = made(ports=[9100, "30000:30010"], sources=["192.0.2.0/24", "2001:db8::/32"])["spec"]
    assert [
        (r["action"], r["protocol"], r["source"], r["destination"]["ports"]) for r in spec["ingress"]
    ] == [
        ("Allow", "TCP", {"nets": ["192.0.2.0/24"]}, [9100, "30000:30010"]),
        ("Allow", "TCP", {"nets": ["2001:db8::/32"]}, [9100, "30000:30010"]),
    ]
    assert (spec["preDNAT"], spec["applyOnForward"], spec["types"]) == (True, True, ["Ingress"])
    assert spec["selector"] == SELECTOR


def test_nodes_by_name_and_by_selector():
    assert made(nodes=["a", "b"])["spec"]["selector"] == (
        f"({SELECTOR}) && (kubernetes.io/hostname in {{'a', 'b'}})"
    )
    assert (
        made(nodes="has(storage) || zone == 'a'")["spec"]["selector"]
        == f"({SELECTOR}) && (has(storage) || zone == 'a')"
    )


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"sources": ["192.0.2.7"]}, "policies_allow[0].sources[0]", "write 192.0.2.7/32"),
        ({"sources": ["192.0.2.7/24"]}, "policies_allow[0].sources[0]", "host bits are set"),
        ({"sources": []}, "policies_allow[0].sources", "for anybody [0.0.0.0/0"),
        ({"sources": "192.0.2.0/24"}, "policies_allow[0].sources", "must be a list of networks"),
        ({"ports": []}, "policies_allow[0].ports", "must be a list"),
        ({"ports": 9100}, "policies_allow[0].ports", "must be a list"),
        ({"ports": [70000]}, "policies_allow[0].ports", "a number from 1 to 65535"),
        ({"ports": ["9:5"]}, "policies_allow[0].ports", "write 5:9"),
        ({"protocol": "tcp"}, "policies_allow[0].protocol", "must be one of TCP, UDP, SCTP"),
        ({"protocol": "ICMP"}, "policies_allow[0].protocol", "must be one of TCP, UDP, SCTP"),
        ({"name": "Node Exporter"}, "policies_allow[0].name", "lower-case letters"),
        ({"name": None}, "policies_allow[0].name", "lower-case letters"),
        ({"nodes": []}, "policies_allow[0].nodes", "list of nodes' names"),
        ({"nodes": "a ="}, "policies_allow[0].nodes", "selector of HostEndpoints"),
        ({"nodes": ["a'b"]}, "policies_allow[0].nodes", "list of nodes' names"),
        ({"port": 9100}, "policies_allow[0].port", "did you mean ports?"),
    ],
)
def test_what_is_wrong_is_named(changes, field, said):
    with pytest.raises(BadInput) as refused:
        made(**changes)
    assert refused.value.field == field
    assert said in str(refused.value)


@pytest.mark.parametrize("entries", ["text", {"name": "a"}, [METRICS, METRICS], ["text"], [None]])
def test_what_is_no_list_of_entries(entries):
    with pytest.raises(BadInput, match="policies_allow"):
        policies(entries, SELECTOR, "policies_allow")


def judged(sets, allowed, source="198.18.0.9", port=9100):
    """What becomes of a packet to a node on which shipped sets are enforced, each in its own tier."""
    around = PlatformNetworks(
        nodes=("10.99.0.0/24",),
        cluster=("10.244.0.0/16",),
        control_plane=(),
        dns=(),
        ntp=(),
        local=("127.0.0.0/8",),
        ssh=("192.0.2.0/24",),
        ssh_port=22,
        api=("10.99.0.11/32",),
        api_ports=(6443,),
    )
    objects = [
        builders.host_endpoint("h", node="node1", api=V3, labels={"host-endpoint": "ingress"}),
        builders.tier("hostfence", api=V3, order=100, defaultAction="Pass"),
        builders.tier("platform", api=V3, order=200, defaultAction="Deny"),
    ]
    for name in sets:
        shape = Shape(
            set_name=name,
            selector=SELECTOR,
            control_plane_selector="has(control-plane)",
            directions=("Ingress",),
            pre_dnat=False,
        )
        nodeports = presets.NodePorts(("30000:32767",), (), "")
        made = presets.preset(name, "kubeadm", around, shape, nodeports)
        objects += [in_tier("platform" if name == "platform-tier" else "hostfence", one) for one in made]
    objects += [in_tier("hostfence", one) for one in policies(allowed, SELECTOR, "policies_allow")]
    flow = builders.flow(node="node1", source=source, destination="10.99.0.11", destination_port=port)
    return judge_objects(objects, [flow])[0].verdict


def in_tier(name, policy):
    metadata = {**policy["metadata"], "name": f"{name}.{policy['metadata']['name']}"}
    return {**policy, "metadata": metadata, "spec": {**policy["spec"], "tier": name}}


DENYING = {"ingress-lockdown": 9100, "nodeport": 30500, "platform-tier": 9100}


@pytest.mark.parametrize("sets", [*([name] for name in DENYING), list(presets.SHIPPED)], ids=" ".join)
def test_it_is_past_every_shipped_set_and_nothing_else_is(sets):
    port = DENYING.get(sets[0], 9100)
    allowed = [{"name": "metrics", "ports": [port], "sources": ["198.18.0.0/15"]}]
    assert judged(sets, [], port=port) == "deny"
    assert judged(sets, allowed, port=port) == "allow"
    assert judged(sets, allowed, port=port, source="203.0.113.9") == "deny"
    assert judged(sets, allowed, port=port + 1) == "deny"
    elsewhere = [{**allowed[0], "nodes": ["node2"]}]
    assert judged(sets, elsewhere, port=port) == "deny"
