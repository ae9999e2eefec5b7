# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules against packets: each condition, what is unknown, and many compiled rules against one at a time."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import Rule, Store
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.rules import PROTOCOLS
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict import rule_table
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import (
    Packet,
    match_rule,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_table import RuleTable
from hypothesis import given, settings
from hypothesis import strategies as st

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


V6 = packet(source="fd02::9", destination="fd00::1")
OFFICE = packet(source="192.0.2.7")


@pytest.mark.parametrize(
    ("rule", "asked", "answer"),
    [
        ({}, packet(), True),
        ({"protocol": "TCP"}, packet(), True),
        ({"protocol": "UDP"}, packet(), False),
        ({"protocol": 6}, packet(), True),
        ({"notProtocol": "TCP"}, packet(), False),
        ({"notProtocol": "UDP"}, packet(), True),
        ({"ipVersion": 4}, packet(), True),
        ({"ipVersion": 6}, packet(), False),
        # nets
        ({"source": {"nets": ["10.0.0.0/8"]}}, packet(), True),
        ({"source": {"nets": ["10.0.0.0/16"]}}, packet(), False),
        ({"source": {"notNets": ["10.0.0.0/8"]}}, packet(), False),
        ({"source": {"nets": ["10.0.0.0/8"], "notNets": ["10.9.0.0/16"]}}, packet(), False),
        ({"source": {"nets": ["10.0.0.0/8", "fd02::/16"]}}, V6, True),
        ({"source": {"nets": ["10.0.0.0/8"]}}, V6, False),
        ({"source": {"notNets": ["10.0.0.0/8"]}}, V6, False),
        ({"source": {"notNets": ["10.0.0.0/8", "fd09::/16"]}}, V6, True),
        ({"source": {"notNets": ["0.0.0.0/0"]}}, packet(), False),
        # ports
        ({"protocol": "TCP", "destination": {"ports": [80]}}, packet(), True),
        ({"protocol": "TCP", "destination": {"ports": [81, "70:90"]}}, packet(), True),
        ({"protocol": "TCP", "destination": {"ports": [81]}}, packet(), False),
        ({"protocol": "TCP", "destination": {"notPorts": [80]}}, packet(), False),
        ({"protocol": "TCP", "destination": {"ports": ["1:100"], "notPorts": [80]}}, packet(), False),
        ({"protocol": "TCP", "source": {"ports": [40000]}}, packet(), True),
        ({"protocol": "TCP", "destination": {"ports": [80]}}, packet(destination_port=None), None),
        ({"protocol": "TCP", "destination": {"ports": ["1:65535"]}}, packet(destination_port=None), True),
        ({"protocol": "TCP", "source": {"ports": ["1024:65535"]}}, packet(source_port=None), True),
        ({"protocol": "TCP", "source": {"ports": [22]}}, packet(source_port=None), False),
        ({"protocol": "TCP", "source": {"ports": [50000]}}, packet(source_port=None), None),
        ({"protocol": "TCP", "source": {"notPorts": [22]}}, packet(source_port=None), True),
        # selectors
        ({"source": {"selector": "set == 'office'"}}, OFFICE, True),
        ({"source": {"selector": "set == 'office'"}}, packet(), False),
        ({"source": {"selector": "set == 'office'"}}, V6, True),
        ({"source": {"notSelector": "set == 'office'"}}, packet(), True),
        ({"source": {"notSelector": "set == 'office'"}}, OFFICE, False),
        (
            {"source": {"selector": "has(set)", "notSelector": "set == 'lab'"}},
            packet(source="192.0.2.200"),
            True,
        ),
        ({"source": {"namespaceSelector": "global()"}}, OFFICE, True),
        ({"source": {"namespaceSelector": "all()"}}, OFFICE, False),
        ({"destination": {"selector": "role == 'db'"}}, packet(), True),
        ({"destination": {"selector": "all()"}}, packet(destination="10.0.0.2"), False),
        # named ports
        ({"protocol": "TCP", "destination": {"ports": ["web"]}}, packet(destination_port=8080), True),
        ({"protocol": "TCP", "destination": {"ports": ["web"]}}, packet(), False),
        ({"protocol": "TCP", "destination": {"ports": ["web", 80]}}, packet(), True),
        (
            {"protocol": "TCP", "destination": {"ports": ["web"]}},
            packet(destination="10.0.0.2", destination_port=8080),
            False,
        ),
        ({"protocol": "TCP", "destination": {"ports": ["dns"]}}, packet(destination_port=53), False),
        ({"destination": {"ports": ["dns"]}}, packet("udp", destination_port=53), True),
        ({"destination": {"ports": ["dns"]}}, packet("icmp", icmp_type=8), False),
        ({"protocol": "TCP", "destination": {"notPorts": ["web"]}}, packet(destination_port=8080), False),
        ({"protocol": "TCP", "destination": {"notPorts": ["web"]}}, packet(), True),
        (
            {"protocol": "TCP", "destination": {"ports": ["web"], "selector": "role == 'x'"}},
            packet(destination_port=8080),
            False,
        ),
        ({"protocol": "TCP", "destination": {"ports": ["web"]}}, packet(destination_port=None), None),
        # services
        (
            {"destination": {"services": {"name": "s", "namespace": "ns"}}},
            packet(destination="10.0.0.7", destination_port=443),
            True,
        ),
        (
            {"destination": {"services": {"name": "s", "namespace": "ns"}}},
            packet(destination="10.0.0.7"),
            False,
        ),
        ({"destination": {"services": {"name": "x", "namespace": "ns"}}}, packet(), None),
        ({"source": {"services": {"name": "s", "namespace": "ns"}}}, packet(source="10.0.0.7"), True),
        ({"source": {"services": {"name": "s", "namespace": "ns"}}}, packet(), False),
        # ICMP
        ({"protocol": "ICMP", "icmp": {"type": 8}}, packet("icmp", icmp_type=8, icmp_code=0), True),
        (
            {"protocol": "ICMP", "icmp": {"type": 8, "code": 1}},
            packet("icmp", icmp_type=8, icmp_code=0),
            False,
        ),
        ({"protocol": "ICMP", "icmp": {"type": 8}}, packet("icmp"), None),
        ({"protocol": "ICMP", "notICMP": {"type": 8}}, packet("icmp", icmp_type=8, icmp_code=0), False),
        (
            {"protocol": "ICMP", "notICMP": {"type": 8, "code": 1}},
            packet("icmp", icmp_type=8, icmp_code=0),
            True,
        ),
        ({"protocol": "ICMP"}, packet("icmpv6", "fd00::9", "fd00::1", icmp_type=128), False),
        (
            {"protocol": "ICMPv6", "icmp": {"type": 135}},
            packet("icmpv6", "fd00::9", "fd00::1", icmp_type=135),
            True,
        ),
        ({"http": {"methods": ["GET"]}}, packet(), True),
    ],
)
def test_rule(rule: Object, asked: Packet, answer: Optional[bool]) -> None:
    assert matches(rule, asked) is answer


def test_not_icmp_with_code_differs_on_nftables() -> None:
    rule = {"protocol": "ICMP", "notICMP": {"type": 8, "code": 1}}
    asked = packet("icmp", icmp_type=8, icmp_code=0)
    assert matches(rule, asked) is True
    assert matches(rule, asked, nftables=True) is False
    assert matches(rule, packet("icmp", icmp_type=9, icmp_code=0), nftables=True) is True


def test_labels_of_pods_that_nobody_described_are_unknown() -> None:
    world = [*WORLD, *PODS]
    web = {"source": {"selector": "app == 'web'"}}
    assert matches(web, packet(source="10.244.0.5"), world=world) is True
    assert matches(web, packet(source="10.244.0.6"), world=world) is None
    assert matches(web, packet(source="10.243.0.6"), world=world) is False
    assert (
        matches({"source": {"notSelector": "app == 'web'"}}, packet(source="10.244.0.6"), world=world) is None
    )
    env = {"source": {"namespaceSelector": "env == 'prod'"}}
    assert matches(env, packet(source="10.244.0.5"), world=world) is None
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "ns", "labels": {"env": "prod"}},
    }
    assert matches(env, packet(source="10.244.0.5"), world=[*world, namespace]) is True


