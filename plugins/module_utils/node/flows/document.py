# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Observed flows in the form ``hostfence.flows/1``, which ``docs/auditing.md`` describes."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, Optional

from .conntrack import FlowKey, Known
from .flow_table import Observed, Opener
from .routes import Routes
from .sockets import Owner, SocketOwners

SCHEMA = "hostfence.flows/1"
INGRESS, EGRESS, FORWARD = "ingress", "egress", "forward"
LOOPBACK = "lo"
_DIRECTIONS = {"input": INGRESS, "postrouting": EGRESS, "forward": FORWARD}
_WITH_LISTENERS = (6, 17)


class LegKey(NamedTuple):
    """A flow as the node sees it in one direction."""

    direction: str
    flow: FlowKey
    interface: str
    out_interface: str = ""


@dataclass
class Leg:
    """What is known of one leg."""

    count: int = 0
    replied: Optional[bool] = None
    certain: bool = True
    related: bool = False
    older: bool = False
    sources: list[str] = field(default_factory=list)
    by_hook: bool = False


Legs = Iterable[tuple[LegKey, Leg]]


def from_table(observed: Iterable[Observed], routes: Routes) -> Iterator[tuple[LegKey, Leg]]:
    """The legs that the kernel's sets hold, one after the other, as these may hold a hundred thousand.

    :param observed: what differs only in where it went before DNAT comes one after the other
    """
    for key, same in groupby(observed, lambda one: _noted(one, routes)):
        yield key, Leg(sum(one.packets for one in same), sources=["set"], by_hook=True)


def _noted(one: Observed, routes: Routes) -> LegKey:
    direction = _DIRECTIONS[one.hook]
    incoming = _name(routes, one.interface_in)
    outgoing = _name(routes, one.interface_out)
    flow = FlowKey(
        one.source,
        one.destination,
        one.original_destination,
        one.protocol,
        one.port,
        one.original_port,
        one.icmp,
        one.kept_bits,
    )
    return LegKey(
        direction,
        _as_it_arrives(flow) if (direction, incoming) == (INGRESS, LOOPBACK) else flow,
        outgoing if direction == EGRESS else incoming,
        outgoing if direction == FORWARD else "",
    )


def with_connections(
    legs: Legs, flows: Mapping[FlowKey, Known], routes: Routes, *, in_window: bool
) -> Iterator[tuple[LegKey, Leg]]:
    """Add what the table of connections says: answers to legs, and after these the flows that no set has.

    :param in_window: the legs come from a window: what it did not see is older than it
    """
    known: dict[tuple[str, FlowKey], tuple[LegKey, Leg]] = {}
    for flow, one in flows.items():
        for key in _legs_of(flow, routes):
            _key, leg = known.setdefault((key.direction, key.flow), (key, Leg(older=in_window or one.older)))
            leg.count += one.count
            leg.replied, leg.certain, leg.related = one.replied, one.certain, one.related
            leg.sources = ["conntrack"]
    return _joined(legs, known)


def _joined(
    legs: Legs, known: Mapping[tuple[str, FlowKey], tuple[LegKey, Leg]]
) -> Iterator[tuple[LegKey, Leg]]:
    met = set()
    for key, leg in legs:
        at = (key.direction, key.flow)
        if at in known:
            _key, connection = known[at]
            leg.replied, leg.related = connection.replied, connection.related
            leg.sources.append("conntrack")
            met.add(at)
        yield key, leg
    yield from sorted((known[at] for at in known.keys() - met), key=_order)


def _legs_of(flow: FlowKey, routes: Routes) -> list[LegKey]:
    """Where the packets of a connection pass: the interfaces are those of the routes."""
    from_here = routes.is_own(flow.source)
    to_many = routes.is_for_many(flow.destination)
    to_here = to_many or routes.is_own(flow.destination)
    if from_here and to_here and not to_many:
        return [
            LegKey(EGRESS, flow, LOOPBACK),
            LegKey(INGRESS, _as_it_arrives(flow), LOOPBACK),
        ]
    if from_here:
        return [LegKey(EGRESS, flow, routes.towards(flow.destination))]
    if to_here:
        return [LegKey(INGRESS, flow, routes.towards(flow.source))]
    return [LegKey(FORWARD, flow, routes.towards(flow.source), routes.towards(flow.destination))]


