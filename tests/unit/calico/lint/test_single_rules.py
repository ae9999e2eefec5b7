# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about single rules of policies: each fires on its trap, and is silent on what is none."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.lint.objects import (
    ALL,
    AOF,
    BOTH,
    DENY_ALL,
    V4_DENY,
    Case,
    gnp,
    hep,
    ids_of,
    rule,
    rules_found,
)

V4_ALLOW = {
    "action": "Allow",
    "protocol": "TCP",
    "source": {"nets": ["10.0.0.0/8"]},
    "destination": {"ports": [80]},
}
V6_ALLOW = {**V4_ALLOW, "source": {"nets": ["fd00::/8"]}}
CODE = {"action": "Allow", "protocol": "ICMP", "notICMP": {"type": 3, "code": 4}}
UNTRACKED_IN = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [9091]}}


def untracked(ingress: Object, *egress: Object) -> Object:
    return gnp(doNotTrack=True, **AOF, types=BOTH, ingress=[ingress], egress=list(egress))


CASES: list[Case] = [
    ("one-family-allow", [gnp(ingress=[V4_ALLOW])], [gnp(ingress=[V4_ALLOW, V6_ALLOW])]),
    (
        "one-family-allow",
        [gnp(ingress=[V4_ALLOW, DENY_ALL])],
        [gnp(ingress=[{**V4_ALLOW, "ipVersion": 4}, DENY_ALL])],
    ),
    (
        "one-family-allow",
        [builders.tier("t", defaultAction="Deny"), gnp(tier="t", ingress=[V4_ALLOW])],
        [builders.tier("t", defaultAction="Pass"), gnp(tier="t", ingress=[V4_ALLOW])],
    ),
    (
        "one-family-deny",
        [gnp(ingress=[V4_DENY])],
        [gnp(ingress=[V4_DENY, {**V4_DENY, "source": {"nets": ["fd00::/8"]}}])],
    ),
    (
        "selector-without-addresses",
        [hep(expectedIPs=None), rule(source={"selector": "role == 'db'"})],
        [hep(), rule(source={"selector": "role == 'db'"})],
    ),
    ("unreachable-rule", [gnp(ingress=[ALL, V4_ALLOW])], [gnp(ingress=[V4_ALLOW, ALL])]),
    (
        "unreachable-rule",
        [gnp("a"), gnp("b", order=11, ingress=[V4_ALLOW])],
        [gnp("a", selector="role == 'web'"), gnp("b", order=11, ingress=[V4_ALLOW])],
    ),
    (
        "unreachable-rule",
        [gnp(ingress=[{"action": "Allow", "source": {"nets": ["10.0.0.0/8"]}}, V4_ALLOW])],
        [gnp(ingress=[{"action": "Allow", "source": {"nets": ["10.0.0.0/9"]}}, V4_ALLOW])],
    ),
    ("unreachable-rule", [gnp(ingress=[ALL, DENY_ALL])], [gnp(ingress=[{"action": "Log"}, DENY_ALL])]),
    ("icmp-code", [gnp(ingress=[CODE])], [gnp(ingress=[{**CODE, "notICMP": {"type": 3}}])]),
    ("icmp-protocol", [rule(icmp={"type": 8})], [rule(protocol="ICMP", icmp={"type": 8})]),
    (
        "icmp-protocol",
        [rule(protocol="ICMPv6", ipVersion=4, icmp={"type": 8})],
        [rule(protocol="ICMPv6", ipVersion=6, icmp={"type": 128})],
    ),
    ("http-on-host", [rule(http={"methods": ["GET"]})], [rule()]),
    (
        "http-on-host",
        [hep(), rule(http={"methods": ["GET"]})],
        [
            hep(),
            {
                **rule(http={"methods": ["GET"]}),
                "spec": {**rule(http={"methods": ["GET"]})["spec"], "selector": "app == 'web'"},
            },
        ],
    ),
    (
        "never-matches",
        [rule(ipVersion=6, source={"nets": ["10.0.0.0/8"]})],
        [rule(ipVersion=4, source={"nets": ["10.0.0.0/8"]})],
    ),
    (
        "never-matches",
        [rule(source={"nets": ["10.0.0.0/8"]}, destination={"nets": ["fd00::/8"]})],
        [rule(source={"nets": ["10.0.0.0/8"]}, destination={"nets": ["10.0.0.0/8"]})],
    ),
    ("never-matches", [rule(source={"notNets": ["::/0"]})], [rule(source={"notNets": ["::/1"]})]),
    (
        "service-without-namespace",
        [rule(source={"services": {"name": "web"}})],
        [rule(source={"services": {"name": "web", "namespace": "shop"}})],
    ),
    (
        "peer-not-found",
        [rule(source={"selector": "app == 'x'"})],
        [hep(), rule(source={"selector": "role == 'db'"})],
    ),
    (
        "untracked-one-direction",
        [untracked(UNTRACKED_IN)],
        [untracked(UNTRACKED_IN, {"action": "Allow", "protocol": "TCP", "source": {"ports": ["9000:9100"]}})],
    ),
    (
        "untracked-one-direction",
        [untracked(UNTRACKED_IN, {"action": "Allow", "protocol": "UDP", "source": {"ports": [9091]}})],
        [untracked(UNTRACKED_IN, ALL)],
    ),
    (
        "never-matches",
        [rule(source={"notNets": ["0.0.0.0/1", "128.0.0.0/1"]})],
        [rule(source={"notNets": ["0.0.0.0/1", "192.0.0.0/2"]})],
    ),
    (
        "never-matches",
        [rule(source={"nets": ["10.0.0.0/9"], "notNets": ["10.0.0.0/8"]})],
        [rule(source={"nets": ["10.0.0.0/8"], "notNets": ["10.0.0.0/9"]})],
    ),
    (
        "never-matches",
        [rule(protocol="TCP", destination={"ports": [80], "notPorts": ["70:90"]})],
        [rule(protocol="TCP", destination={"ports": [80, "web"], "notPorts": ["70:90"]})],
    ),
    ("never-matches", [rule(protocol="TCP", notProtocol=6)], [rule(protocol="TCP", notProtocol="UDP")]),
    (
        "never-matches",
        [rule(protocol="ICMP", icmp={"type": 8, "code": 0}, notICMP={"type": 8})],
        [rule(protocol="ICMP", icmp={"type": 8}, notICMP={"type": 8, "code": 0})],
    ),
    (
        "never-matches",
        [rule(protocol=58, source={"nets": ["10.0.0.0/8"]})],
        [rule(protocol=58, source={"nets": ["fd00::/8"]})],
    ),
    (
        "never-matches",
        [rule(source={"notSelector": "all()"})],
        [rule(source={"notSelector": "role == 'web'"})],
    ),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


def test_an_icmp_code_stops_felix_on_nftables_only() -> None:
    def severity(dataplane: str) -> list[str]:
        findings = lint([gnp(ingress=[CODE])], Options(dataplane=dataplane))
        return [found.severity for found in findings if found.id == "icmp-code"]

    assert severity("nftables") == ["error"]
    assert severity("iptables") == ["info"]