def test_where_all_pods_are_known_nothing_is_unknown() -> None:
    store = read([*WORLD, *PODS])
    (rule,) = rules_of({"source": {"selector": "app == 'web'"}})
    assert match_rule(rule, packet(source="10.244.0.6"), AddressSets(store, complete=True)) is False


# -- the compiled form is the same function ---------------------------------------------------------

NETS = st.sampled_from(
    ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "192.0.2.0/25", "0.0.0.0/0", "fd00::/16", "fd02::/64"]
)
PORTS = st.sampled_from([22, 80, "1:79", "80:443", "50000:60000", "web", "dns"])
SELECTORS = st.sampled_from(
    ["set == 'office'", "has(set)", "role == 'db'", "all()", "app == 'web'", "!has(app)", "role == 'none'"]
)


def lists(of: Any) -> Any:
    return st.lists(of, min_size=1, max_size=3)


SIDES = st.fixed_dictionaries(
    {},
    optional={"nets": lists(NETS), "notNets": lists(NETS), "selector": SELECTORS, "notSelector": SELECTORS},
)
SIDES_WITH_PORTS = st.fixed_dictionaries(
    {},
    optional={
        "nets": lists(NETS),
        "selector": SELECTORS,
        "notSelector": SELECTORS,
        "ports": lists(PORTS),
        "notPorts": lists(PORTS),
    },
)
ICMPS = st.fixed_dictionaries(
    {"type": st.sampled_from([8, 128, 3])}, optional={"code": st.sampled_from([0, 4])}
)
RULES = st.one_of(
    st.fixed_dictionaries(
        {"source": SIDES, "destination": SIDES},
        optional={"ipVersion": st.sampled_from([4, 6]), "notProtocol": st.sampled_from(["TCP", "ICMP"])},
    ),
    st.fixed_dictionaries(
        {
            "protocol": st.sampled_from(["TCP", "UDP"]),
            "source": SIDES_WITH_PORTS,
            "destination": SIDES_WITH_PORTS,
        }
    ),
    st.fixed_dictionaries(
        {"protocol": st.sampled_from(["ICMP", "ICMPv6"]), "source": SIDES},
        optional={"icmp": ICMPS, "notICMP": ICMPS},
    ),
)
V4_ADDRESSES = st.sampled_from(
    ["10.0.0.1", "10.0.0.200", "10.9.9.9", "192.0.2.7", "192.0.2.200", "10.244.0.5", "10.244.9.9"]
)
V6_ADDRESSES = st.sampled_from(["fd00::1", "fd02::7", "fd09::1"])
MAYBE_PORT = st.sampled_from([None, 22, 53, 80, 8080, 443, 55555])


