# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""eBPF as felix/bpf-gpl and bpf_ep_mgr.go (v3.32.1) have it: overlays, tunnels, lo, TCP of no connection."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

from tests.unit import builders
from tests.unit.builders import Object

NODES = {"n": ("10.0.0.1", "fd00::1"), "m": ("10.0.0.2", "fd00::2")}
PEERS = [builders.node(name, *addresses) for name, addresses in NODES.items()]
STRANGER = {4: "10.0.0.77", 6: "fd00::77"}
OWN = {4: "10.0.0.1", 6: "fd00::1"}
PEER = {4: "10.0.0.2", 6: "fd00::2"}


def hep(*profiles: str) -> Object:
    return builders.host_endpoint("h", node="n", profiles=list(profiles))


CLOSED, OPEN = hep(), hep("projectcalico-default-allow")


def felix(**spec: Any) -> Object:
    return builders.felix_configuration(failsafeInboundHostPorts=[], failsafeOutboundHostPorts=[], **spec)


def flow(
    direction: str, interface: str, protocol: object, other: str, version: int = 4, **more: Any
) -> Object:
    ends = (other, OWN[version]) if direction == "ingress" else (OWN[version], other)
    return builders.flow(
        direction, interface=interface, protocol=protocol, source=ends[0], destination=ends[1], **more
    )


def answer(asked: Object, *objects: Object) -> tuple[str, str]:
    (verdict,) = judge_objects([*PEERS, *objects], [asked], options=Options(dataplane="ebpf"))
    return verdict.verdict, verdict.reason_code


OVERLAYS = ("vxlan.calico", "vxlan-v6.calico", "tunl0", "wireguard.cali", "wg-v6.cali", "egress.calico")
WAYS = ("ingress", "egress")


@pytest.mark.parametrize(("interface", "direction", "version"), [*itertools.product(OVERLAYS, WAYS, (4, 6))])
def test_overlay_interfaces_belong_to_the_wildcard(interface: str, direction: str, version: int) -> None:
    asked = flow(direction, interface, "TCP", STRANGER[version], version, destination_port=8080)
    assert answer(asked, CLOSED, felix()) == ("deny", "no-profile")
    assert answer(asked, felix()) == ("allow", "no-host-endpoint")


@pytest.mark.parametrize(
    ("interface", "setting"),
    [
        ("tunl0", "ipipEnabled"),
        ("vxlan.calico", "vxlanEnabled"),
        ("wireguard.cali", "wireguardEnabled"),
        ("wg-v6.cali", "wireguardEnabledV6"),
    ],
)
def test_an_overlay_that_is_off_has_no_program(interface: str, setting: str) -> None:
    asked = flow("ingress", interface, "TCP", STRANGER[4], destination_port=8080)
    assert answer(asked, CLOSED, felix(**{setting: False})) == ("allow", "not-an-ebpf-interface")


@pytest.mark.parametrize(("direction", "objects"), [*itertools.product(WAYS, ((CLOSED,), (OPEN,), ()))])
class TestTunnels:
    """Between known nodes without policy; from and to others dropped, host endpoint or not."""

    def test_ipip(self, direction: str, objects: tuple[Object, ...]) -> None:
        assert answer(flow(direction, "eth0", 4, PEER[4]), *objects, felix()) == ("allow", "tunnel")
        assert answer(flow(direction, "eth0", 4, STRANGER[4]), *objects, felix()) == ("deny", "tunnel")

    @pytest.mark.parametrize(
        ("version", "port", "setting"),
        [
            (4, 51820, {}),
            (6, 51821, {}),
            (4, 7, {"wireguardListeningPort": 7}),
            (6, 7, {"wireguardListeningPortV6": 7}),
        ],
    )
    def test_wireguard(
        self, direction: str, objects: tuple[Object, ...], version: int, port: int, setting: Object
    ) -> None:
        for other, verdict in ((PEER, "allow"), (STRANGER, "deny")):
            asked = flow(direction, "eth0", "UDP", other[version], version, destination_port=port)
            assert answer(asked, *objects, felix(**setting)) == (verdict, "tunnel")

    @pytest.mark.parametrize("interface", ["tunl0", "wireguard.cali"])
    def test_ipip_inside_a_tunnel_is_dropped(
        self, direction: str, objects: tuple[Object, ...], interface: str
    ) -> None:
        assert answer(flow(direction, interface, 4, PEER[4]), *objects, felix()) == ("deny", "tunnel")


