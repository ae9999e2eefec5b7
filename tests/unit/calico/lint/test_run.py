# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each lint rule fires on its trap, and stays silent on the nearest thing that is none."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import (
    RULES,
    LintSurroundings,
    as_dicts,
    count_findings,
    errors_of,
    lint,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.shadowing import shadow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import (
    Packet,
    match_rule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import builders
from tests.unit.builders import V1, V3, Object

ALL = {"action": "Allow"}
BOTH = ["Ingress", "Egress"]
LIVING = [
    {"action": "Allow", "protocol": "ICMPv6"},
    {"action": "Allow", "source": {"nets": ["127.0.0.0/8", "::1/128", "10.0.0.1/32", "fd00::1/128"]}},
]


def hep(name: str = "n1-hep", **spec: Any) -> Object:
    given = {"node": "n1", "expectedIPs": ["10.0.0.1"], **spec}
    return builders.host_endpoint(name, labels={"role": "db"}, **given)


def gnp(name: str = "p", kind: str = "GlobalNetworkPolicy", api: str = V1, **spec: Any) -> Object:
    given = {"selector": "role == 'db'", "order": 10, "ingress": [ALL], **spec}
    return builders.policy(name, kind=kind, api=api, **given)


def staged(name: str = "s", **spec: Any) -> Object:
    return gnp(name, "StagedGlobalNetworkPolicy", **spec)


def rule(**fields: Any) -> Object:
    return gnp(ingress=[{"action": "Allow", **fields}])


def felix(**spec: Any) -> Object:
    return builders.felix_configuration(**spec)


def annotated(labels: dict[str, str], kept: dict[str, str]) -> Object:
    made = hep()
    made["metadata"]["labels"] = labels
    made["metadata"]["annotations"] = {"projectcalico.org/metadata": json.dumps({"labels": kept})}
    return made


WEB = {**hep(), "metadata": {"name": "a", "labels": {"env": "prod"}}}
ENTRY = {"protocol": "TCP", "port": 22}
OUTBOUND = [{"protocol": "UDP", "port": 53}]
API_SLICE = builders.endpoint_slice("kubernetes", "10.0.0.1", port=443)
DENY_ALL = {"action": "Deny"}
V4_ALLOW = {
    "action": "Allow",
    "protocol": "TCP",
    "source": {"nets": ["10.0.0.0/8"]},
    "destination": {"ports": [80]},
}
V6_ALLOW = {**V4_ALLOW, "source": {"nets": ["fd00::/8"]}}
V4_DENY = {"action": "Deny", "source": {"nets": ["10.0.0.0/8"]}}
CODE = {"action": "Allow", "protocol": "ICMP", "notICMP": {"type": 3, "code": 4}}
AOF = {"applyOnForward": True}

HINT = "AssumeNeededOnEveryNode"
PORT_BY_NUMBER = {"name": "http", "protocol": 6, "port": 80}
UNTRACKED_IN = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [9091]}}
OWN = [{"action": "Allow", "source": {"nets": ["127.0.0.0/8", "::1/128"]}}]


EXPORTER = {
    "action": "Allow",
    "protocol": "TCP",
    "source": {"nets": ["192.0.2.0/24"]},
    "destination": {"ports": [9100]},
}
SSH_FROM_OFFICE = {**EXPORTER, "destination": {"ports": [22]}}
DENY_SSH_FROM_INSIDE = gnp(
    ingress=[
        {**EXPORTER, "action": "Deny", "source": {"nets": ["10.1.0.0/16"]}, "destination": {"ports": [22]}}
    ]
)
LOCKDOWN = [SSH_FROM_OFFICE, {"action": "Deny"}]
FIRST_TIER = builders.tier("first", order=1)
PASS_DNS = {"action": "Pass", "protocol": "UDP", "destination": {"ports": [53]}}
PASS_TCP = {"action": "Pass", "protocol": "TCP"}


def accounts(name: str) -> Object:
    return rule(source={"serviceAccounts": {"names": [name]}})


def untracked(ingress: Object, *egress: Object) -> Object:
    return gnp(doNotTrack=True, **AOF, types=BOTH, ingress=[ingress], egress=list(egress))


