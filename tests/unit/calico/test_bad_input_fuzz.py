# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever is put into an object, a flow or a node: an answer, or one line that names what is wrong where."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import LintSurroundings, lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    parse_nodes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.packet_path import DATAPLANES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import V1, resource

NET, NAME = "10.0.0.0/8", "web"


def thing(kind, name, spec, api=V1, namespace="", **more):
    return {**resource(kind, name, api=api, namespace=namespace, labels={"a": "b"}, **spec), **more}


SIDE = {
    "nets": [NET],
    "notNets": ["10.1.0.0/16"],
    "selector": "has(a)",
    "notSelector": "a == 'c'",
    "namespaceSelector": "all()",
    "ports": [80, "1:90", NAME],
    "notPorts": [5],
    "serviceAccounts": {"names": ["s"], "selector": "all()"},
    "services": {"name": "svc", "namespace": "d"},
    "domains": ["example.com"],
}
RULE = {
    "action": "Allow",
    "protocol": "TCP",
    "icmp": {"type": 8, "code": 0},
    "http": {},
    "source": SIDE,
    "destination": SIDE,
}
PORT = {"name": NAME, "protocol": "TCP", "port": 80}
OBJECTS = [
    thing(
        "HostEndpoint",
        "h",
        {"node": "n", "interfaceName": "*", "expectedIPs": ["10.0.0.1"], "profiles": ["p"], "ports": [PORT]},
    ),
    thing(
        "GlobalNetworkPolicy",
        "g",
        {
            "tier": "t",
            "order": 1,
            "selector": "all()",
            "types": ["Ingress"],
            "ingress": [RULE],
            "egress": [RULE],
        },
    ),
    thing("StagedGlobalNetworkPolicy", "g", {"stagedAction": "Set", "selector": "all()", "ingress": [RULE]}),
    thing("NetworkPolicy", "k", {"selector": "all()", "ingress": [RULE]}, namespace="d"),
    thing("Tier", "t", {"order": 1, "defaultAction": "Pass"}),
    thing("GlobalNetworkSet", "gs", {"nets": [NET]}),
    thing("NetworkSet", "ns", {"nets": [NET]}, namespace="d"),
    thing("Profile", "p", {"labelsToApply": {"x": "y"}, "ingress": [{"action": "Allow"}]}),
    thing("IPPool", "pool", {"cidr": "10.244.0.0/16", "ipipMode": "Always", "vxlanMode": "Never"}),
    thing(
        "WorkloadEndpoint",
        "w",
        {"node": "n", "ipNetworks": ["10.244.0.9/32"], "profiles": ["p"], "ports": [PORT]},
        namespace="d",
    ),
    thing(
        "FelixConfiguration",
        "default",
        {
            "failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22, "net": NET}],
            "failsafeOutboundHostPorts": [],
            "bpfDataIfacePattern": "^eth",
            "bpfL3IfacePattern": "^tun",
            "interfacePrefix": "cali",
            "vxlanPort": 4789,
            "wireguardEnabled": True,
            "wireguardListeningPort": 51820,
            "defaultEndpointToHostAction": "Accept",
            "nodeSelector": "has(a)",
        },
    ),
    thing(
        "Node",
        "n",
        {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
        "v1",
        status={"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
    ),
    thing(
        "Pod",
        "pod",
        {
            "nodeName": "n",
            "serviceAccountName": "s",
            "containers": [{"name": "c", "ports": [{"name": NAME, "containerPort": 80, "protocol": "TCP"}]}],
        },
        "v1",
        "d",
        status={"podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}], "phase": "Running"},
    ),
    thing("Namespace", "d", {}, "v1"),
    thing("ServiceAccount", "s", {}, "v1", "d"),
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "e", "namespace": "d", "labels": {"kubernetes.io/service-name": "svc"}},
        "endpoints": [{"addresses": ["10.244.0.5"]}],
        "ports": [{"port": 80, "protocol": "TCP"}],
    },
    {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "svc2", "namespace": "d"},
        "subsets": [{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 53, "protocol": "UDP"}]}],
    },
]
FLOWS = [
    {
        "node": "n",
        "direction": "ingress",
        "interface": "eth0",
        "protocol": "TCP",
        "source": "10.0.0.9",
        "source_port": 1,
        "destination": "10.0.0.1",
        "destination_port": 80,
        "state": "new",
    },
    {
        "node": "n",
        "direction": "forward",
        "interface": "cali1",
        "out_interface": "eth0",
        "protocol": "UDP",
        "source": "10.244.0.5",
        "destination": "10.0.0.9",
        "destination_port": 53,
        "original_destination": "10.96.0.10",
        "original_destination_port": 53,
    },
    {
        "node": "n",
        "direction": "egress",
        "protocol": "ICMPv6",
        "source": "fd00::1",
        "destination": "fd00::2",
        "icmp_type": 135,
        "icmp_code": 0,
    },
]
NODES = [{"name": "n", "labels": {"a": "b"}, "interfaces": {"eth0": ["10.0.0.1/24"], "lo": []}}]
JUNK = [
    None, True, 0, -1, 1.5, float("inf"), 70000, 10**30, "", "x", "*", "10.0.0.0/33", "::1", "é\n", "\x00",
    "a" * 300, [], [None], [1], [[]], [{}], [{"a": None}], {}, {"a": 1}, {1: 2}, {"name": None},
]  # fmt: skip


