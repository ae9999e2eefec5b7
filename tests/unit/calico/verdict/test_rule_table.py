# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many compiled rules answer as each alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict import rule_table
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.rule_match import (
    Packet,
    match_rule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import Object
from tests.unit.calico.verdict.matched import PODS, WORLD, compiled, packet, rules_of

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