# rule, what fires it, the near miss
CASES: list[tuple[str, list[Object], list[Object]]] = [
    ("v1-empty-types", [gnp(types=None)], [gnp(types=None, api=V3)]),
    ("v1-empty-types", [gnp(types=[], egress=[ALL])], [gnp()]),
    (
        "negative-namespace-selector",
        [hep(), gnp(namespaceSelector="env != 'prod'")],
        [hep(), gnp(namespaceSelector="has(env) && env != 'prod'")],
    ),
    (
        "negative-namespace-selector",
        [gnp(selector="", namespaceSelector="!has(env)")],
        [gnp(namespaceSelector="all()")],
    ),
    # Not only of the first group of host endpoints.
    (
        "negative-namespace-selector",
        [WEB, hep(), gnp(selector="role == 'db' && projectcalico.org/namespace != 'kube-system'")],
        [WEB, hep(), gnp(selector="has(role) || projectcalico.org/namespace == 'kube-system'")],
    ),
    # No pod is without a namespace: hosts are meant.
    (
        "negative-namespace-selector",
        [hep(), gnp(selector="!(projectcalico.org/namespace in {'a', 'b'})")],
        [hep(), gnp(selector="!has(projectcalico.org/namespace) && role == 'db'")],
    ),
    ("selects-hosts-too", [gnp(selector="all()")], [gnp(selector="all()", namespaceSelector="all()")]),
    ("selects-hosts-too", [gnp(selector="")], [gnp(selector="has(role)")]),
    ("selects-hosts-too", [gnp(selector="all()")], [gnp(selector="all()", preDNAT=True, **AOF)]),
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
        "equal-order",
        [gnp("a"), gnp("b", ingress=[DENY_ALL])],
        [gnp("a"), gnp("b", order=11, ingress=[DENY_ALL])],
    ),
    ("equal-order", [gnp("a", order=None), gnp("b", order=None, ingress=[DENY_ALL])], [gnp("a"), gnp("b")]),
    (
        "equal-order",
        [hep(), gnp("a"), gnp("b", ingress=[DENY_ALL])],
        [hep(), gnp("a"), gnp("b", selector="role == 'web'", ingress=[DENY_ALL])],
    ),
    ("early-without-forward", [gnp(preDNAT=True)], [gnp(preDNAT=True, **AOF)]),
    ("early-without-forward", [gnp(doNotTrack=True)], [gnp(doNotTrack=True, **AOF)]),
    ("prednat-with-egress", [gnp(preDNAT=True, **AOF, types=BOTH)], [gnp(preDNAT=True, **AOF)]),
    ("prednat-with-egress", [gnp(preDNAT=True, **AOF, egress=[ALL])], [gnp(types=BOTH, egress=[ALL])]),
    ("prednat-and-untracked", [gnp(preDNAT=True, doNotTrack=True, **AOF)], [gnp(preDNAT=True, **AOF)]),
    (
        "untracked-on-wildcard",
        [hep(), gnp(doNotTrack=True, **AOF)],
        [hep(interfaceName="eth0"), gnp(doNotTrack=True, **AOF)],
    ),
    ("wildcard-collision", [hep("a"), hep("b")], [hep("a"), hep("b", node="n2")]),
    ("wildcard-collision", [hep("a"), hep("b")], [hep("a"), hep("b", interfaceName="eth0")]),
    (
        "interface-collision",
        [hep("a", interfaceName="eth0"), hep("b", interfaceName="eth0")],
        [hep("a"), hep("b")],
    ),
    (
        "selector-without-addresses",
        [hep(expectedIPs=None), rule(source={"selector": "role == 'db'"})],
        [hep(), rule(source={"selector": "role == 'db'"})],
    ),
    ("endpoint-without-profile", [hep(profiles=None)], [hep()]),
    ("endpoint-profile-missing", [hep(profiles=["gone"])], [hep(profiles=["kns.default"])]),
    ("endpoint-unselected", [hep(), gnp(selector="role == 'web'")], [hep(), gnp()]),
    ("endpoint-unselected", [hep(), staged()], [hep(), staged(), gnp()]),
    ("policy-selects-nothing", [hep(), gnp(selector="role == 'web'")], [hep(), gnp()]),
    ("policy-selects-nothing", [hep(), gnp(selector="role == 'web'")], [gnp(selector="role == 'web'")]),
    ("missing-tier", [gnp(tier="t")], [gnp(tier="t"), builders.tier("t", order=1)]),
    ("missing-tier", [gnp(tier="t")], [gnp(tier="default")]),
    ("lone-enforced", [gnp("a"), staged("b")], [gnp("a"), staged("b"), gnp("c", order=11)]),
    (
        "lone-enforced",
        [gnp("a"), staged("b")],
        [gnp("a", tier="t"), staged("b", tier="t"), builders.tier("t", defaultAction="Pass")],
    ),
    ("forward-one-direction", [gnp(**AOF)], [gnp(**AOF, types=BOTH, egress=[ALL])]),
    ("forward-one-direction", [hep(), gnp(**AOF)], [hep(), gnp(preDNAT=True, **AOF)]),
    # The same set as preDNAT policy, with an order before the deny, is asked first.
    (
        "allow-behind-deny",
        [gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF), gnp("own", order=5, ingress=[EXPORTER])],
        [
            gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF),
            gnp("own", order=5, ingress=[EXPORTER], preDNAT=True, **AOF),
        ],
    ),
    # What the lockdown allows itself is not denied by it.
    (
        "allow-behind-deny",
        [gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF), gnp("own", ingress=[EXPORTER])],
        [gnp("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF), gnp("own", ingress=[SSH_FROM_OFFICE])],
    ),
    # The end of an earlier tier denies all that its policies select.
    (
        "allow-behind-deny",
        [FIRST_TIER, gnp("a", tier="first", ingress=[SSH_FROM_OFFICE]), gnp("own", ingress=[EXPORTER])],
        [
            builders.tier("first", order=1, defaultAction="Pass"),
            gnp("a", tier="first", ingress=[SSH_FROM_OFFICE]),
            gnp("own", ingress=[EXPORTER]),
        ],
    ),
    # A Pass that such packets may meet leads past the rest of its tier; one of another port does not.
    (
        "allow-behind-deny",
        [FIRST_TIER, gnp("a", tier="first", ingress=[PASS_DNS, DENY_ALL]), gnp("own", ingress=[EXPORTER])],
        [FIRST_TIER, gnp("a", tier="first", ingress=[PASS_TCP, DENY_ALL]), gnp("own", ingress=[EXPORTER])],
    ),
    # A policy of other host endpoints denies nothing here; known host endpoints tell.
    (
        "allow-behind-deny",
        [hep(), FIRST_TIER, gnp("a", tier="first", selector="has(role)", ingress=[DENY_ALL]), gnp("own")],
        [hep(), FIRST_TIER, gnp("a", tier="first", selector="has(zone)", ingress=[DENY_ALL]), gnp("own")],
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
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "10.0.0.0/8"}]), DENY_SSH_FROM_INSIDE],
        [felix(failsafeInboundHostPorts=[{**ENTRY, "net": "192.0.2.0/24"}]), DENY_SSH_FROM_INSIDE],
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
    (
        "unknown-kind",
        [builders.resource("HostEndpoints", "p")],
        [builders.resource("Endpoints", "p", api="v1")],
    ),
    # An API that does not have the kind, unless another program has one of that name.
    (
        "unknown-kind",
        [builders.resource("globalnetworkpolicy", "p", api="calico.org/v3")],
        [builders.resource("Tier", "p", api="example.com/v1")],
    ),
    ("unknown-field", [{**gnp(), "Spec": {}}], [{**gnp(), "status": {}}]),
    ("unknown-field", [{**hep(), "metadata": {"name": "h", "lables": {"a": "b"}}}], [hep()]),
    ("unknown-field", [gnp(Ingress=[ALL])], [gnp()]),
    ("unknown-field", [rule(source={"cidrs": ["10.0.0.0/8"]})], [rule(source={"nets": ["10.0.0.0/8"]})]),
    ("unknown-field", [felix(FailsafeInboundHostPorts=[])], [felix(failsafeInboundHostPorts=[])]),
    (
        "unknown-field",
        [builders.resource("KubeControllersConfiguration", "default", controllers={"Node": {}})],
        [builders.resource("KubeControllersConfiguration", "default", controllers={"node": {}})],
    ),
    ("refused-by-api", [gnp(api=V3, types=["ingress"])], [gnp(api=V3)]),
    ("refused-by-api", [gnp(api=V3, types=["Ingress"] * 2)], [gnp(types=["Ingress"] * 2)]),
    (
        "refused-by-api",
        [builders.resource("HostEndpoint", "h", api=V3, node="n")],
        [builders.resource("HostEndpoint", "h", api=V3, node="n", interfaceName="*")],
    ),
    (
        "refused-by-api",
        [builders.resource("KubeControllersConfiguration", "default", api=V3)],
        [builders.resource("KubeControllersConfiguration", "default", api=V3, controllers={})],
    ),
    (
        "negative-selector",
        [hep(), gnp(selector="env != 'prod'")],
        [hep(), gnp(selector="role != 'web' && has(role)")],
    ),
    (
        "negative-selector",
        [gnp(selector="!has(quarantine)")],
        [gnp(selector="has(role) && !has(quarantine)")],
    ),
    (
        "negative-namespace-selector",
        [hep(), gnp(selector="projectcalico.org/namespace not in {'a', 'b'}")],
        [hep(), gnp(selector="projectcalico.org/namespace in {'a', 'b'}")],
    ),
    (
        "negative-namespace-selector",
        [gnp(selector="", serviceAccountSelector="name != 'x'")],
        [gnp(selector="", serviceAccountSelector="name == 'x'")],
    ),
    ("never-allows", [gnp(ingress=[{"action": "Log"}])], [gnp(ingress=[{"action": "Log"}, ALL])]),
    ("never-allows", [gnp(ingress=[V4_DENY])], [gnp(ingress=[DENY_ALL])]),
    ("never-allows", [gnp(ingress=[V4_DENY])], [gnp(ingress=[V4_DENY]), gnp("b", order=11)]),
    ("never-allows", [gnp(ingress=[V4_DENY])], [gnp(ingress=[V4_DENY], preDNAT=True, **AOF)]),
    ("rules-not-in-types", [gnp(egress=[ALL])], [gnp(egress=[ALL], types=BOTH)]),
    ("global-selector", [gnp(selector="global()")], [rule(source={"namespaceSelector": "global()"})]),
    ("global-selector", [gnp(selector="role == 'db' && global( )")], [gnp(selector="role == 'global()'")]),
    ("global-selector", [rule(source={"selector": "global()"})], [rule(source={"selector": "all()"})]),
    ("global-selector", [rule(destination={"notSelector": "global()"})], [rule()]),
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
    (
        "service-without-name",
        [rule(source={"services": {"namespace": "shop"}})],
        [rule(source={"services": {"name": "web", "namespace": "shop"}})],
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
]


