# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small world, rules and packets, and the answers of one rule alone and of many compiled ones."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import Rule, Store
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.rules import PROTOCOLS
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import (
    Packet,
    match_rule,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_table import RuleTable

from tests.unit import builders
from tests.unit.builders import Object

WORLD = [
    builders.network_set("office", labels={"set": "office"}, nets=["192.0.2.0/24", "fd02::/64"]),
    builders.network_set("lab", labels={"set": "lab"}, nets=["192.0.2.128/25"]),
    builders.resource(
        "HostEndpoint",
        "h",
        labels={"role": "db"},
        node="n",
        interfaceName="*",
        expectedIPs=["10.0.0.1", "fd00::1"],
        ports=[
            {"name": "web", "protocol": "TCP", "port": 8080},
            {"name": "dns", "protocol": "UDP", "port": 53},
        ],
    ),
    builders.endpoint_slice("s", "10.0.0.7", port=443, namespace="ns"),
]
PODS = [
    builders.resource("IPPool", "pool", cidr="10.244.0.0/16"),
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web"}},
        "status": {"podIP": "10.244.0.5"},
    },
]


def rules_of(*raw: Object) -> tuple[Rule, ...]:
    policy = builders.policy("p", ingress=[{"action": "Allow", **r} for r in raw])
    store = read([policy])
    assert store.policies, store.misreadings
    return store.policies[0].ingress


def packet(
    protocol: str = "tcp", source: str = "10.9.9.9", destination: str = "10.0.0.1", **rest: Any
) -> Packet:
    ends = [parse_address(text) for text in (source, destination)]
    assert ends[0]
    assert ends[1]
    given_ports = {"source_port": 40000, "destination_port": 80} if protocol in ("tcp", "udp", "sctp") else {}
    return Packet(ends[1].version, PROTOCOLS[protocol], ends[0], ends[1], **{**given_ports, **rest})


def matches(
    raw: Object, asked: Packet, nftables: bool = False, world: Optional[list[Object]] = None
) -> Optional[bool]:
    """The answer for one rule, after checking that the compiled form gives the same."""
    store = read(WORLD if world is None else world)
    (rule,) = rules_of(raw)
    answer = match_rule(rule, asked, AddressSets(store), nftables)
    assert compiled(store, (rule,), asked, nftables) == [answer]
    return answer


def compiled(store: Store, rules: tuple[Rule, ...], asked: Packet, nftables: bool) -> list[Optional[bool]]:
    sets = AddressSets(store)
    table = RuleTable(rules, asked.version, sets, nftables)
    certain, possible = table.matching(asked)
    assert certain & ~possible == 0
    answers: list[Optional[bool]] = []
    for index, rule in enumerate(rules):
        bit = 1 << index
        if possible & bit and table.special & bit:
            answers.append(match_rule(rule, asked, sets, nftables))
        else:
            answers.append(True if certain & bit else None if possible & bit else False)
    return answers