@pytest.mark.parametrize(("version", "port"), [(4, 51821), (6, 51820)])
def test_wireguards_port_is_that_of_the_family(version: int, port: int) -> None:
    asked = flow("ingress", "eth0", "UDP", STRANGER[version], version, destination_port=port)
    assert answer(asked, OPEN, felix()) == ("allow", "profile-allow")


def test_wireguards_interfaces_may_have_other_names() -> None:
    asked = flow("ingress", "wg7", "TCP", STRANGER[4], destination_port=8080)
    assert answer(asked, CLOSED, felix(wireguardInterfaceName="wg7")) == ("deny", "no-profile")
    assert answer(asked, CLOSED, felix()) == ("allow", "not-an-ebpf-interface")


@pytest.mark.parametrize(("direction", "version"), [*itertools.product(WAYS, (4, 6))])
def test_vxlan_of_known_nodes_passes_and_policy_decides_about_others(direction: str, version: int) -> None:
    pool = builders.resource(
        "IPPool", "p", cidr="10.244.0.0/16" if version == 4 else "fd10::/64", vxlanMode="Always"
    )
    asked = flow(direction, "eth0", "UDP", PEER[version], version, destination_port=4789)
    assert answer(asked, CLOSED, pool) == ("allow", "tunnel")
    strange = flow(direction, "eth0", "UDP", STRANGER[version], version, destination_port=4789)
    assert answer(strange, CLOSED, pool) == ("deny", "no-profile")


def test_tunnels_of_unknown_nodes_are_left_open() -> None:
    asked = flow("ingress", "eth0", 4, "10.0.0.2")
    (verdict,) = judge_objects([CLOSED], [asked], options=Options(dataplane="ebpf"))
    assert (verdict.verdict, verdict.reason_code) == ("undetermined", "tunnel")
    assert "10.0.0.2 is the address of a node" in verdict.assumptions[0]


def test_tcp_of_no_connection_is_dropped_even_where_policy_allows() -> None:
    leaving = flow("egress", "eth0", "TCP", STRANGER[4], destination_port=40000, state="invalid")
    assert answer(leaving, OPEN) == ("deny", "invalid-state")
    assert answer(leaving) == ("allow", "no-host-endpoint")
    assert answer({**leaving, "protocol": "UDP"}, OPEN)[0] == "allow"


@pytest.mark.parametrize(
    ("direction", "interface", "out_interface"),
    [
        ("ingress", "cali1", ""),
        ("egress", "cali1", ""),
        ("forward", "cali1", "eth0"),
        ("forward", "eth0", "cali1"),
        ("forward", "docker0", "cali1"),
        ("forward", "docker0", "eth0"),
    ],
)
def test_nor_does_it_come_from_a_pod_or_get_to_one(
    direction: str, interface: str, out_interface: str
) -> None:
    leaving = {"out_interface": out_interface} if out_interface else {}
    asked = builders.flow(direction, interface=interface, protocol="TCP", state="invalid", **leaving)
    assert answer(asked, OPEN) == ("deny", "invalid-state")
    assert answer({**asked, "protocol": "UDP"}, OPEN)[1] != "invalid-state"


CTLB = "bpfConnectTimeLoadBalancing"


@pytest.mark.parametrize(
    ("spec", "protocol", "direction", "reason"),
    [
        ({}, "UDP", "egress", "no-profile"),
        ({}, "TCP", "egress", "not-an-ebpf-interface"),
        ({}, "UDP", "ingress", "not-an-ebpf-interface"),
        ({CTLB: "Disabled"}, "TCP", "egress", "no-profile"),
        (
            {CTLB: "Enabled", "bpfHostNetworkedNATWithoutCTLB": "Disabled"},
            "UDP",
            "egress",
            "not-an-ebpf-interface",
        ),
    ],
)
def test_loopback(spec: Object, protocol: str, direction: str, reason: str) -> None:
    asked = flow(direction, "lo", protocol, OWN[4], destination_port=8080)
    assert answer(asked, CLOSED, felix(**spec))[1] == reason


@pytest.mark.parametrize(
    ("protocol", "port", "spec", "expected"),
    [
        ("UDP", 51820, {}, ("deny", "tunnel")),
        (4, None, {CTLB: "Disabled"}, ("deny", "tunnel")),
        ("UDP", 4789, {}, ("allow", "profile-allow")),
        ("UDP", 8080, {}, ("allow", "profile-allow")),
    ],
)
def test_a_node_is_no_peer_of_its_own(
    protocol: object, port: object, spec: Object, expected: tuple[str, str]
) -> None:
    more = {"destination_port": port} if port else {}
    assert answer(flow("egress", "lo", protocol, OWN[4], **more), OPEN, felix(**spec)) == expected
