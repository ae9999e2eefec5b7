# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about failsafes: each fires on its trap, and is silent on what is none."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import LintSurroundings, lint

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.lint.objects import Case, felix, gnp, hep, ids_of, rules_found

ENTRY = {"protocol": "TCP", "port": 22}
OUTBOUND = [{"protocol": "UDP", "port": 53}]
API_SLICE = builders.endpoint_slice("kubernetes", "10.0.0.1", port=443)


DENY_SSH_FROM_INSIDE = gnp(
    ingress=[
        {
            "action": "Deny",
            "protocol": "TCP",
            "source": {"nets": ["10.1.0.0/16"]},
            "destination": {"ports": [22]},
        }
    ]
)

CASES: list[Case] = [
    (
        "failsafe-entry",
        [felix(failsafeInboundHostPorts=[{"protocol": "SCTP", "port": 22}])],
        [felix(failsafeInboundHostPorts=[ENTRY])],
    ),
    (
        "failsafe-entry",
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "abc"}])],
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "10.0.0.0/8"}])],
    ),
    (
        "failsafe-shadows-deny",
        [gnp(ingress=[{"action": "Deny", "protocol": "TCP", "destination": {"ports": ["20:25"]}}])],
        [gnp(ingress=[{"action": "Deny", "protocol": "UDP", "destination": {"ports": [22]}}])],
    ),
    (
        "failsafe-lacks-port",
        [hep(), felix(failsafeInboundHostPorts=[])],
        [hep(), felix(failsafeInboundHostPorts=[ENTRY], failsafeOutboundHostPorts=OUTBOUND)],
    ),
    ("failsafe-lacks-port", [hep(), API_SLICE], [hep()]),
    (
        "failsafe-drops-default",
        [felix(failsafeInboundHostPorts=[ENTRY])],
        [felix(failsafeInboundHostPorts=None)],
    ),
    ("failsafe-entry", [felix(failsafeInboundHostPorts="none")], [felix(failsafeInboundHostPorts=[])]),
    (
        "failsafe-entry",
        [felix(failsafeInboundHostPorts=[{**ENTRY, "port": 65536}])],
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "10.0.0.1/8"}])],
    ),
    (
        "failsafe-entry",
        [felix(failsafeInboundHostPorts=[{**ENTRY, "port": -1}])],
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "::1"}])],
    ),
    (
        "failsafe-entry",
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "fe80::%eth0/64"}])],
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "0.0.0.0"}])],
    ),
    (
        "failsafe-shadows-deny",
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "10.0.0.0/8"}]), DENY_SSH_FROM_INSIDE],
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "192.0.2.0/24"}]), DENY_SSH_FROM_INSIDE],
    ),
    ("felix-unused", [{**felix(), "metadata": {"name": "mine"}}], [felix()]),
    (
        "felix-unused",
        [{**felix(), "metadata": {"name": "node-n1"}}],
        [{**felix(), "metadata": {"name": "node.n1"}}],
    ),
    (
        "felix-unused",
        [{**felix(), "metadata": {"name": "edge"}}],
        [{**felix(nodeSelector="has(edge)"), "metadata": {"name": "edge"}}],
    ),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


def test_the_ports_of_this_site_are_asked_for() -> None:
    around = LintSurroundings(ssh_ports=(2222,), api_ports=(8443,))
    messages = " ".join(found.message for found in lint([hep()], surroundings=around))
    assert "tcp/2222 (SSH)" in messages
    assert "tcp/8443 (the API server)" in messages