@st.composite
def packets(draw: Any) -> Packet:
    addresses = draw(st.sampled_from([V4_ADDRESSES, V6_ADDRESSES]))
    source, destination = draw(addresses), draw(addresses)
    protocol = draw(st.sampled_from(["tcp", "udp", "icmpv6" if ":" in source else "icmp"]))
    if protocol.startswith("icmp"):
        kind, code = draw(st.sampled_from([None, 8, 3, 128])), draw(st.sampled_from([None, 0, 4]))
        return packet(protocol, source, destination, icmp_type=kind, icmp_code=code)
    return packet(
        protocol, source, destination, source_port=draw(MAYBE_PORT), destination_port=draw(MAYBE_PORT)
    )


WORLD_WITH_PODS = read([*WORLD, *PODS])


@settings(max_examples=400, deadline=None)
@given(st.lists(RULES, min_size=1, max_size=6), packets(), st.booleans(), st.sampled_from([0, 1, 128]))
def test_many_rules_at_once_answer_as_each_alone(
    raws: list[Object], asked: Packet, nftables: bool, swept: int
) -> None:
    rules = rules_of(*raws)
    alone = [match_rule(rule, asked, AddressSets(WORLD_WITH_PODS), nftables) for rule in rules]
    with pytest.MonkeyPatch.context() as patched:
        # Small worlds would never reach the way that large sets of addresses take.
        patched.setattr(rule_table, "_SWEPT_ADDRESSES", swept)
        together = compiled(WORLD_WITH_PODS, rules, asked, nftables)
    for one, other in zip(alone, together):
        # Several unknowns at once may be known to exclude each other only in one of the two forms.
        assert one == other or (None in (one, other) and not (one or other))
