# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which addresses are this node's own, and by which interface another is reached."""

from __future__ import annotations

import ipaddress
import socket
import struct

from .netlink import HEADER_BYTES, ROUTE, Netlink, attribute, attributes

_GET_ROUTE, _GET_ADDRESS = 26, 22
_ADDRESS, _LOCAL_ADDRESS = 1, 2
_DESTINATION, _OUT_INTERFACE, _TABLE = 1, 4, 15
_LOCAL_TABLE = 255
_LOCAL, _BROADCAST, _ANYCAST = 2, 3, 4
_ROUTE = struct.Struct("=BBBBBBBBI")
_REMEMBERED = 100_000


class Routes:
    """The routing tables of this network namespace, read when made."""

    def __init__(self) -> None:
        self.interfaces = dict(socket.if_nameindex())
        self._own: set[bytes] = set()
        self._own_nets: list[tuple[int, int, int]] = []
        self._shared: set[bytes] = set()
        self._towards: dict[bytes, str] = {}
        self._netlink = Netlink(ROUTE)
        for family, width in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            self._read_local(family, width)

    def close(self) -> None:
        self._netlink.close()

    def _read_local(self, family: int, width: int) -> None:
        body = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for data, start, end in self._netlink.dump(_GET_ROUTE, body):
            _family, prefix, _source, _tos, table, _by, _scope, kind, _flags = _ROUTE.unpack_from(
                data, start + HEADER_BYTES
            )
            found = attributes(data, start + HEADER_BYTES + _ROUTE.size, end)
            if _TABLE in found:
                table = struct.unpack_from("=I", data, found[_TABLE][0])[0]
            if table != _LOCAL_TABLE:
                continue
            address = data[slice(*found[_DESTINATION])] if _DESTINATION in found else b"\0" * width
            if kind == _LOCAL and prefix == width * 8:
                self._own.add(address)
            elif kind == _LOCAL:
                shift = width * 8 - prefix
                self._own_nets.append((width, shift, int.from_bytes(address, "big") >> shift))
            elif kind in (_BROADCAST, _ANYCAST):
                self._shared.add(address)

    def addresses(self) -> dict[str, list[str]]:
        """Each interface's addresses with their prefix length; an interface without any is left out."""
        found: dict[str, list[str]] = {}
        for data, start, end in self._netlink.dump(_GET_ADDRESS, b"\0" * 8):
            at = start + HEADER_BYTES
            prefix, index = data[at + 1], struct.unpack_from("=I", data, at + 4)[0]
            values = attributes(data, at + 8, end)
            # Of a point-to-point link the first is the other side's.
            own = values.get(_LOCAL_ADDRESS) or values.get(_ADDRESS)
            if own and index in self.interfaces:
                address = ipaddress.ip_address(data[slice(*own)])
                found.setdefault(self.interfaces[index], []).append(f"{address}/{prefix}")
        return found

    def is_own(self, address: bytes) -> bool:
        """Whether the node itself has the address."""
        if address in self._own:
            return True
        number = int.from_bytes(address, "big")
        return any(width == len(address) and number >> shift == net for width, shift, net in self._own_nets)

    def is_for_many(self, address: bytes) -> bool:
        """Whether it is a broadcast, anycast or multicast address."""
        if address in self._shared or address == b"\xff\xff\xff\xff":
            return True
        return address[0] >> 4 == 0xE if len(address) == 4 else address[0] == 0xFF

    def towards(self, address: bytes) -> str:
        """Name of the interface by which the node reaches an address; empty where there is no route."""
        if address not in self._towards:
            if len(self._towards) >= _REMEMBERED:
                self._towards.clear()
            self._towards[address] = self._look_up(address)
        return self._towards[address]

    def _look_up(self, address: bytes) -> str:
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        body = _ROUTE.pack(family, len(address) * 8, 0, 0, 0, 0, 0, 0, 0) + attribute(_DESTINATION, address)
        try:
            data, start, end = self._netlink.get(_GET_ROUTE, body)
        except OSError:
            return ""
        found = attributes(data, start + HEADER_BYTES + _ROUTE.size, end)
        if _OUT_INTERFACE not in found:
            return ""
        return self.interfaces.get(struct.unpack_from("=I", data, found[_OUT_INTERFACE][0])[0], "")
