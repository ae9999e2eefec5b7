# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the hosts of each platform need, and the policies that allow it."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PLATFORMS,
    PlatformNetworks,
    Shape,
    policies,
    required_flows,
)

AROUND = PlatformNetworks(
    nodes=("10.99.0.0/24", "fd99::/64"),
    cluster=("10.244.0.0/16", "10.96.0.0/16", "fd44::/48"),
    ssh=("192.0.2.0/24", "2001:db8::/32"),
)
SHAPE = Shape("platform-flows", "host-endpoint == 'ingress'", "has(control-plane)")


def written(preset, around=AROUND, shape=SHAPE):
    return policies(required_flows(preset, around), around, shape)


def rules(objects, direction, where="all-hosts"):
    return next(o for o in objects if o["metadata"]["name"].endswith(f"{where}-{direction}"))["spec"][
        direction
    ]


def allows(found, protocol, port, net=None, side="source"):
    return any(
        r.get("protocol") == protocol
        and port in r.get("destination", {}).get("ports", [])
        and (net is None or net in r.get(side, {}).get("nets", [net]))
        for r in found
    )


@pytest.mark.parametrize("preset", sorted(PLATFORMS))
def test_every_preset_is_policy_that_the_strict_reader_takes(preset):
    objects = written(preset)
    read = parse([Document(o, "platform") for o in objects], "hostfence")
    assert len(read.policies) == len(objects) == 4
    assert {r["action"] for o in objects for d in ("ingress", "egress") for r in o["spec"].get(d, [])} == {
        "Allow"
    }
    assert len({o["spec"]["order"] for o in objects}) == len(objects)


@pytest.mark.parametrize("preset", sorted(PLATFORMS))
@pytest.mark.parametrize(("direction", "side"), [("ingress", "source"), ("egress", "destination")])
def test_loopback_and_neighbour_discovery_in_both_directions(preset, direction, side):
    found = rules(written(preset), direction)
    nets = {n for r in found if "protocol" not in r for n in r.get(side, {}).get("nets", [])}
    assert {"127.0.0.0/8", "::1/128"} <= nets
    types = {r["icmp"]["type"] for r in found if r.get("protocol") == "ICMPv6"}
    assert {130, 131, 132, 133, 134, 135, 136, 2} <= types


@pytest.mark.parametrize(
    ("preset", "direction", "protocol", "port", "net"),
    [
        ("kubeadm", "egress", "TCP", 6443, None),
        ("kubeadm", "egress", "TCP", 53, None),
        ("kubeadm", "egress", "UDP", 123, None),
        ("kubeadm", "ingress", "TCP", 10250, "fd99::/64"),
        ("rke2", "ingress", "TCP", 9345, "10.99.0.0/24"),
        ("k3s", "ingress", "UDP", 8472, "10.99.0.0/24"),
        ("eks", "egress", "UDP", 123, "169.254.169.123/32"),
        ("aks", "egress", "TCP", 32526, "168.63.129.16/32"),
        ("gke", "egress", "TCP", 8132, None),
        ("gardener", "egress", "TCP", 8132, None),
        ("openshift", "ingress", "UDP", 6081, "10.99.0.0/24"),
    ],
)
def test_what_a_platform_needs(preset, direction, protocol, port, net):
    side = "source" if direction == "ingress" else "destination"
    assert allows(rules(written(preset), direction), protocol, port, net, side)


def test_control_plane_flows_are_for_control_plane_hosts_only():
    objects = written("kubeadm")
    assert allows(rules(objects, "ingress", "control-plane"), "TCP", "2379:2380", "10.99.0.0/24")
    assert not allows(rules(objects, "ingress"), "TCP", "2379:2380")
    control_plane = next(o for o in objects if "control-plane" in o["metadata"]["name"])
    assert control_plane["spec"]["selector"] == "(host-endpoint == 'ingress') && (has(control-plane))"


def test_an_api_on_443_is_allowed_where_it_is():
    around = PlatformNetworks(api=("203.0.113.7/32",), api_ports=(443,))
    found = rules(written("eks", around), "egress")
    assert {"action": "Allow", "protocol": "TCP"}.items() <= next(
        r for r in found if r.get("destination", {}).get("nets") == ["203.0.113.7/32"]
    ).items()


def test_nobody_may_log_in_unless_said():
    found = rules(written("kubeadm", PlatformNetworks(nodes=("10.99.0.0/24",))), "ingress")
    assert not allows(found, "TCP", 22)
    assert allows(rules(written("kubeadm"), "ingress"), "TCP", 22, "2001:db8::/32")


def test_nodes_that_are_not_named_are_nowhere_not_everywhere():
    found = rules(written("kubeadm", PlatformNetworks()), "ingress")
    assert not any(10250 in r.get("destination", {}).get("ports", []) for r in found)


def test_pre_dnat_says_the_same_before_translation():
    objects = policies(required_flows("kubeadm", AROUND), AROUND, Shape("p", "all()", "all()", pre_dnat=True))
    plain, before = (
        next(o["spec"] for o in objects if o["metadata"]["name"].endswith(f"ingress{s}"))
        for s in ("", "-prednat")
    )
    assert before["ingress"] == plain["ingress"]
    assert before["preDNAT"]
    assert before["applyOnForward"]


def test_one_direction_only():
    objects = policies(required_flows("kubeadm", AROUND), AROUND, Shape("p", "all()", "all()", ("Ingress",)))
    assert [o["spec"]["types"] for o in objects] == [["Ingress"], ["Ingress"]]


def test_unknown_preset_and_bad_network():
    with pytest.raises(BadInput, match="kubeadm"):
        required_flows("minikube", AROUND)
    with pytest.raises(BadInput) as refused:
        PlatformNetworks(dns=("10.0.0.0/33",))
    assert refused.value.field == "platform.dns[0]"