def rules_found(objects: list[Object]) -> set[str]:
    return {finding.id for finding in lint(objects)}


@pytest.mark.parametrize(
    ("name", "fires", "silent"), CASES, ids=[f"{index}-{case[0]}" for index, case in enumerate(CASES)]
)
def test_rule(name: str, fires: list[Object], silent: list[Object]) -> None:
    assert name in rules_found(fires)
    assert name not in rules_found(silent)


def test_every_rule_has_a_case() -> None:
    elsewhere = {"known-fault"}  # test_known_faults.py
    assert {name for name, _fires, _silent in CASES} | elsewhere == set(RULES)


def test_the_documentation_tells_every_rule() -> None:
    page = (Path(__file__).parents[4] / "docs" / "lint.md").read_text()
    told = {
        line.split("`")[1]: line.rsplit("| ", 1)[1][:-2]
        for line in page.splitlines()
        if line.startswith("| `")
    }
    assert told == dict(RULES)


def test_findings_say_which_object_which_field_and_what_to_do() -> None:
    (finding,) = [found for found in lint([gnp(types=None)]) if found.id == "v1-empty-types"]
    assert finding.as_dict() == {
        "id": "v1-empty-types",
        "severity": "error",
        "object": "GlobalNetworkPolicy p",
        "field": "spec.types",
        "message": "no types in a v1 object means Ingress and Egress: egress is governed without any rule, "
        "so the end of the tier decides it",
        "remedy": "write types: [Ingress], or [Ingress, Egress] if both are meant",
        "family": "",
        "table": "",
        "chain": "",
    }


