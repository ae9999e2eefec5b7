# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which policy a packet meets, where, and in which order."""

from __future__ import annotations

import re
from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import (
    HostEndpoint,
    Reference,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import Flow, parse_flow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.packet_path import (
    CLASSES,
    EBPF,
    FORWARD,
    IPTABLES,
    NFTABLES,
    NORMAL,
    PRE_DNAT,
    UNTRACKED,
    Owners,
    PodStage,
    Settings,
    Stage,
    is_invalid,
    settings_of,
    steps,
)

from tests.unit import builders

WILD = HostEndpoint(Reference("HostEndpoint", "wild"), "n", "*", (), {}, ())
ETH0 = HostEndpoint(Reference("HostEndpoint", "eth0"), "n", "eth0", (), {}, ())
ETH1 = HostEndpoint(Reference("HostEndpoint", "eth1"), "n", "eth1", (), {}, ())
PLAIN = Settings((), ())
PLANES = (IPTABLES, NFTABLES)


def flow(direction: str = "ingress", **fields: Any) -> Flow:
    return parse_flow(builders.flow(direction, **fields))


def owned(
    named: Optional[HostEndpoint] = None,
    out: Optional[HostEndpoint] = None,
    wildcard: Optional[HostEndpoint] = None,
    **governed: tuple[str, ...],
) -> Owners:
    return Owners(
        named, out, wildcard, frozenset((name, kind) for name, kinds in governed.items() for kind in kinds)
    )


def way(asked: Flow, owners: Owners, plane: str = IPTABLES, settings: Settings = PLAIN) -> list[str]:
    """The steps in short: class direction endpoint or the reason of a settled place."""
    return [
        f"{step.name} {step.direction} {step.endpoint.name}"
        if isinstance(step, Stage)
        else f"pod {step.direction}"
        if isinstance(step, PodStage)
        else step.reason
        for step in steps(asked, owners, settings, plane)
    ]


EVERYTHING = CLASSES


class TestTables:
    """iptables and nftables."""

    @pytest.mark.parametrize("plane", PLANES)
    def test_local_in(self, plane: str) -> None:
        owners = owned(ETH0, wildcard=WILD, eth0=EVERYTHING, wild=EVERYTHING)
        assert way(flow(), owners, plane) == [
            "untracked ingress eth0",
            "preDNAT ingress eth0",
            "normal ingress eth0",
        ]

    def test_only_classes_with_policy_are_asked(self) -> None:
        assert way(flow(), owned(ETH0)) == ["normal ingress eth0"]

    def test_untracked_is_not_for_the_wildcard(self) -> None:
        assert way(flow(), owned(wildcard=WILD, wild=EVERYTHING)) == [
            "preDNAT ingress wild",
            "normal ingress wild",
        ]

    def test_a_named_one_without_prednat_does_not_keep_the_wildcards_away(self) -> None:
        owners = owned(ETH0, wildcard=WILD, eth0=(NORMAL,), wild=(PRE_DNAT,))
        assert way(flow(), owners) == ["preDNAT ingress wild", "normal ingress eth0"]

    def test_nobody(self) -> None:
        assert way(flow(), owned()) == ["no-host-endpoint"]
        assert way(flow("egress"), owned()) == ["no-host-endpoint"]
        assert way(flow("forward"), owned()) == ["no-host-endpoint"]

    def test_local_out(self) -> None:
        owners = owned(ETH0, wildcard=WILD, eth0=EVERYTHING)
        assert way(flow("egress"), owners) == ["untracked egress eth0", "normal egress eth0"]

    def test_out_to_a_service_is_judged_after_its_translation(self) -> None:
        (stage,) = steps(flow("egress", original_destination="10.96.0.1"), owned(ETH0), PLAIN, IPTABLES)
        assert isinstance(stage, Stage)
        assert (stage.place, stage.original) == ("mangle POSTROUTING", False)

    def test_in_is_judged_early_before_its_translation(self) -> None:
        owners = owned(ETH0, eth0=(UNTRACKED, PRE_DNAT))
        found = [step.original for step in steps(flow(), owners, PLAIN, IPTABLES) if isinstance(step, Stage)]
        assert found == [True, True, False]

    def test_forwarded(self) -> None:
        owners = owned(ETH0, ETH1, WILD, eth0=EVERYTHING, eth1=EVERYTHING)
        assert way(flow("forward"), owners) == [
            "untracked ingress eth0",
            "preDNAT ingress eth0",
            "forward ingress eth0",
            "forward egress eth1",
        ]

    def test_forwarded_traffic_has_no_failsafes(self) -> None:
        found = steps(flow("forward"), owned(ETH0, ETH1, eth0=EVERYTHING), PLAIN, IPTABLES)
        forward = [step for step in found if isinstance(step, Stage) and step.name == FORWARD]
        assert [step.failsafes for step in forward] == ["", ""]

    def test_forwarded_to_a_pod(self) -> None:
        asked = flow("forward", out_interface="cali1")
        assert way(asked, owned(ETH0, None, WILD)) == [
            "forward ingress eth0",
            "pod ingress",
            "forward egress wild",
        ]

    def test_from_a_pod_the_wildcards_prednat_counts_but_not_its_normal_policy(self) -> None:
        asked = flow(interface="cali1")
        assert way(asked, owned(wildcard=WILD, wild=EVERYTHING)) == [
            "preDNAT ingress wild",
            "pod egress",
            "pod-to-host",
        ]

    def test_to_its_own_pod_a_node_is_free(self) -> None:
        assert way(flow("egress", interface="cali1"), owned(wildcard=WILD, wild=EVERYTHING)) == [
            "host-to-pod"
        ]

    def test_other_pod_interfaces_by_configuration(self) -> None:
        settings = Settings((), (), workload_prefixes=("eni", "azv"))
        assert way(flow("egress", interface="azv9"), owned(wildcard=WILD), settings=settings) == [
            "host-to-pod"
        ]
        assert way(flow("egress", interface="cali1"), owned(wildcard=WILD), settings=settings) == [
            "normal egress wild"
        ]

    @pytest.mark.parametrize(
        ("kind", "settled"), [(130, True), (135, True), (136, True), (143, True), (128, False)]
    )
    def test_nftables_asks_nobody_about_neighbour_discovery_that_leaves(
        self, kind: int, settled: bool
    ) -> None:
        ends = {"source": "fe80::1", "destination": "fe80::2", "protocol": "ICMPv6", "icmp_type": kind}
        expected = ["no-connection"] if settled else ["normal egress wild"]
        assert way(flow("egress", **ends), owned(wildcard=WILD), NFTABLES) == expected
        assert way(flow("egress", **ends), owned(wildcard=WILD), IPTABLES) == ["normal egress wild"]
        assert way(flow(**ends), owned(wildcard=WILD), NFTABLES) == ["normal ingress wild"]


class TestEbpf:
    """eBPF programs sit on interfaces, not in tables."""

    def test_the_named_one_replaces_the_wildcard(self) -> None:
        owners = owned(ETH0, wildcard=WILD, eth0=(NORMAL,), wild=EVERYTHING)
        assert way(flow(), owners, EBPF) == ["normal ingress eth0"]

    def test_interfaces_outside_the_pattern_are_open(self) -> None:
        assert way(flow(interface="br0"), owned(wildcard=WILD), EBPF) == ["not-an-ebpf-interface"]
        assert way(flow(interface="lo"), owned(wildcard=WILD), EBPF) == ["not-an-ebpf-interface"]
        assert way(flow("egress", interface="tailscale0"), owned(wildcard=WILD), EBPF) == [
            "not-an-ebpf-interface"
        ]
        settings = Settings((), (), ebpf_interfaces="^br")
        assert way(flow(interface="br0"), owned(wildcard=WILD), EBPF, settings) == ["normal ingress wild"]

    def test_neighbour_discovery_passes_and_router_advertisements_do_not(self) -> None:
        ends = {"source": "fe80::1", "destination": "fe80::2", "protocol": "ICMPv6"}
        assert way(flow(**ends, icmp_type=135), owned(wildcard=WILD), EBPF) == ["neighbour-discovery"]
        assert way(flow("egress", **ends, icmp_type=136), owned(wildcard=WILD), EBPF) == [
            "neighbour-discovery"
        ]
        assert way(flow(**ends, icmp_type=134), owned(wildcard=WILD), EBPF) == ["normal ingress wild"]

    def test_forwarded(self) -> None:
        owners = owned(ETH0, ETH1, eth0=EVERYTHING, eth1=EVERYTHING)
        assert way(flow("forward"), owners, EBPF)[-2:] == ["forward ingress eth0", "forward egress eth1"]


@pytest.mark.parametrize(
    ("fields", "invalid"),
    [
        ({"state": "invalid"}, True),
        ({}, False),
        ({"protocol": "ICMP", "icmp_type": 8}, False),
        ({"protocol": "ICMP", "icmp_type": 0}, True),
        ({"protocol": "ICMP", "icmp_type": 3}, True),
        ({"protocol": "ICMP", "icmp_type": 3, "state": "related"}, False),
        ({"protocol": "ICMP"}, False),
        ({"protocol": "ICMPv6", "icmp_type": 128, "source": "fd00::1", "destination": "fd00::2"}, False),
        ({"protocol": "ICMPv6", "icmp_type": 129, "source": "fd00::1", "destination": "fd00::2"}, True),
        ({"protocol": "ICMPv6", "icmp_type": 135, "source": "fd00::1", "destination": "fd00::2"}, False),
    ],
)
def test_what_opens_no_connection_is_invalid(fields: dict[str, Any], invalid: bool) -> None:
    assert is_invalid(flow(**fields)) is invalid


class TestSettings:
    """Each setting comes from the first source that has it."""

    def test_built_in(self) -> None:
        settings = settings_of([], "n", {})
        assert "tcp/22" in map(str, settings.inbound)
        assert settings.endpoint_to_host is None
        assert settings.drops_invalid
        assert settings.workload_prefixes == ("cali",)

    def test_precedence(self) -> None:
        field = "defaultEndpointToHostAction"
        sources = [
            builders.felix_configuration("default", **{field: "Return"}),
            builders.felix_configuration("scoped", nodeSelector="role == 'db'", **{field: "Drop"}),
            builders.felix_configuration("node.n", **{field: "Accept"}),
        ]
        environment = {"FELIX_DEFAULTENDPOINTTOHOSTACTION": "DROP"}
        labels = {"role": "db"}
        assert settings_of(sources[:1], "n", labels).endpoint_to_host == "Return"
        assert settings_of(sources[:2], "n", labels).endpoint_to_host == "Drop"
        assert settings_of(sources[:2], "n", {}).endpoint_to_host == "Return"
        assert settings_of(sources, "n", labels).endpoint_to_host == "Accept"
        assert settings_of(sources, "n", labels, environment).endpoint_to_host == "Drop"

    def test_others(self) -> None:
        spec = {
            "disableConntrackInvalidCheck": True,
            "interfacePrefix": "eni,azv",
            "bpfDataIfacePattern": "^br",
        }
        settings = settings_of([builders.felix_configuration("default", **spec)], "n", {})
        assert (settings.drops_invalid, settings.workload_prefixes) == (False, ("eni", "azv"))
        assert settings.ebpf_interfaces == "^br"

    @pytest.mark.parametrize(
        ("spec", "carries", "carries_not"),
        [
            ({"bpfL3IfacePattern": "^tun"}, ["eth0", "tun0"], ["br0"]),
            ({"bpfDataIfacePattern": "^br", "bpfL3IfacePattern": "^tun"}, ["br0", "tun0"], ["eth0"]),
            ({"bpfDataIfacePattern": "*"}, ["eth0"], ["tun0"]),
        ],
    )
    def test_interfaces_with_ebpf_programs(self, spec, carries, carries_not) -> None:
        pattern = settings_of([builders.felix_configuration("default", **spec)], "n", {}).ebpf_interfaces
        assert all(re.search(pattern, name) for name in carries)
        assert not any(re.search(pattern, name) for name in carries_not)

    def test_what_felix_dies_on_is_told(self) -> None:
        bad = builders.felix_configuration(
            "default", failsafeInboundHostPorts=[{"protocol": "SCTP", "port": 22}]
        )
        assert "SCTP" in settings_of([bad], "n", {}).problem

    @pytest.mark.parametrize("unreadable", [True, "x", "51x"])
    def test_a_port_that_felix_cannot_read_is_its_default(self, unreadable) -> None:
        spec = {"wireguardEnabledV6": True, "wireguardListeningPortV6": unreadable, "vxlanPort": unreadable}
        settings = settings_of(
            [builders.felix_configuration("default", **spec)], "n", {}, pool_tunnels={("vxlan", 4)}
        )
        assert {(tunnel.name, tunnel.port) for tunnel in settings.tunnels} == {
            ("VXLAN", 4789),
            ("WireGuard", 51821),
        }
