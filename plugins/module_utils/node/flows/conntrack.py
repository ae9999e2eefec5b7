# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel's table of connections, and what of it makes distinct flows.

A million entries are read in one pass that keeps only distinct flows, and not more of them than a limit:
beyond it sources are kept as nets. Numbers are those of ``linux/netfilter/nfnetlink_conntrack.h``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Optional

from .flow_table import FAMILIES
from .netlink import HEADER_BYTES, NETFILTER, Netlink, attributes

_GET = (1 << 8) | 1
_BODY = HEADER_BYTES + 4
_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_INFO, _MASTER = 1, 2, 3, 4, 14
_EXPECTED, _SEEN_REPLY = 0x1, 0x2
_TAKEN_UP_LATE = 0x08
TCP, UDP, SCTP = 6, 17, 132
_ICMP = {1: (5, 6), 58: (8, 9)}
_WITH_PORTS = (TCP, UDP, SCTP)
_NETS = {family.width: family for family in FAMILIES}


@dataclass(frozen=True)
class Tuple:
    """One direction of a connection, addresses packed."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    icmp: Optional[tuple[int, int]]


@dataclass(frozen=True)
class FlowKey:
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


@dataclass
class Connections:
    """Distinct flows of the table, and how many entries found no place."""

    flows: dict[FlowKey, Known] = field(default_factory=dict)
    entries: int = 0
    lost: int = 0


def read(limit: int, listening: frozenset[tuple[int, int]]) -> Connections:
    """Read the table of both families.

    :param limit: distinct flows that are kept; as many nets again
    :param listening: (protocol, port) that something on this node listens at: tells the side of a server
    :raises OSError: not permitted, or no such table in this kernel
    """
    found = Connections()
    ephemeral = _ephemeral_ports()
    with Netlink(NETFILTER, 1 << 22) as kernel:
        for data, start, end in kernel.dump(_GET, struct.pack("=BBH", 0, 0, 0)):
            found.entries += 1
            _add(found, _entry(data, start + _BODY, end), limit, listening, ephemeral)
    return found


@dataclass(frozen=True)
class _Entry:
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
) -> None:
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
    known = _place(found, key, limit)
    if known is None:
        return
    known.count += 1
    known.replied = known.replied or entry.replied
    known.certain = known.certain and not (turned or entry.taken_up_late)
    known.related = known.related or entry.related


def _place(found: Connections, key: FlowKey, limit: int) -> Optional[Known]:
    flows = found.flows
    if key in flows:
        return flows[key]
    if len(flows) >= limit:
        key = _widened(key)
        if key in flows:
            return flows[key]
        if len(flows) >= 2 * limit:
            found.lost += 1
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
