# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel's table of connections, and what of it makes distinct flows.

A million entries are read in one pass that keeps only distinct flows, and not more of them than a limit:
beyond it sources are kept as nets. Numbers are those of ``linux/netfilter/nfnetlink_conntrack.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from .flow_table import FAMILIES
from .netlink import HEADER_BYTES, NETFILTER, Events, Netlink, attributes

_NEW, _GET, _DELETE = 1 << 8, (1 << 8) | 1, (1 << 8) | 2
_GROUP_NEW, _GROUP_DESTROY = 1, 3
_BODY = HEADER_BYTES + 4
_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_INFO, _ID, _MASTER = 1, 2, 3, 4, 12, 14
_EXPECTED, _SEEN_REPLY = 0x1, 0x2
_TAKEN_UP_LATE = 0x08
TCP, UDP, SCTP = 6, 17, 132
_ICMP = {1: (5, 6), 58: (8, 9)}
_WITH_PORTS = (TCP, UDP, SCTP)
_NETS = {family.width: family for family in FAMILIES}
# How long the kernel still knows a connection that ended, or that nobody answered.
_LIFETIMES = (
    "nf_conntrack_tcp_timeout_time_wait",
    "nf_conntrack_tcp_timeout_close",
    "nf_conntrack_udp_timeout",
    "nf_conntrack_icmp_timeout",
    "nf_conntrack_icmpv6_timeout",
)
_CLOSE_SECONDS = 10
_NUMBER_BITS = 25
# Of the limit, as many nets again: senders can be invented, and so can their nets.
_NETS_SHARE = 4


class Tuple(NamedTuple):
    """One direction of a connection, addresses packed."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    icmp: Optional[tuple[int, int]]


class FlowKey(NamedTuple):
    """A distinct flow: who opened it, to where before and after DNAT."""

    source: bytes
    destination: bytes
    original_destination: bytes
    protocol: int
    port: Optional[int]
    original_port: Optional[int]
    icmp: Optional[tuple[int, int]]
    kept_bits: Optional[int] = None


@dataclass
class Known:
    """What the connections of one flow say."""

    count: int = 0
    replied: bool = False
    certain: bool = True
    related: bool = False
    older: bool = False
    """Whether all its connections were there before the first look of several."""


@dataclass
class Connections:
    """Distinct flows of the table, and how many entries found no place."""

    flows: dict[FlowKey, Known] = field(default_factory=dict)
    entries: int = 0
    lost: int = 0


def read(limit: int, listening: frozenset[tuple[int, int]]) -> Connections:
    """Read the table of both families.

    :param limit: distinct flows that are kept; a quarter as many nets again
    :param listening: (protocol, port) that something on this node listens at: tells the side of a server
    :raises OSError: not permitted, or no such table in this kernel
    """
    found = Connections()
    ephemeral = _ephemeral_ports()
    for entry in _entries():
        found.entries += 1
        _add(found, entry, limit, listening, ephemeral, is_new=True)
    return found


def _entries() -> Iterator[_Entry]:
    with Netlink(NETFILTER, 1 << 22) as kernel:
        for data, start, end in kernel.dump(_GET, struct.pack("=BBH", 0, 0, 0)):
            yield _entry(data, start + _BODY, end)


class Looks:
    """Several looks at the table, and the events between them where they are asked for.

    A connection is counted once, by the number that the kernel gives it. Numbers are kept as bits, 4 MiB
    whatever their count: of a million connections about three in a hundred are not counted a second time
    though they are others. A distinct flow is never lost by it.

    :param limit: as for :func:`read`
    :param listening: as for :func:`read`
    :param event_buffer: bytes that the kernel keeps of events, or 0 for no events
    :raises OSError: not permitted, or no such table in this kernel
    """

    def __init__(self, limit: int, listening: frozenset[tuple[int, int]], event_buffer: int = 0) -> None:
        self.found = Connections()
        self._limit = limit
        self._listening = listening
        self._ephemeral = _ephemeral_ports()
        self._before, self._current = _Numbers(), _Numbers()
        self._looked = False
        groups = (_GROUP_NEW, _GROUP_DESTROY)
        self._events = Events(NETFILTER, groups, event_buffer) if event_buffer else None

    def close(self) -> None:
        if self._events:
            self._events.close()

    def look(self) -> None:
        """Read the whole table."""
        self._before, self._current = self._current, _Numbers()
        for entry in _entries():
            self._take(entry)
        self._looked = True

    def drain(self) -> None:
        """Take in the events that the kernel kept."""
        for kind, data, start, end in self._events.drain() if self._events else ():
            if kind in (_NEW, _DELETE):
                self._take(_entry(data, start + _BODY, end))

    @property
    def lost_events(self) -> int:
        """Events that found no place in the buffer so far."""
        return self._events.lost() if self._events else 0

    def _take(self, entry: _Entry) -> None:
        is_new = not (self._current.holds(entry.number) or self._before.holds(entry.number))
        self._current.add(entry.number)
        self.found.entries += is_new
        known = _add(self.found, entry, self._limit, self._listening, self._ephemeral, is_new=is_new)
        if known and is_new:
            known.older = not self._looked and (known.older or known.count == 1)


class _Numbers:
    """Which numbers of connections were met."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << (_NUMBER_BITS - 3))

    def holds(self, number: int) -> bool:
        at = number & ((1 << _NUMBER_BITS) - 1)
        return bool(self._bits[at >> 3] & 1 << (at & 7))

    def add(self, number: int) -> None:
        at = number & ((1 << _NUMBER_BITS) - 1)
        self._bits[at >> 3] |= 1 << (at & 7)


