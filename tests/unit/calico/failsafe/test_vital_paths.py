# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which ways to and from a node its failsafes keep open."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.expectation import expect
from ansible_collections.hostfence.calico.plugins.module_utils.calico.failsafe.vital_paths import (
    VitalFacts,
    VitalPath,
    vital_paths,
)

from tests.unit import builders
from tests.unit.builders import V3
from tests.unit.calico.failsafe.objects import INTERFACES, hep, policy

NOTHING_KNOWN = VitalFacts()


def paths(objects: list[dict[str, Any]], facts: VitalFacts = NOTHING_KNOWN) -> dict[str, VitalPath]:
    found = vital_paths(expect(objects, "n1", INTERFACES), objects, facts)
    return {f"{path.name} {path.protocol}/{path.port} {path.peer}".strip(): path for path in found}


API = {
    "kind": "EndpointSlice",
    "metadata": {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"kubernetes.io/service-name": "kubernetes"},
    },
    "endpoints": [{"addresses": ["10.0.0.9"]}],
    "ports": [{"port": 443, "protocol": "TCP"}],
}


def test_an_api_on_443_is_not_covered_by_the_default_list() -> None:
    assert paths([hep("a", "*"), API])["api tcp/443 10.0.0.9"].status == "uncovered"


def test_dns_over_tcp_is_not_covered_and_a_moved_ssh_port_is_not() -> None:
    found = paths([hep("a", "*")], VitalFacts(dns=("10.0.0.10",), ssh=(2222,)))
    assert {name: path.status for name, path in found.items()} == {
        "ssh tcp/2222": "uncovered",
        "dns udp/53 10.0.0.10": "covered",
        "dns tcp/53 10.0.0.10": "uncovered",
    }


def test_ssh_is_open_to_everybody_only_where_policy_would_refuse_strangers() -> None:
    open_profile = {**hep("a", "*")}
    open_profile["spec"]["profiles"] = ["projectcalico-default-allow"]
    office = {"action": "Allow", "source": {"nets": ["203.0.113.0/24"]}}

    def is_open(**spec: Any) -> bool:
        return paths([open_profile, policy("p", **spec)])["ssh tcp/22"].open_to_everybody

    assert not paths([open_profile])["ssh tcp/22"].open_to_everybody
    assert paths([hep("a", "*")])["ssh tcp/22"].open_to_everybody, "no profile: nobody would get in"
    assert is_open(ingress=[office])
    assert is_open(preDNAT=True, applyOnForward=True, ingress=[{"action": "Deny"}])
    assert not is_open(ingress=[{"action": "Allow"}])
    assert not is_open(ingress=[office], types=["Egress"])
    assert not is_open(selector="!has(hep)")


def test_a_net_covers_partly() -> None:
    entry = {"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}
    limited = builders.felix_configuration(api=V3, failsafeInboundHostPorts=[entry])
    assert paths([hep("a", "*"), limited, policy("p")])["ssh tcp/22"].status == "partly"


def test_without_endpoint_nothing_is_filtered() -> None:
    assert {path.status for path in paths([API]).values()} == {"unfiltered"}
