# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules that several earlier ones leave nothing to match."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_address
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.shadowing import apart, shadow
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import (
    Packet,
    match_rule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import builders
from tests.unit.calico.lint.objects import entity, tcp


def read_rules_of(*raws):
    (found,) = read([builders.policy("p", selector="all()", ingress=list(raws))]).policies
    return found.ingress


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


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (tcp(["10.0.0.0/9"]), tcp(["10.128.0.0/9"]), True),
        (tcp(["10.0.0.0/8"]), tcp(["10.128.0.0/9"]), False),
        (tcp(["10.0.0.0/8"]), tcp(["fd00::/8"]), True),
        (tcp(ports=[80]), tcp(ports=["81:90"]), True),
        (tcp(ports=["1:80"]), tcp(ports=["80:90"]), False),
        (tcp(), tcp(protocol="UDP"), True),
        (tcp(), {"action": "Allow"}, False),
        # Which port a name stands for, each endpoint says.
        (tcp(ports=["web"]), tcp(ports=[80]), False),
    ],
)
def test_rules_that_no_packet_meets_both_of(one, other, found):
    first, second = read_rules_of(one, other)
    assert apart(first, second) is found
    assert apart(second, first) is found
