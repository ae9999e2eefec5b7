# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about what Felix misreads: each fires on its trap, and is silent on what is none."""

from __future__ import annotations

import json

import pytest

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.lint.objects import ALL, Case, felix, gnp, hep, ids_of, rule, rules_found


def annotated(labels: dict[str, str], kept: dict[str, str]) -> Object:
    made = hep()
    made["metadata"]["labels"] = labels
    made["metadata"]["annotations"] = {"projectcalico.org/metadata": json.dumps({"labels": kept})}
    return made


HINT = "AssumeNeededOnEveryNode"
PORT_BY_NUMBER = {"name": "http", "protocol": 6, "port": 80}


def accounts(name: str) -> Object:
    return rule(source={"serviceAccounts": {"names": [name]}})


CASES: list[Case] = [
    (
        "hidden-labels",
        [annotated({"role": "web"}, {"role": "db"})],
        [annotated({"role": "db", "x": "y"}, {"role": "db"})],
    ),
    ("invalid-net", [rule(source={"nets": ["10.0.0.0/33"]})], [rule(source={"nets": ["10.0.0.0/32"]})]),
    (
        "invalid-net",
        [builders.network_set("s", nets=["10.0.0"])],
        [builders.network_set("s", nets=["10.0.0.1"])],
    ),
    (
        "invalid-port",
        [rule(protocol="TCP", destination={"ports": [70000]})],
        [rule(protocol="TCP", destination={"ports": [65535]})],
    ),
    (
        "invalid-port",
        [rule(protocol="TCP", destination={"ports": ["90:80"]})],
        [rule(protocol="TCP", destination={"ports": ["80:90", "http-alt"]})],
    ),
    ("ports-without-protocol", [rule(destination={"ports": [80]})], [rule(destination={"ports": ["http"]})]),
    (
        "ports-without-protocol",
        [rule(protocol="ICMP", destination={"ports": ["http"]})],
        [rule(protocol="SCTP", destination={"ports": [80]})],
    ),
    ("invalid-selector", [gnp(selector="role = 'db'")], [gnp(selector="role == 'db'")]),
    ("invalid-selector", [rule(source={"selector": "has(x"})], [rule(source={"selector": "has(x)"})]),
    ("invalid-protocol", [rule(protocol="GRE")], [rule(protocol=47)]),
    (
        "invalid-icmp",
        [rule(protocol="ICMP", icmp={"type": 255})],
        [rule(protocol="ICMP", icmp={"type": 254, "code": 255})],
    ),
    ("invalid-address", [hep(expectedIPs=["10.0.0.1/24"])], [hep(expectedIPs=["10.0.0.1"])]),
    (
        "invalid-label",
        [{**hep(), "metadata": {"name": "h", "labels": {"a": "b/c"}}}],
        [{**hep(), "metadata": {"name": "h", "labels": {"a": "b-c"}}}],
    ),
    ("invalid-field", [hep(interfaceName="a-name-of-16-char")], [hep(interfaceName="a-name-of-15-ch")]),
    ("invalid-protocol", [hep(ports=[PORT_BY_NUMBER])], [hep(ports=[{**PORT_BY_NUMBER, "protocol": "TCP"}])]),
    ("invalid-field", [gnp(performanceHints=[HINT, HINT])], [gnp(performanceHints=[HINT])]),
    ("invalid-field", [gnp(ingress=[None])], [gnp(ingress=[ALL])]),
    ("invalid-field", [accounts("a'b")], [accounts("a-b")]),
    ("unknown-kind", [builders.resource("Globalnetworkpolicy", "p")], [builders.resource("BGPPeer", "p")]),
    ("unknown-field", [gnp(Ingress=[ALL])], [gnp()]),
    ("unknown-field", [rule(source={"cidrs": ["10.0.0.0/8"]})], [rule(source={"nets": ["10.0.0.0/8"]})]),
    ("unknown-field", [felix(FailsafeInboundHostPorts=[])], [felix(failsafeInboundHostPorts=[])]),
    (
        "unknown-field",
        [builders.resource("KubeControllersConfiguration", "default", controllers={"Node": {}})],
        [builders.resource("KubeControllersConfiguration", "default", controllers={"node": {}})],
    ),
    (
        "unknown-kind",
        [builders.resource("HostEndpoints", "p")],
        [builders.resource("Endpoints", "p", api="v1")],
    ),
    (
        "unknown-kind",
        [builders.resource("globalnetworkpolicy", "p", api="calico.org/v3")],
        [builders.resource("Tier", "p", api="example.com/v1")],
    ),
    ("unknown-field", [{**gnp(), "Spec": {}}], [{**gnp(), "status": {}}]),
    ("unknown-field", [{**hep(), "metadata": {"name": "h", "lables": {"a": "b"}}}], [hep()]),
    (
        "service-without-name",
        [rule(source={"services": {"namespace": "shop"}})],
        [rule(source={"services": {"name": "web", "namespace": "shop"}})],
    ),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)
