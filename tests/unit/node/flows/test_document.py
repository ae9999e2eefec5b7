# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Observed flows, as a node sees them in one direction each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional, cast

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import document
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.conntrack import FlowKey, Known
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.document import Legs
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.flow_table import Observed, Opener
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.routes import Routes
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.sockets import Owner, SocketOwners

OWN, PEER, POD, MANY = "10.0.0.1", "192.0.2.9", "10.244.0.5", "224.0.0.18"


def packed(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


@dataclass
class Node:
    """A node with one address on eth0, pods behind cali1, and lo: what its tables say."""

    interfaces: dict[int, str] = field(default_factory=lambda: {1: "lo", 2: "eth0", 3: "cali1"})

    def is_own(self, address: bytes) -> bool:
        return address in (packed(OWN), packed("127.0.0.1"))

    def is_for_many(self, address: bytes) -> bool:
        return address == packed(MANY)

    def towards(self, address: bytes) -> str:
        return "cali1" if address == packed(POD) else "eth0"


@dataclass
class Listeners:
    """Who listens where, and whose a control group is."""

    def of_listener(self, protocol: int, _address: bytes, port: int) -> Optional[Owner]:
        return Owner("sshd.service", "", "sshd", 0) if (protocol, port) == (6, 22) else None

    def of_group(self, group: int, uid: int) -> Optional[Owner]:
        return Owner(f"unit-{group}", "", "", uid) if group else None


ROUTES = cast(Routes, Node())
OWNERS = cast(SocketOwners, Listeners())


def flow(source: str, destination: str, port: Optional[int] = 443, protocol: int = 6, **more: Any) -> FlowKey:
    return FlowKey(
        packed(source),
        packed(destination),
        packed(more.pop("original", destination)),
        protocol,
        port,
        more.pop("original_port", port),
        more.pop("icmp", None),
        more.pop("kept_bits", None),
    )


def noted(hook: str, asked: FlowKey, incoming: int = 0, outgoing: int = 0, packets: int = 1) -> Observed:
    return Observed(
        hook,
        incoming,
        outgoing,
        asked.protocol,
        asked.source,
        asked.destination,
        asked.port,
        asked.icmp,
        asked.original_destination,
        asked.original_port,
        packets,
        asked.kept_bits,
    )


def connected(*flows: FlowKey, legs: Legs = (), in_window: bool = False, **known: Any) -> Legs:
    given = {one: Known(**{"count": 1, "replied": True, **known}) for one in flows}
    return list(document.with_connections(legs, given, ROUTES, in_window=in_window))


def ways(legs: Legs) -> list[tuple[str, str, str]]:
    return [(key.direction, key.interface, key.out_interface) for key, _leg in legs]


def records(legs: Legs, *openers: Opener) -> list[dict[str, Any]]:
    return list(document.records(legs, OWNERS, openers))


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        (PEER, OWN, [("ingress", "eth0", "")]),
        (OWN, PEER, [("egress", "eth0", "")]),
        (PEER, POD, [("forward", "eth0", "cali1")]),
        (PEER, MANY, [("ingress", "eth0", "")]),
        (OWN, MANY, [("egress", "eth0", "")]),
        (OWN, "127.0.0.1", [("egress", "lo", ""), ("ingress", "lo", "")]),
    ],
)
def test_where_the_packets_of_a_connection_pass(source: str, destination: str, expected: Any) -> None:
    assert ways(connected(flow(source, destination))) == expected


def test_at_a_hook_the_kernel_named_the_interface() -> None:
    legs = list(
        document.from_table(
            [
                noted("input", flow(PEER, OWN, 22), incoming=2),
                noted("postrouting", flow(OWN, PEER), outgoing=2),
                noted("forward", flow(PEER, POD), incoming=2, outgoing=3),
                noted("input", flow(PEER, OWN, 23), incoming=99),
            ],
            ROUTES,
        )
    )
    assert ways(legs) == [
        ("ingress", "eth0", ""),
        ("egress", "eth0", ""),
        ("forward", "eth0", "cali1"),
        ("ingress", "", ""),
    ]
    assert ["interface" in record["flow"] for record in records(legs)] == [True, True, True, False]


def test_over_loopback_the_way_in_sees_the_translated_destination_only_and_both_legs_are_a_pair() -> None:
    service = flow(OWN, "127.0.0.1", 8443, original="10.96.0.1", original_port=443)
    other = flow(OWN, "127.0.0.1", 9000)
    egress, ingress = sorted(
        (r for r in records(connected(service, other)) if r["flow"]["destination_port"] == 8443),
        key=lambda r: r["flow"]["direction"],
    )
    assert egress["flow"]["original_destination"] == "10.96.0.1"
    assert egress["flow"]["original_destination_port"] == 443
    assert "original_destination" not in ingress["flow"]
    pairs = [r["all_of"] for r in records(connected(service, other))]
    assert egress["all_of"] == ingress["all_of"]
    assert sorted(pairs) == [0, 0, 1, 1]
    assert [r["all_of"] for r in records(connected(flow(OWN, PEER)))] == [None]


