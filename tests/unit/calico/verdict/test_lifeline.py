# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's kept lifeline lets pass, as a look at the node found it."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import parse_flow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.node_judges import (
    NodeJudges,
    parse_use,
)

from tests.unit import builders


def verdict(lifeline: Any, dataplane: str = "iptables", **flow: Any) -> tuple[str, str]:
    closed = builders.policy("closed", ingress=[{"action": "Deny"}], egress=[{"action": "Deny"}], types=None)
    hep = {
        "apiVersion": builders.V3,
        "kind": "HostEndpoint",
        "metadata": {"name": "n1", "labels": {"host-endpoint": "ingress"}},
        "spec": {"node": "n1", "interfaceName": "*"},
    }
    use = parse_use({"node": "n1", "lifeline": lifeline, "dataplane": dataplane}, "uses[0]")
    judges = NodeJudges([hep, closed], Options(), {"n1": use})
    given = {"node": "n1", "direction": "ingress", "interface": "eth0", "protocol": "TCP", **flow}
    found = judges.verdict(parse_flow(given))
    return found.verdict, found.reason_code


KUBELET = {"source": "10.0.0.5", "source_port": 40000, "destination": "10.0.0.20", "destination_port": 10250}
API = {**KUBELET, "direction": "egress", "destination": "10.0.0.1", "destination_port": 443}
NEIGHBOUR = {"protocol": "ICMPv6", "source": "fd00::2", "destination": "fd00::1", "icmp_type": 135}


def test_the_verdict_engine_knows_what_it_lets_pass() -> None:
    found = {
        "outbound": [["10.0.0.1", 443]],
        "inbound": [["10.0.0.0/28", 10250]],
        "neighbours": True,
        "mark": "0x10000",
    }
    for flow in (KUBELET, API):
        assert verdict(found, **flow) == ("allow", "lifeline")
        assert verdict({}, **flow)[0] == "deny"
        # eBPF sees the packet before any table does.
        assert verdict(found, "ebpf", **flow)[0] == "deny"
    assert verdict(found, **{**KUBELET, "source": "10.0.0.200"})[0] == "deny"
    assert verdict(found, **{**API, "destination_port": 444})[0] == "deny"
    assert verdict(found, **NEIGHBOUR) == ("allow", "lifeline")
