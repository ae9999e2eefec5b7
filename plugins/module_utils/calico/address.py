# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses and nets as Felix reads them, kept as integers so that matching is a shift and a comparison."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional

from .bad_input import BadInput

BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF << 32
_QUAD = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\Z")


@dataclass(frozen=True)
class Address:
    """One IP address: ``version`` 4 or 6 and its ``number``."""

    version: int
    number: int

    def __str__(self) -> str:
        return str(ipaddress.ip_address(self.number.to_bytes(BITS[self.version] // 8, "big")))


@dataclass(frozen=True)
class Net:
    """A net without host bits: ``version``, the first address' ``number``, and the ``prefix`` length."""

    version: int
    number: int
    prefix: int

    def contains(self, address: Address) -> bool:
        """Whether the address is of this family and inside."""
        shift = BITS[self.version] - self.prefix
        return address.version == self.version and address.number >> shift == self.number >> shift

    def covers(self, other: Net) -> bool:
        """Whether every address of the other net is inside."""
        return (
            self.version == other.version
            and self.prefix <= other.prefix
            and self.contains(Address(other.version, other.number))
        )

    def __str__(self) -> str:
        return f"{Address(self.version, self.number)}/{self.prefix}"


def parse_address(text: object) -> Optional[Address]:
    """Read an address; an IPv4 address written as IPv6 (::ffff:a.b.c.d) counts as IPv4.

    :returns: None where Go's net.ParseIP refuses
    """
    return _address(text) if isinstance(text, str) else None


@lru_cache(maxsize=65536)
def _address(text: str) -> Optional[Address]:
    if "%" in text or "/" in text:
        return None
    quad = _QUAD.match(text)
    if quad:
        return _from_quad(*quad.groups())
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    number = int(parsed)
    if parsed.version == 6 and number >> 32 == 0xFFFF:
        return Address(4, number - _MAPPED)
    return Address(parsed.version, number)


def _from_quad(*parts: str) -> Optional[Address]:
    """Dotted IPv4 by hand: a cluster's objects hold thousands of them."""
    number = 0
    for part in parts:
        value = int(part)
        if value > 255 or (part[0] == "0" and part != "0"):
            return None
        number = number << 8 | value
    return Address(4, number)


def parse_net(text: object) -> Optional[Net]:
    """Read a CIDR or a bare address; host bits are cleared.

    :returns: None where libcalico-go's ParseCIDROrIP refuses: Felix then acts as if the entry were not there
    """
    return _net(text) if isinstance(text, str) else None


@lru_cache(maxsize=65536)
def _net(text: str) -> Optional[Net]:
    head, slash, tail = text.partition("/")
    address = parse_address(head)
    if address is None:
        return None
    if not slash:
        return Net(address.version, address.number, BITS[address.version])
    if not (tail.isascii() and tail.isdigit()):
        return None
    prefix = int(tail) if len(tail) < 8 else 1000
    if ":" in head and address.version == 4:
        if prefix < 96:
            # Go masks the sixteen bytes, and of ::ffff:a.b.c.d nothing is left that says IPv4.
            address = Address(6, _MAPPED + address.number)
        else:
            prefix -= 96
    if not 0 <= prefix <= BITS[address.version]:
        return None
    shift = BITS[address.version] - prefix
    return Net(address.version, address.number >> shift << shift, prefix)


def host_net(address: Address) -> Net:
    """The net that holds just this address."""
    return Net(address.version, address.number, BITS[address.version])


def written_net(text: object, field: str, remedy: str) -> str:
    """A net as it may be written to the API, in canonical form: the one reader for all that is written.

    What Go's net.ParseCIDR refuses is refused, and so are two forms that it reads otherwise than they look:
    host bits, and an IPv4 net in IPv6's form, of which a mask may leave an IPv6 net.

    :param remedy: says of what is no net at all what would be one, and what Felix makes of it
    :raises BadInput: it is none, or reads otherwise
    """
    head = text.partition("/")[0] if isinstance(text, str) and "/" in text else ""
    address, net = parse_address(head), parse_net(text)
    if address is None or net is None:
        raise BadInput(field, text, remedy)
    if ":" in head and address.version == 4:
        raise BadInput(field, text, "write an IPv4 network in IPv4's own form")
    if address.number != net.number:
        raise BadInput(field, text, f"host bits are set: write {net}, or a longer prefix")
    return str(net)