def shortest_life() -> int:
    """Seconds for which the kernel at least knows a connection that was answered."""
    found = [_number(name) for name in _LIFETIMES]
    return min((seconds for seconds in found if seconds), default=_CLOSE_SECONDS)


def tells_events() -> bool:
    """Whether this kernel tells events at all; 0 turns them off without an error."""
    return _number("nf_conntrack_events") != 0


class _Entry(NamedTuple):
    number: int
    original: Tuple
    reply: Tuple
    replied: bool
    related: bool
    taken_up_late: bool


def _entry(data: bytes, start: int, end: int) -> _Entry:
    found = attributes(data, start, end)
    status = int.from_bytes(data[slice(*found[_STATUS])], "big") if _STATUS in found else 0
    original = _tuple(data, *found[_ORIGINAL])
    late = original.protocol == TCP and bool(_tcp_flags(data, found) & _TAKEN_UP_LATE)
    return _Entry(
        int.from_bytes(data[slice(*found[_ID])], "big") if _ID in found else 0,
        original,
        _tuple(data, *found[_REPLY]),
        bool(status & _SEEN_REPLY),
        _MASTER in found or bool(status & _EXPECTED),
        late,
    )


def _tuple(data: bytes, start: int, end: int) -> Tuple:
    found = attributes(data, start, end)
    addresses = attributes(data, *found[1])
    at = 1 if 1 in addresses else 3
    numbers = attributes(data, *found[2])
    protocol = data[numbers[1][0]]

    def port(kind: int) -> int:
        if kind not in numbers:
            return 0
        first = numbers[kind][0]
        return data[first] << 8 | data[first + 1]

    icmp = None
    if protocol in _ICMP and _ICMP[protocol][0] in numbers:
        kind, code = _ICMP[protocol]
        icmp = (data[numbers[kind][0]], data[numbers[code][0]])
    return Tuple(
        data[slice(*addresses[at])], data[slice(*addresses[at + 1])], protocol, port(2), port(3), icmp
    )


def _tcp_flags(data: bytes, found: dict[int, tuple[int, int]]) -> int:
    """Flags of the first direction; BE_LIBERAL: the kernel saw the connection first in its middle."""
    if _PROTOCOL_INFO not in found:
        return 0
    tcp = attributes(data, *found[_PROTOCOL_INFO]).get(1)
    flags = attributes(data, *tcp).get(4) if tcp else None
    return data[flags[0]] if flags else 0


def _add(
    found: Connections,
    entry: _Entry,
    limit: int,
    listening: frozenset[tuple[int, int]],
    ephemeral: range,
    *,
    is_new: bool,
) -> Optional[Known]:
    """Add an entry to its flow; one that is not new is not counted again."""
    original, reply = entry.original, entry.reply
    protocol = original.protocol
    turned = (
        protocol in (TCP, UDP)
        and original.destination_port in ephemeral
        and original.source_port not in ephemeral
        and (entry.taken_up_late or (protocol, original.source_port) in listening)
        and (protocol, original.destination_port) not in listening
    )
    if turned:
        original, reply = reply, original
    ports = protocol in _WITH_PORTS
    key = FlowKey(
        original.source,
        reply.source,
        original.destination,
        protocol,
        reply.source_port if ports else None,
        original.destination_port if ports else None,
        original.icmp,
    )
    known = _place(found, key, limit, is_new=is_new)
    if known is None:
        return None
    known.count += is_new
    known.replied = known.replied or entry.replied
    known.certain = known.certain and not (turned or entry.taken_up_late)
    known.related = known.related or entry.related
    return known


def _place(found: Connections, key: FlowKey, limit: int, *, is_new: bool) -> Optional[Known]:
    flows = found.flows
    if key in flows:
        return flows[key]
    if len(flows) >= limit:
        key = _widened(key)
        if key in flows:
            return flows[key]
        if len(flows) >= limit + limit // _NETS_SHARE:
            found.lost += is_new
            return None
    flows[key] = Known()
    return flows[key]


def _widened(key: FlowKey) -> FlowKey:
    family = _NETS[len(key.source)]
    kept = family.kept_bits // 8
    source = key.source[:kept] + b"\0" * (family.width - kept)
    return FlowKey(
        source,
        key.destination,
        key.original_destination,
        key.protocol,
        key.port,
        key.original_port,
        key.icmp,
        family.kept_bits,
    )


def _ephemeral_ports() -> range:
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            low, high = (int(word) for word in file.read().split())
    except (OSError, ValueError):
        return range(32768, 61000)
    return range(low, high + 1)


def tracked_families() -> frozenset[int]:
    """Families of which this node tracks connections at all: without a rule that needs it, none is."""
    tracked = set()
    with Netlink(NETFILTER) as kernel:
        for family in FAMILIES:
            for _message in kernel.dump(_GET, struct.pack("=BBH", family.number, 0, 0)):
                tracked.add(family.version)
    return frozenset(tracked)


def fill() -> tuple[int, int]:
    """(entries, most entries) of the table; (0, 0) where the kernel does not say."""
    return _number("nf_conntrack_count"), _number("nf_conntrack_max")


def _number(name: str) -> int:
    try:
        with open(f"/proc/sys/net/netfilter/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
