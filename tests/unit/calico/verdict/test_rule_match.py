# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules against packets: each condition, what is unknown, and many compiled rules against one at a time."""

from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import Packet

from tests.unit.builders import Object
from tests.unit.calico.verdict.matched import matches, packet

V6 = packet(source="fd02::9", destination="fd00::1")
OFFICE = packet(source="192.0.2.7")


@pytest.mark.parametrize(
    ("rule", "asked", "answer"),
    [
        ({}, packet(), True),
        ({"protocol": "TCP"}, packet(), True),
        ({"protocol": "UDP"}, packet(), False),
        ({"protocol": 6}, packet(), True),
        ({"notProtocol": "TCP"}, packet(), False),
        ({"notProtocol": "UDP"}, packet(), True),
        ({"ipVersion": 4}, packet(), True),
        ({"ipVersion": 6}, packet(), False),
        # nets
        ({"source": {"nets": ["10.0.0.0/8"]}}, packet(), True),
        ({"source": {"nets": ["10.0.0.0/16"]}}, packet(), False),
        ({"source": {"notNets": ["10.0.0.0/8"]}}, packet(), False),
        ({"source": {"nets": ["10.0.0.0/8"], "notNets": ["10.9.0.0/16"]}}, packet(), False),
        ({"source": {"nets": ["10.0.0.0/8", "fd02::/16"]}}, V6, True),
        ({"source": {"nets": ["10.0.0.0/8"]}}, V6, False),
        ({"source": {"notNets": ["10.0.0.0/8"]}}, V6, False),
        ({"source": {"notNets": ["10.0.0.0/8", "fd09::/16"]}}, V6, True),
        ({"source": {"notNets": ["0.0.0.0/0"]}}, packet(), False),
        # ports
        ({"protocol": "TCP", "destination": {"ports": [80]}}, packet(), True),
        ({"protocol": "TCP", "destination": {"ports": [81, "70:90"]}}, packet(), True),
        ({"protocol": "TCP", "destination": {"ports": [81]}}, packet(), False),
        ({"protocol": "TCP", "destination": {"notPorts": [80]}}, packet(), False),
        ({"protocol": "TCP", "destination": {"ports": ["1:100"], "notPorts": [80]}}, packet(), False),
        ({"protocol": "TCP", "source": {"ports": [40000]}}, packet(), True),
        ({"protocol": "TCP", "destination": {"ports": [80]}}, packet(destination_port=None), None),
        ({"protocol": "TCP", "destination": {"ports": ["1:65535"]}}, packet(destination_port=None), True),
        ({"protocol": "TCP", "source": {"ports": ["1024:65535"]}}, packet(source_port=None), True),
        ({"protocol": "TCP", "source": {"ports": [22]}}, packet(source_port=None), False),
        ({"protocol": "TCP", "source": {"ports": [50000]}}, packet(source_port=None), None),
        ({"protocol": "TCP", "source": {"notPorts": [22]}}, packet(source_port=None), True),
        # selectors
        ({"source": {"selector": "set == 'office'"}}, OFFICE, True),
        ({"source": {"selector": "set == 'office'"}}, packet(), False),
        ({"source": {"selector": "set == 'office'"}}, V6, True),
        ({"source": {"notSelector": "set == 'office'"}}, packet(), True),
        ({"source": {"notSelector": "set == 'office'"}}, OFFICE, False),
        (
            {"source": {"selector": "has(set)", "notSelector": "set == 'lab'"}},
            packet(source="192.0.2.200"),
            True,
        ),
        ({"source": {"namespaceSelector": "global()"}}, OFFICE, True),
        ({"source": {"namespaceSelector": "all()"}}, OFFICE, False),
        ({"destination": {"selector": "role == 'db'"}}, packet(), True),
        ({"destination": {"selector": "all()"}}, packet(destination="10.0.0.2"), False),
        # named ports
        ({"protocol": "TCP", "destination": {"ports": ["web"]}}, packet(destination_port=8080), True),
        ({"protocol": "TCP", "destination": {"ports": ["web"]}}, packet(), False),
        ({"protocol": "TCP", "destination": {"ports": ["web", 80]}}, packet(), True),
        (
            {"protocol": "TCP", "destination": {"ports": ["web"]}},
            packet(destination="10.0.0.2", destination_port=8080),
            False,
        ),
        ({"protocol": "TCP", "destination": {"ports": ["dns"]}}, packet(destination_port=53), False),
        ({"destination": {"ports": ["dns"]}}, packet("udp", destination_port=53), True),
        ({"destination": {"ports": ["dns"]}}, packet("icmp", icmp_type=8), False),
        ({"protocol": "TCP", "destination": {"notPorts": ["web"]}}, packet(destination_port=8080), False),
        ({"protocol": "TCP", "destination": {"notPorts": ["web"]}}, packet(), True),
        (
            {"protocol": "TCP", "destination": {"ports": ["web"], "selector": "role == 'x'"}},
            packet(destination_port=8080),
            False,
        ),
        ({"protocol": "TCP", "destination": {"ports": ["web"]}}, packet(destination_port=None), None),
        # services
        (
            {"destination": {"services": {"name": "s", "namespace": "ns"}}},
            packet(destination="10.0.0.7", destination_port=443),
            True,
        ),
        (
            {"destination": {"services": {"name": "s", "namespace": "ns"}}},
            packet(destination="10.0.0.7"),
            False,
        ),
        ({"destination": {"services": {"name": "x", "namespace": "ns"}}}, packet(), None),
        ({"source": {"services": {"name": "s", "namespace": "ns"}}}, packet(source="10.0.0.7"), True),
        ({"source": {"services": {"name": "s", "namespace": "ns"}}}, packet(), False),
        # ICMP
        ({"protocol": "ICMP", "icmp": {"type": 8}}, packet("icmp", icmp_type=8, icmp_code=0), True),
        (
            {"protocol": "ICMP", "icmp": {"type": 8, "code": 1}},
            packet("icmp", icmp_type=8, icmp_code=0),
            False,
        ),
        ({"protocol": "ICMP", "icmp": {"type": 8}}, packet("icmp"), None),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, packet("icmp", icmp_type=8, icmp_code=0), False),
        (
            {"protocol": "ICMP", "notICMP": {"type": 8, "code": 1}},
            packet("icmp", icmp_type=8, icmp_code=0),
            True,
        ),
        ({"protocol": "ICMP"}, packet("icmpv6", "fd00::9", "fd00::1", icmp_type=128), False),
        (
            {"protocol": "ICMPv6", "icmp": {"type": 135}},
            packet("icmpv6", "fd00::9", "fd00::1", icmp_type=135),
            True,
        ),
        ({"http": {"methods": ["GET"]}}, packet(), True),
    ],
)
def test_rule(rule: Object, asked: Packet, answer: Optional[bool]) -> None:
    assert matches(rule, asked) is answer


def test_not_icmp_with_code_differs_on_nftables() -> None:
    rule = {"protocol": "ICMP", "notICMP": {"type": 8, "code": 1}}
    asked = packet("icmp", icmp_type=8, icmp_code=0)
    assert matches(rule, asked) is True
    assert matches(rule, asked, nftables=True) is False
    assert matches(rule, packet("icmp", icmp_type=9, icmp_code=0), nftables=True) is True