def test_errors_come_first_and_are_counted() -> None:
    findings = lint([hep(), gnp(ingress=[DENY_ALL], selector="all()"), gnp("q", selector="x = 1")])
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert count_findings(findings)["error"] == len(errors_of(findings)) > 0
    assert as_dicts(findings)[0]["severity"] == "error"


def test_focus_leaves_other_objects_out() -> None:
    objects = [gnp("a", types=None), gnp("b", types=None)]
    findings = lint(objects, focus={"GlobalNetworkPolicy b"})
    assert {finding.object for finding in findings} == {"GlobalNetworkPolicy b"}


def test_a_staged_policy_is_named_as_what_it_is() -> None:
    found = [
        finding for finding in lint([staged(ingress=[DENY_ALL])]) if finding.id == "deny-covers-loopback"
    ]
    assert {finding.object for finding in found} == {"StagedGlobalNetworkPolicy s"}


def test_order_of_the_objects_does_not_matter() -> None:
    objects = [hep(), gnp("a", selector="all()"), gnp("b", ingress=[DENY_ALL]), staged("c")]
    assert lint(objects) == lint(list(reversed(objects)))


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


def test_an_icmp_code_stops_felix_on_nftables_only() -> None:
    def severity(dataplane: str) -> list[str]:
        findings = lint([gnp(ingress=[CODE])], Options(dataplane=dataplane))
        return [found.severity for found in findings if found.id == "icmp-code"]

    assert severity("nftables") == ["error"]
    assert severity("iptables") == ["info"]