def test_what_a_window_saw_gets_its_answer_and_what_it_did_not_see_is_older() -> None:
    seen, before = flow(PEER, OWN, 22), flow(PEER, OWN, 80)
    legs = document.from_table([noted("input", seen, incoming=2, packets=5)], ROUTES)
    known = connected(seen, before, legs=legs, in_window=True, certain=False)
    first, second = (record["seen"] for record in records(known))
    assert (first["count"], first["replied"], first["by"], first["interface_by"]) == (
        5,
        True,
        ["set", "conntrack"],
        "hook",
    )
    assert (first["older_than_window"], first["direction_certain"]) == (False, True)
    assert (second["by"], second["interface_by"]) == (["conntrack"], "route")
    assert (second["older_than_window"], second["direction_certain"]) == (True, False)


def test_what_comes_in_over_loopback_is_one_flow_wherever_it_went_before_it_was_translated() -> None:
    arrived = [flow(OWN, "127.0.0.1", 8443, original=original) for original in ("10.96.0.1", "10.96.0.2")]
    (record,) = records(
        document.from_table([noted("input", one, incoming=1, packets=2) for one in arrived], ROUTES)
    )
    assert record["seen"]["count"] == 4
    assert "original_destination" not in record["flow"]


def test_what_the_sets_hold_is_taken_as_it_is_asked_for() -> None:
    def noting() -> Iterator[Observed]:
        yield noted("input", flow(PEER, OWN, 22), incoming=2)
        yield noted("input", flow(PEER, OWN, 23), incoming=2)
        raise AssertionError("read before it was asked for")

    legs = document.with_connections(document.from_table(noting(), ROUTES), {}, ROUTES, in_window=True)
    first = next(document.records(legs, OWNERS, ()))
    assert first["flow"]["destination_port"] == 22


def test_without_a_connection_nobody_knows_whether_it_was_answered() -> None:
    (record,) = records(document.from_table([noted("input", flow(PEER, OWN), incoming=2)], ROUTES))
    assert record["seen"]["replied"] is None


def test_a_listener_owns_what_comes_in_and_who_opened_most_what_goes_out() -> None:
    legs = connected(flow(PEER, OWN, 22), flow(PEER, OWN, 80), flow(OWN, PEER, 443), flow(PEER, POD, 22))
    openers = [
        Opener(group, packed(PEER), 6, 443, 33, packets) for group, packets in ((7, 1), (8, 5), (9, 2))
    ]
    owners = {
        (r["flow"]["direction"], r["flow"]["destination_port"]): r["owner"] for r in records(legs, *openers)
    }
    assert owners == {
        ("ingress", 22): {"unit": "sshd.service", "process": "sshd", "uid": 0},
        ("ingress", 80): None,
        ("egress", 443): {"unit": "unit-8", "uid": 33},
        ("forward", 22): None,
    }


def test_what_has_no_port_is_told_by_its_type() -> None:
    (record,) = records(connected(flow(PEER, OWN, None, 1, icmp=(8, 0)), related=True))
    assert record["flow"] == {
        "direction": "ingress",
        "interface": "eth0",
        "protocol": 1,
        "source": PEER,
        "destination": OWN,
        "icmp_type": 8,
        "icmp_code": 0,
        "state": "related",
    }
    assert record["owner"] is None


@pytest.mark.parametrize(
    ("hook", "prefixes"),
    [("input", (16, None)), ("postrouting", (None, 16)), ("forward", (16, 16))],
)
def test_a_net_stands_for_the_side_whose_addresses_were_too_many(hook: str, prefixes: Any) -> None:
    wide = flow("10.1.0.0", "10.2.0.0", kept_bits=16)
    (record,) = records(document.from_table([noted(hook, wide, 2, 2)], ROUTES))
    assert (record["seen"]["source_prefix"], record["seen"]["destination_prefix"]) == prefixes
    by_connections = connected(flow("10.1.0.0", POD, kept_bits=16))
    assert records(by_connections)[0]["seen"]["destination_prefix"] is None


def test_the_order_is_fixed() -> None:
    flows = [flow(PEER, OWN, port) for port in (443, 22, 80)]
    one, other = records(connected(*flows)), records(connected(*reversed(flows)))
    assert one == other
    assert [record["flow"]["destination_port"] for record in one] == [22, 80, 443]
