# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows as users write them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import parse_flow

FLOW: dict[str, Any] = {
    "node": "n",
    "direction": "ingress",
    "protocol": "tcp",
    "source": "10.0.0.1",
    "destination": "10.0.0.2",
}
V6 = {"source": "fd00::1", "destination": "fd00::2"}


def test_what_is_left_out_is_unknown() -> None:
    flow = parse_flow(FLOW)
    assert (flow.protocol, flow.version, flow.state) == (6, 4, "new")
    assert (flow.source_port, flow.destination_port, flow.icmp_type, flow.interface) == (None, None, None, "")
    assert not flow.translated
    assert flow.before_translation() == (flow.destination, None)


def test_numbers_may_be_text_as_templates_make_them() -> None:
    flow = parse_flow({**FLOW, "protocol": "17", "destination_port": "53"})
    assert (flow.protocol, flow.destination_port) == (17, 53)


def test_translation() -> None:
    flow = parse_flow({**FLOW, "destination_port": 80, "original_destination_port": 30080})
    assert flow.translated
    assert flow.before_translation() == (flow.destination, 30080)
    flow = parse_flow({**FLOW, "destination_port": 80, "original_destination": "10.9.9.9"})
    assert str(flow.before_translation()[0]) == "10.9.9.9"
    assert flow.before_translation()[1] == 80


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"node": None}, "node"),
        ({"node": 5}, "node"),
        ({"direction": "in"}, "direction"),
        ({"direction": None}, "direction"),
        ({"protocol": "GRE"}, "protocol"),
        ({"protocol": None}, "protocol"),
        ({"protocol": 0}, "protocol"),
        ({"protocol": True}, "protocol"),
        ({"source": "10.0.0.1/24"}, "source"),
        ({"source": None}, "source"),
        ({"destination": "example.org"}, "destination"),
        ({"source": "fd00::1"}, "source"),
        ({"original_destination": "fd00::1"}, "original_destination"),
        ({"destination_port": 65536}, "destination_port"),
        ({"destination_port": -1}, "destination_port"),
        ({"destination_port": "http"}, "destination_port"),
        ({"protocol": "icmp", "destination_port": 1}, "destination_port"),
        ({"protocol": "icmpv6"}, "protocol"),
        ({"protocol": "icmp", **V6}, "protocol"),
        ({"icmp_type": 256}, "icmp_type"),
        ({"state": "NEW"}, "state"),
        ({"out_interface": "eth1"}, "out_interface"),
        ({"dport": 80}, "dport"),
    ],
)
def test_a_bad_flow_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_flow({**FLOW, **change}, "flows[7]")
    assert refused.value.field == f"flows[7].{field}"
    assert "\n" not in str(refused.value)


def test_a_flow_is_a_mapping() -> None:
    with pytest.raises(BadInput):
        parse_flow("tcp", "flows[0]")