def test_forward_in_one_direction_is_harmless_before_3_29() -> None:
    trap = [hep(), gnp(**AOF)]
    assert "forward-one-direction" not in {
        found.id for found in lint(trap, Options(calico_version="v3.28.2"))
    }
    assert "forward-one-direction" in {found.id for found in lint(trap, Options(calico_version="v3.29.0"))}


def test_the_ports_of_this_site_are_asked_for() -> None:
    around = LintSurroundings(ssh_ports=(2222,), api_ports=(8443,))
    messages = " ".join(found.message for found in lint([hep()], surroundings=around))
    assert "tcp/2222 (SSH)" in messages
    assert "tcp/8443 (the API server)" in messages


# -- rules that several earlier ones leave nothing to match ----------------------------------------


def entity(**fields):
    return {key: value for key, value in fields.items() if value}


def read_rules_of(*raws):
    (found,) = read([builders.policy("p", selector="all()", ingress=list(raws))]).policies
    return found.ingress


def tcp(nets=(), ports=(), not_nets=(), **more):
    side = {
        "source": entity(nets=list(nets), notNets=list(not_nets)),
        "destination": entity(ports=list(ports)),
    }
    return {"action": "Allow", "protocol": "TCP", **side, **more}


HALVES = ["10.0.0.0/9"], ["10.128.0.0/9"]
ALL_V6 = ["::/1", "8000::/1"]