def places(value, path=()) -> Iterator[tuple]:
    """Every place in nested mappings and lists."""
    if path:
        yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield from places(entry, (*path, key))


def with_junk(whole, path, junk):
    changed = copy.deepcopy(whole)
    spot = changed
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = junk
    return changed


def ask(objects=OBJECTS, flows=FLOWS, nodes=NODES, dataplane="iptables"):
    """The complaint, or nothing where there is an answer."""
    refused = None
    try:
        options = Options(dataplane=dataplane, staged="compare")
        judge_objects(objects, flows, parse_nodes(nodes), options)
        lint(objects, options, LintSurroundings(parse_nodes(nodes)))
    except BadInput as bad:
        refused = bad
    if refused is None:
        return ""
    assert refused.field
    assert refused.remedy
    assert "\n" not in str(refused)
    return str(refused)


def test_as_it_stands_it_is_answered():
    for dataplane in DATAPLANES:
        assert ask(dataplane=dataplane) == ""


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(places(OBJECTS))), st.sampled_from(JUNK), st.sampled_from(DATAPLANES))
def test_junk_in_an_object(path, junk, dataplane):
    ask(with_junk(OBJECTS, path, junk), dataplane=dataplane)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*places(FLOWS), (0, "other"), (1, 5)]), st.sampled_from(JUNK))
def test_junk_in_a_flow(path, junk):
    said = ask(flows=with_junk(FLOWS, path, junk))
    assert said == "" or said.startswith("flows[")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(places(NODES))), st.sampled_from(JUNK))
def test_junk_in_a_node(path, junk):
    ask(nodes=with_junk(NODES, path, junk))


# Found by chance, kept for certain.
@pytest.mark.parametrize(
    ("kind", "path", "junk", "says"),
    [
        ("Node", ("spec",), True, "Node n: spec: True: a mapping"),
        ("Node", ("status", "addresses"), True, "Node n: status.addresses: True: a list"),
        ("Pod", ("status", "podIPs"), "x", "Pod pod: status.podIPs: 'x': a list"),
        (
            "Pod",
            ("spec", "containers", 0, "ports"),
            ["x"],
            "Pod pod: spec.containers[0].ports[0]: 'x': a mapping",
        ),
        (
            "EndpointSlice",
            ("endpoints", 0, "addresses"),
            True,
            "EndpointSlice e: endpoints[0].addresses: True: a list",
        ),
        ("Endpoints", ("subsets",), "x", "Endpoints svc2: subsets: 'x': a list"),
        (
            "GlobalNetworkPolicy",
            ("metadata", "annotations"),
            True,
            "GlobalNetworkPolicy g: metadata.annotations: True: a mapping",
        ),
        (
            "GlobalNetworkPolicy",
            ("spec", "ingress", 0, "source", "services"),
            True,
            "GlobalNetworkPolicy g: spec.ingress[0].source.services: True: a mapping",
        ),
    ],
)
def test_the_line_names_object_field_value_and_what_would_be_right(kind, path, junk, says):
    index = next(index for index, obj in enumerate(OBJECTS) if obj["kind"] == kind)
    assert ask(with_junk(OBJECTS, (index, *path), junk)).startswith(says)


def test_what_cannot_be_hashed_is_no_address():
    assert "source: [None]: an IPv4 or IPv6 address" in ask(flows=with_junk(FLOWS, (0, "source"), [None]))
    assert ask(with_junk(OBJECTS, (0, "spec", "expectedIPs"), [[]])) == ""  # Felix leaves it out
