# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One packet that opens (or belongs to) a connection, as a node sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..address import Address, parse_address
from ..bad_input import BadInput
from ..stored.rules import PROTOCOLS

DIRECTIONS = ("ingress", "egress", "forward")
STATES = ("new", "established", "related", "invalid")
WITH_PORTS = frozenset({6, 17, 132})
ICMP, ICMPV6 = 1, 58
FIELDS = (
    "node",
    "direction",
    "interface",
    "out_interface",
    "protocol",
    "source",
    "source_port",
    "destination",
    "destination_port",
    "original_destination",
    "original_destination_port",
    "icmp_type",
    "icmp_code",
    "state",
)
_KNOWN = frozenset(FIELDS)


@dataclass(frozen=True)
class Flow:
    """A flow at one node.

    ``interface`` is where the packet comes in (ingress, forward) or goes out (egress),
    ``out_interface`` where a forwarded one leaves. ``destination`` is what the packet has after DNAT,
    ``original_destination`` what it had before, or None where nothing was translated. A port or ICMP
    field that is None is unknown.
    """

    node: str
    direction: str
    protocol: int
    source: Address
    destination: Address
    interface: str = ""
    out_interface: str = ""
    source_port: Optional[int] = None
    destination_port: Optional[int] = None
    original_destination: Optional[Address] = None
    original_destination_port: Optional[int] = None
    icmp_type: Optional[int] = None
    icmp_code: Optional[int] = None
    state: str = "new"

    @property
    def version(self) -> int:
        return self.destination.version

    @property
    def translated(self) -> bool:
        """Whether the destination was changed on the way (DNAT)."""
        return self.original_destination is not None or self.original_destination_port is not None

    def before_translation(self) -> tuple[Address, Optional[int]]:
        """Destination and port as the packet had them when it arrived."""
        address = self.original_destination or self.destination
        port = self.original_destination_port
        return address, self.destination_port if port is None else port


def parse_flow(raw: object, place: str = "flow") -> Flow:
    """Read a flow as users write it.

    :param raw: mapping with the names in :data:`FIELDS`; node, direction, protocol, source and destination
        are required; protocol is a name (``TCP``) or number; addresses without prefix
    :param place: named in error messages, for example ``flows[3]``
    :raises BadInput: the field, its value and what would be right
    """
    if not isinstance(raw, Mapping):
        raise BadInput(
            place, raw, "a flow is a mapping with node, direction, protocol, source and destination"
        )
    if not raw.keys() <= _KNOWN:
        key = next(key for key in raw if key not in _KNOWN)
        raise BadInput(f"{place}.{key}", raw[key], f"no such field of a flow; there are {', '.join(FIELDS)}")
    reader = _Fields(raw, place)
    flow = Flow(
        node=reader.text("node", required=True),
        direction=reader.choice("direction", DIRECTIONS),
        protocol=reader.protocol(),
        source=reader.address("source"),
        destination=reader.address("destination"),
        interface=reader.text("interface"),
        out_interface=reader.text("out_interface"),
        source_port=reader.number("source_port", 65535),
        destination_port=reader.number("destination_port", 65535),
        original_destination=reader.optional_address("original_destination"),
        original_destination_port=reader.number("original_destination_port", 65535),
        icmp_type=reader.number("icmp_type", 255),
        icmp_code=reader.number("icmp_code", 255),
        state=reader.choice("state", STATES, "new"),
    )
    _check_families(flow, raw, place)
    return flow


def _check_families(flow: Flow, raw: Mapping[str, Any], place: str) -> None:
    for key, address in (("source", flow.source), ("original_destination", flow.original_destination)):
        if address and address.version != flow.version:
            raise BadInput(f"{place}.{key}", raw[key], "source and destination are both IPv4 or both IPv6")
    wrong = ICMPV6 if flow.version == 4 else ICMP
    if flow.protocol == wrong:
        right = "ICMP" if flow.version == 4 else "ICMPv6"
        raise BadInput(
            f"{place}.protocol", raw["protocol"], f"with IPv{flow.version} addresses this is {right}"
        )
    if flow.protocol not in WITH_PORTS:
        for key in ("source_port", "destination_port", "original_destination_port"):
            if raw.get(key) is not None:
                raise BadInput(f"{place}.{key}", raw[key], "only TCP, UDP and SCTP have ports")
    if flow.direction != "forward" and flow.out_interface:
        raise BadInput(
            f"{place}.out_interface", flow.out_interface, "only a forwarded packet has one; use interface"
        )


class _Fields:
    def __init__(self, raw: Mapping[str, Any], place: str) -> None:
        self.raw = raw
        self.place = place

    def bad(self, key: str, remedy: str) -> BadInput:
        return BadInput(f"{self.place}.{key}", self.raw.get(key), remedy)

    def text(self, key: str, required: bool = False) -> str:
        value = self.raw.get(key)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not value:
            raise self.bad(key, "a name")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str = "") -> str:
        value = self.raw.get(key)
        if value is None and default:
            return default
        if value not in choices:
            raise self.bad(key, f"one of {', '.join(choices)}")
        return str(value)

    def protocol(self) -> int:
        value = self.raw.get("protocol")
        if isinstance(value, str) and value.lower() in PROTOCOLS:
            return PROTOCOLS[value.lower()]
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 255:
            return value
        raise self.bad("protocol", "TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number from 1 to 255")

    def address(self, key: str) -> Address:
        address = parse_address(self.raw.get(key) or "")
        if address is None:
            raise self.bad(key, "an IPv4 or IPv6 address without prefix length")
        return address

    def optional_address(self, key: str) -> Optional[Address]:
        return None if self.raw.get(key) is None else self.address(key)

    def number(self, key: str, top: int) -> Optional[int]:
        value = self.raw.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= top:
            raise self.bad(key, f"a number from 0 to {top}")
        return value