@pytest.mark.parametrize(
    ("earlier", "rule", "hidden"),
    [
        ([tcp(HALVES[0]), tcp(HALVES[1])], tcp(["10.0.0.0/8"]), True),
        ([tcp(HALVES[0]), tcp(HALVES[1])], tcp(["10.0.0.0/7"]), False),
        ([tcp(ports=["1:100"]), tcp(ports=["101:65535"])], tcp(), True),
        ([tcp(ports=["1:100"]), tcp(ports=["102:65535"])], tcp(), False),
        (
            [tcp(HALVES[0], ["1:99"]), tcp(HALVES[0], ["100:200"]), tcp(HALVES[1])],
            tcp(["10.0.0.0/8"], [80, 150]),
            True,
        ),
        ([tcp(HALVES[0], ["1:99"]), tcp(HALVES[1])], tcp(["10.0.0.0/8"], [80, 150]), False),
        # A rule of both families has to be hidden in both.
        ([tcp(["0.0.0.0/0"]), tcp(ALL_V6)], tcp(), True),
        ([tcp(["0.0.0.0/0"])], tcp(), False),
        ([tcp(not_nets=["10.0.0.0/8"]), tcp(["10.0.0.0/8"]), tcp(ALL_V6)], tcp(), True),
        ([tcp(not_nets=["10.0.0.0/7"]), tcp(["10.0.0.0/8"]), tcp(ALL_V6)], tcp(), False),
        ([tcp(ports=["web", 80])], tcp(ports=["web"]), True),
        ([tcp(ports=["1:65535"])], tcp(ports=["web"]), True),
        ([tcp(ports=[80])], tcp(ports=["web"]), False),
        ([tcp(HALVES[0]), tcp(HALVES[1], protocol="UDP")], tcp(["10.0.0.0/8"]), False),
        ([tcp(source={"domains": ["example.com"]})], tcp(["192.0.2.0/24"]), False),
    ],
)
def test_several_rules_together_hide_one(earlier, rule, hidden):
    *before, last = read_rules_of(*earlier, rule)
    assert (shadow(last, before) is not None) is hidden


def test_the_rules_that_hide_are_named_and_no_others():
    rules = [tcp(HALVES[0]), tcp(["192.0.2.0/24"]), tcp(HALVES[1]), tcp(["10.0.0.0/8"])]
    policy = builders.policy("p", selector="all()", ingress=rules)
    (found,) = [finding for finding in lint([policy]) if finding.id == "unreachable-rule"]
    assert found.field == "spec.ingress[3]"
    assert found.message.endswith("decided by p ingress[0], p ingress[2]")


some_nets = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "0.0.0.0/0", "::/0", "fd00::/9"]),
    max_size=2,
)
some_ports = st.lists(st.sampled_from([1, 80, "1:80", "81:65535", "60:90", "web"]), max_size=2)


@st.composite
def raw_rules(draw):
    rule = {"action": "Allow", "protocol": draw(st.sampled_from(["TCP", "UDP"]))}
    if draw(st.integers(0, 4)) == 0:
        rule["notProtocol"] = "SCTP"
    for side in ("source", "destination"):
        rule[side] = entity(
            nets=draw(some_nets),
            notNets=draw(some_nets) if draw(st.booleans()) else [],
            ports=draw(some_ports) if side == "destination" else [],
            notPorts=draw(some_ports) if draw(st.integers(0, 4)) == 0 else [],
            selector=draw(st.sampled_from(["", "", "has(x)", "has(y)"])),
        )
    return rule


@settings(max_examples=200, deadline=None)
@given(st.lists(raw_rules(), min_size=2, max_size=6))
def test_what_is_called_unreachable_matches_nothing_that_earlier_rules_do_not(raws):
    *before, last = read_rules_of(*raws)
    hiding = shadow(last, before)
    if hiding is None:
        return
    heps = [
        builders.host_endpoint(
            name,
            node="n",
            labels={name: ""},
            profiles=None,
            expectedIPs=addresses,
            ports=[{"name": "web", "protocol": "TCP", "port": port}],
        )
        for name, addresses, port in (("x", ["10.0.0.1", "fd00::1"], 80), ("y", ["10.200.0.1"], 81))
    ]
    sets = AddressSets(read(heps))
    addresses = {4: ["10.0.0.1", "10.200.0.1", "192.0.2.1"], 6: ["fd00::1", "fd80::1", "2001:db8::1"]}
    for version, texts in addresses.items():
        for source, destination, port in itertools.product(texts, texts, (1, 70, 80, 81, 95)):
            for protocol in (6, 17):
                ends = parse_address(source), parse_address(destination)
                packet = Packet(version, protocol, *ends, 40000, port)
                if match_rule(last, packet, sets):
                    assert any(match_rule(hider, packet, sets) for hider in hiding), packet


# -- host endpoints that do not exist yet -----------------------------------------------------------