def _as_it_arrives(flow: FlowKey) -> FlowKey:
    """Over loopback the destination was translated on the way out: the way in sees only the new one."""
    return FlowKey(
        flow.source,
        flow.destination,
        flow.destination,
        flow.protocol,
        flow.port,
        flow.port,
        flow.icmp,
        flow.kept_bits,
    )


def records(legs: Legs, owners: SocketOwners, openers: Iterable[Opener]) -> Iterator[dict[str, Any]]:
    """The entries of ``flows``, in the order of the legs."""
    opened: dict[tuple[bytes, int, int], Opener] = {}
    for opener in openers:
        to = (opener.destination, opener.protocol, opener.port)
        if to not in opened or opened[to].packets < opener.packets:
            opened[to] = opener
    pairs: dict[tuple[object, ...], int] = {}
    for key, leg in legs:
        yield _record(key, leg, _owner(key, owners, opened), _pair(key, pairs))


def _order(item: tuple[LegKey, Leg]) -> tuple[object, ...]:
    key, flow = item[0], item[0].flow
    return (
        key.direction,
        flow.protocol,
        flow.port or 0,
        flow.icmp or (0, 0),
        flow.destination,
        flow.source,
        flow.original_destination,
        flow.original_port or 0,
        key.interface,
        key.out_interface,
        flow.kept_bits or 0,
    )


def _pair(key: LegKey, numbers: dict[tuple[object, ...], int]) -> Optional[int]:
    """A number for both legs of a connection over loopback: it works only if both are allowed."""
    if key.interface != LOOPBACK:
        return None
    flow = key.flow
    connection = (flow.source, flow.destination, flow.protocol, flow.port, flow.icmp)
    return numbers.setdefault(connection, len(numbers))


def _owner(
    key: LegKey, owners: SocketOwners, opened: Mapping[tuple[bytes, int, int], Opener]
) -> Optional[Owner]:
    flow = key.flow
    if flow.port is None:
        return None
    if key.direction == INGRESS and flow.protocol in _WITH_LISTENERS:
        return owners.of_listener(flow.protocol, flow.destination, flow.port)
    opener = opened.get((flow.destination, flow.protocol, flow.port))
    if key.direction == EGRESS and opener:
        return owners.of_group(opener.cgroup, opener.uid)
    return None


def _record(key: LegKey, leg: Leg, owner: Optional[Owner], pair: Optional[int]) -> dict[str, Any]:
    flow = key.flow
    fields: dict[str, Any] = {
        "direction": key.direction,
        "interface": key.interface,
        "protocol": flow.protocol,
        "source": _address(flow.source),
        "destination": _address(flow.destination),
    }
    if key.out_interface:
        fields["out_interface"] = key.out_interface
    if not key.interface:
        del fields["interface"]
    if flow.port is not None:
        fields["destination_port"] = flow.port
    if flow.icmp is not None:
        fields["icmp_type"], fields["icmp_code"] = flow.icmp
    if (flow.original_destination, flow.original_port) != (flow.destination, flow.port):
        fields["original_destination"] = _address(flow.original_destination)
        if flow.original_port is not None:
            fields["original_destination_port"] = flow.original_port
    if leg.related:
        fields["state"] = "related"
    prefix = flow.kept_bits
    return {
        "flow": fields,
        "all_of": pair,
        "seen": {
            "first": None,
            "last": None,
            "count": leg.count,
            "replied": leg.replied,
            "by": leg.sources,
            "interface_by": "hook" if leg.by_hook else "route",
            "direction_certain": leg.certain,
            "older_than_window": leg.older,
            "source_prefix": None if key.direction == EGRESS else prefix,
            "destination_prefix": None if key.direction == INGRESS or not leg.by_hook else prefix,
        },
        "owner": owner.as_dict() if owner else None,
    }


def _name(routes: Routes, index: int) -> str:
    return routes.interfaces.get(index, "")


def _address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
