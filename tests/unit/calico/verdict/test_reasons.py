# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every reason of a verdict has a case that gets it, and a line in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.reasons import REASONS

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.verdict.asked import (
    ALLOW,
    AOF,
    DENY,
    NEIGHBOUR,
    PASS,
    PEER,
    POOL,
    SSH,
    UNTRACKED_HEP,
    answer,
    flow,
    gnp,
    hep,
    tier,
)

REASON_CASES: list[tuple[str, str, Object, list[Object]]] = [
    ("allow", "no-host-endpoint", flow(), []),
    ("allow", "no-host-endpoint", flow(), [hep(interfaceName="eth1")]),
    ("allow", "no-host-endpoint", flow(), [hep(node="m"), hep("other", node="n", interfaceName="eth7")]),
    ("allow", "established", flow(state="established"), [hep(), gnp(ingress=[DENY])]),
    ("allow", "established", flow("forward", state="related"), [hep(), gnp(ingress=[DENY], **AOF)]),
    ("allow", "failsafe", SSH, [hep(), gnp(ingress=[DENY])]),
    ("allow", "failsafe", flow("egress", protocol="UDP", destination_port=53), [hep(profiles=[])]),
    ("deny", "policy-deny", flow("forward", destination_port=22), [hep(), gnp(ingress=[DENY], **AOF)]),
    ("allow", "policy-allow", flow(), [hep(), gnp()]),
    ("deny", "policy-deny", flow(), [hep(), gnp(ingress=[DENY])]),
    ("deny", "end-of-tier", flow(), [hep(), gnp(ingress=[])]),
    ("allow", "profile-allow", flow(), [hep(), gnp(ingress=[], tier="t"), tier("t", action="Pass")]),
    ("allow", "profile-allow", flow("egress"), [hep(), gnp(ingress=[DENY])]),
    ("deny", "no-profile", flow(), [hep(profiles=[])]),
    ("deny", "no-profile", flow("egress"), [hep(profiles=[]), gnp()]),
    ("deny", "profile-missing", flow(), [hep(profiles=["gone", "projectcalico-default-allow"])]),
    (
        "deny",
        "profile-deny",
        flow(),
        [hep(profiles=["closed"]), builders.resource("Profile", "closed", ingress=[DENY])],
    ),
    ("deny", "no-profile", flow(), [hep(profiles=["empty"]), builders.resource("Profile", "empty")]),
    ("allow", "forward-default", flow("forward"), [hep(profiles=[]), gnp(ingress=[DENY])]),
    ("allow", "forward-undecided", flow("forward"), [hep(), gnp(types=["Ingress"], ingress=[PASS], **AOF)]),
    ("deny", "end-of-tier", flow("forward"), [hep(), gnp(ingress=[], **AOF)]),
    ("deny", "invalid-state", flow(state="invalid"), [hep(), gnp()]),
    ("deny", "invalid-state", flow(protocol="ICMP", icmp_type=0, icmp_code=0), [hep(), gnp()]),
    ("allow", "no-host-endpoint", flow(state="invalid"), []),
    ("allow", "host-to-pod", flow("egress", interface="cali1"), [hep(profiles=[])]),
    ("undetermined", "pod-to-host", flow(interface="cali1"), [hep()]),
    (
        "deny",
        "pod-to-host",
        flow(interface="cali1"),
        [hep(), builders.felix_configuration(defaultEndpointToHostAction="Drop")],
    ),
    ("allow", "neighbour-discovery", flow(interface="cali1", **NEIGHBOUR), [hep()]),
    ("undetermined", "pod-policy", flow("forward", out_interface="cali1"), [hep()]),
    ("deny", "policy-deny", flow("forward", out_interface="cali1"), [hep(), gnp(ingress=[DENY], **AOF)]),
    (
        "undetermined",
        "unknown-match",
        flow(destination_port=None),
        [hep(), gnp(ingress=[{**ALLOW, "protocol": "TCP", "destination": {"ports": [80]}}])],
    ),
    ("undetermined", "unknown-interface", flow(interface=None), [hep(interfaceName="eth0", profiles=[])]),
    (
        "undetermined",
        "unknown-configuration",
        flow(),
        [
            hep(),
            builders.felix_configuration(failsafeInboundHostPorts=[{"protocol": "SCTP", "port": 1}]),
        ],
    ),
    (
        "allow",
        "tunnel",
        flow(protocol=4, destination_port=None, source_port=None),
        [hep(profiles=[]), POOL, PEER],
    ),
    ("deny", "answer-denied", flow(), [UNTRACKED_HEP, gnp("early", doNotTrack=True, **AOF)]),
    ("undetermined", "unprogrammable-rule", flow(), [hep(), gnp(ingress=[{**ALLOW, "icmp": {"type": 8}}])]),
    (
        "undetermined",
        "unreadable-object",
        flow(),
        [hep(), gnp(ingress=[{**ALLOW, "protocol": "TCP", "destination": {"ports": [70000]}}])],
    ),
]


@pytest.mark.parametrize(
    ("verdict", "reason", "asked", "objects"),
    REASON_CASES,
    ids=[f"{i}-{c[1]}" for i, c in enumerate(REASON_CASES)],
)
def test_reasons(verdict: str, reason: str, asked: Object, objects: list[Object]) -> None:
    assert answer(asked, *objects) == (verdict, reason)


def test_every_reason_has_a_case() -> None:
    # In test_judge and test_ebpf, where nodes are other ones, and in test_lifeline.
    elsewhere = {"no-connection", "not-an-ebpf-interface", "ipvs-node-port", "lifeline"}
    assert {reason for _verdict, reason, _flow, _objects in REASON_CASES} | elsewhere == set(REASONS)


def test_the_documentation_tells_every_reason() -> None:
    page = (Path(__file__).parents[4] / "docs" / "verdict.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("| `")][-len(REASONS) :] == [
        f"| `{code}` | {text} |" for code, text in REASONS.items()
    ]