def test_a_narrower_selector_is_joined_by_the_wider_ones_that_hold_for_it_too():
    """Of a control-plane host the policies of all hosts speak as well; none denies loopback here."""
    local = {"action": "Allow", "source": {"nets": ["127.0.0.0/8", "::1/128"]}}
    discovery = {"action": "Allow", "protocol": "ICMPv6"}
    objects = [
        builders.policy("all-hosts", order=1, selector="host == 'yes'", ingress=[local, discovery]),
        builders.policy(
            "masters", order=2, selector="(host == 'yes') && has(master)", ingress=[tcp(ports=[6443])]
        ),
    ]
    assert not [finding for finding in lint(objects) if finding.id.startswith("deny")]
    alone = lint(objects[1:])
    assert {finding.id for finding in alone} >= {"deny-covers-loopback", "deny-without-neighbour-discovery"}


# -- an allow that stands behind a deny ---------------------------------------------------------------


def behind(objects):
    return [finding for finding in lint(objects) if finding.id == "allow-behind-deny"]


def test_the_remedy_of_an_allow_behind_a_lockdown_can_be_followed():
    lockdown = gnp("lockdown", order=500, ingress=LOCKDOWN, preDNAT=True, tier="first", **AOF)
    own = gnp("own", order=50, ingress=[EXPORTER], types=BOTH, egress=[ALL])
    (found,) = behind([FIRST_TIER, lockdown, own])
    assert (found.object, found.field) == ("GlobalNetworkPolicy own", "spec.ingress[0]")
    assert "denied before DNAT, by GlobalNetworkPolicy lockdown ingress[1]" in found.message
    assert found.remedy == (
        "move the ingress rules into a policy of their own with tier: first, preDNAT: true, "
        "applyOnForward: true, types: [Ingress] and an order below 500"
    )
    followed = gnp("own-in", order=50, ingress=[EXPORTER], preDNAT=True, tier="first", **AOF)
    assert not behind([FIRST_TIER, lockdown, followed])
    # One that is asked after it stays behind, and is told so by the rule for one tier.
    late = gnp("own-in", order=501, ingress=[EXPORTER], preDNAT=True, tier="first", **AOF)
    (found,) = [one for one in lint([FIRST_TIER, lockdown, late]) if one.id == "unreachable-rule"]
    assert found.remedy == "remove it, or give the policy an order below 500, that of lockdown"


def test_the_remedy_of_an_allow_behind_a_tier_can_be_followed():
    first = gnp("a", order=7, tier="first", ingress=[{**EXPORTER, "action": "Deny"}, ALL])
    (found,) = behind([FIRST_TIER, first, gnp("own", ingress=[EXPORTER])])
    assert (
        "in tier first, which comes before tier default, by GlobalNetworkPolicy a ingress[0]" in found.message
    )
    assert found.remedy.startswith(
        "write here tier: first, and an order below 7; or put a rule {action: Pass}"
    )
    assert not behind([FIRST_TIER, first, gnp("own", order=6, tier="first", ingress=[EXPORTER])])
    passing = gnp(
        "a", order=7, tier="first", ingress=[{**EXPORTER, "action": "Pass"}, first["spec"]["ingress"][0]]
    )
    assert not behind([FIRST_TIER, passing, gnp("own", ingress=[EXPORTER])])
    # So can that of the end of a tier.
    (found,) = behind(
        [FIRST_TIER, gnp("a", tier="first", ingress=[SSH_FROM_OFFICE]), gnp("own", ingress=[EXPORTER])]
    )
    assert "the end of tier first" in found.message
    ended = gnp("a", tier="first", ingress=[SSH_FROM_OFFICE, {"action": "Pass"}])
    assert not behind([FIRST_TIER, ended, gnp("own", ingress=[EXPORTER])])


def test_a_staged_lockdown_counts_as_it_will_be():
    lockdown = staged("lockdown", ingress=LOCKDOWN, preDNAT=True, **AOF)
    (found,) = behind([lockdown, gnp("own", ingress=[EXPORTER])])
    assert "StagedGlobalNetworkPolicy lockdown" in found.message
