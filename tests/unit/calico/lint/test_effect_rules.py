# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about what becomes of packets: each fires on its trap, and is silent on what is none."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit.builders import Object
from tests.unit.calico.lint.objects import ALL, AOF, DENY_ALL, Case, gnp, hep, ids_of, rules_found, staged

LIVING = [
    {"action": "Allow", "protocol": "ICMPv6"},
    {"action": "Allow", "source": {"nets": ["127.0.0.0/8", "::1/128", "10.0.0.1/32", "fd00::1/128"]}},
]
OWN = [{"action": "Allow", "source": {"nets": ["127.0.0.0/8", "::1/128"]}}]


CASES: list[Case] = [
    (
        "deny-covers-loopback",
        [hep(), gnp(ingress=[DENY_ALL])],
        [hep(), gnp(ingress=[*LIVING, DENY_ALL])],
    ),
    ("deny-covers-loopback", [gnp(ingress=[DENY_ALL])], [gnp(ingress=[*LIVING, DENY_ALL])]),
    ("deny-covers-loopback", [hep(profiles=[])], [hep(profiles=[], interfaceName="eth0")]),
    ("deny-covers-loopback", [staged(ingress=[DENY_ALL])], [staged(ingress=[ALL])]),
    (
        "deny-covers-loopback",
        [hep(), gnp(preDNAT=True, **AOF, ingress=[DENY_ALL])],
        [
            hep(),
            gnp(
                preDNAT=True, **AOF, ingress=[{**DENY_ALL, "protocol": "TCP", "destination": {"ports": [80]}}]
            ),
        ],
    ),
    (
        "deny-without-neighbour-discovery",
        [hep(), gnp(ingress=[LIVING[1], DENY_ALL])],
        [hep(), gnp(ingress=[*LIVING, DENY_ALL])],
    ),
    (
        "deny-without-neighbour-discovery",
        [hep(), gnp(ingress=[{**DENY_ALL, "ipVersion": 6}])],
        [hep(), gnp(ingress=[{**DENY_ALL, "ipVersion": 4}, ALL])],
    ),
    (
        "prednat-denies-pods",
        [hep(), gnp(preDNAT=True, **AOF, ingress=[DENY_ALL])],
        [
            hep(),
            gnp(
                preDNAT=True,
                **AOF,
                ingress=[{"action": "Allow", "source": {"nets": ["10.244.0.0/16", "fd00::/8"]}}, DENY_ALL],
            ),
        ],
    ),
    (
        "prednat-denies-pods",
        [hep(), gnp(preDNAT=True, **AOF, ingress=[DENY_ALL])],
        [hep(interfaceName="eth0"), gnp(preDNAT=True, **AOF, ingress=[DENY_ALL])],
    ),
    ("deny-covers-loopback", [hep(), gnp(ingress=[*LIVING[:1], *OWN])], [hep(), gnp(ingress=LIVING)]),
]


@pytest.mark.parametrize(("name", "fires", "silent"), CASES, ids=ids_of(CASES))
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


def test_neighbour_discovery_is_an_error_where_ipv6_is_used() -> None:
    trap = gnp(ingress=[LIVING[1], DENY_ALL])

    def severity(*addresses: str) -> set[str]:
        findings = lint([hep(expectedIPs=list(addresses)), trap])
        return {found.severity for found in findings if found.id == "deny-without-neighbour-discovery"}

    assert severity("10.0.0.1") == {"warning"}
    assert severity("10.0.0.1", "fd00::1") == {"error"}


def test_nftables_does_not_judge_neighbour_discovery_that_leaves() -> None:
    trap = [hep(), gnp(types=["Egress"], ingress=None, egress=[LIVING[1], DENY_ALL])]
    name = "deny-without-neighbour-discovery"
    assert name in {found.id for found in lint(trap, Options(dataplane="iptables"))}
    assert name not in {found.id for found in lint(trap, Options(dataplane="nftables"))}
