# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make this node's kernel forget the connections of the host, so that policy decides about them once more.

One file, standard library only, Python 3.9: sent over SSH, with its parameters in ``PARAMETERS``: ``dry``
(count only) and ``spare_felix``. Established connections are accepted whatever policy says; what policy would
deny on the next reconnect it denies at once after this. Connections that are only forwarded stay: with its
entry the kernel would forget their address translation, and they would break under any policy.

``spare_felix`` leaves the connections of Felix itself, by which it hears the way back. Numbers are those of
``linux/netfilter/nfnetlink_conntrack.h``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, Optional

_NETFILTER = 12
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY, _ID, _ZONE = 1, 2, 12, 18
_HEADER = struct.Struct("=IHHII")
_NESTED = 0x7FFF
FELIX = frozenset(("calico-felix", "calico-node"))
# (address, port) of both ends, as a socket has them.
Ends = tuple[tuple[str, int], tuple[str, int]]


def attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        if length < 4:
            break
        found[kind & _NESTED] = data[place + 4 : place + length]
        place += (length + 3) & ~3
    return found


def ends_of(attribute: bytes) -> Ends:
    """Source and destination of one direction; port 0 where the protocol has none."""
    parts = attributes(attribute)
    addresses, protocol = attributes(parts.get(1, b"")), attributes(parts.get(2, b""))
    source = addresses.get(1) or addresses.get(3) or b""
    destination = addresses.get(2) or addresses.get(4) or b""
    ports = [struct.unpack("!H", protocol[kind])[0] if kind in protocol else 0 for kind in (2, 3)]
    return (_text(source), ports[0]), (_text(destination), ports[1])


def _text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed)) if packed else ""


def wanted(original: Ends, reply: Ends, own: set[str], spared: set[Ends]) -> bool:
    """Whether an entry is to go: one end is this host itself, and it is not Felix's."""
    local = original[0][0] in own or reply[0][0] in own
    return local and original not in spared and (original[1], original[0]) not in spared


class ConnectionTable:
    """The kernel's table of connections."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self._socket.bind((0, 0))
        self._socket.settimeout(10)

    def entries(self) -> Iterator[tuple[int, dict[int, bytes]]]:
        """Family and attributes of each.

        :raises OSError: not permitted, or no such table
        """
        self._send(_GET, _REQUEST | _DUMP, struct.pack("=BBH", socket.AF_UNSPEC, 0, 0))
        for kind, body in self._answers():
            if kind != _ERROR:
                yield body[0], attributes(body[4:])

    def delete(self, family: int, entry: dict[int, bytes]) -> None:
        """One that is gone already is no error."""
        body = struct.pack("=BBH", family, 0, 0)
        for kind in (_ORIGINAL, _ZONE, _ID):
            if kind in entry:
                value = entry[kind]
                nested = 0x8000 if kind == _ORIGINAL else 0
                body += struct.pack("=HH", len(value) + 4, kind | nested) + value + b"\0" * (-len(value) % 4)
        self._send(_DELETE, _REQUEST | _ACKNOWLEDGE, body)
        with contextlib.suppress(FileNotFoundError):
            for _answer in self._answers():
                return

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        while True:
            data, place = self._socket.recv(1 << 20), 0
            while place + _HEADER.size <= len(data):
                length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, place)
                body = data[place + _HEADER.size : place + length]
                place += (length + 3) & ~3
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                yield kind, body


def felix_connections() -> tuple[int, set[Ends]]:
    """How many processes of Felix's run in this node's network, and the TCP connections that they have."""
    inodes: set[str] = set()
    count = 0
    own = _network("self")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                name = file.read().strip()
            if name not in FELIX or _network(pid) != own:
                continue
            count += 1
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    return count, {ends for inode, ends in _sockets() if inode in inodes}


def _network(pid: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _sockets() -> Iterator[tuple[str, Ends]]:
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(path)[1:]:
            words = line.split()
            if len(words) > 9:
                yield words[9], (_end(words[1]), _end(words[2]))


def _end(text: str) -> tuple[str, int]:
    address, _colon, port = text.partition(":")
    raw = bytes.fromhex(address)
    packed = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    found = ipaddress.ip_address(packed)
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found), int(port, 16)


def own_addresses() -> set[str]:
    found = {
        str(ipaddress.ip_address(bytes.fromhex(line.split()[0])))
        for line in _lines("/proc/net/if_inet6")
        if line.strip()
    }
    address = ""
    for line in _lines("/proc/net/fib_trie"):
        words = line.split()
        if len(words) == 2 and words[0] == "|--":
            address = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"]:
            found.add(address)
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def forget(parameters: dict[str, Any]) -> dict[str, Any]:
    """:returns: ``forgotten``, ``spared``; ``problem`` where nothing was done, and why"""
    running, spared = felix_connections()
    if parameters["spare_felix"] and not running:
        problem = "no process of Felix's is found, to spare its connections"
        return {"forgotten": 0, "spared": 0, "problem": problem}
    if not parameters["spare_felix"]:
        spared = set()
    own = own_addresses()
    try:
        table = ConnectionTable()
        found = [
            (family, entry)
            for family, entry in table.entries()
            if _ORIGINAL in entry
            and wanted(ends_of(entry[_ORIGINAL]), ends_of(entry.get(_REPLY, b"")), own, spared)
        ]
        for family, entry in [] if parameters["dry"] else found:
            table.delete(family, entry)
    except OSError as error:
        return {"forgotten": 0, "spared": len(spared), "problem": f"the table of connections: {error}"}
    return {"forgotten": len(found), "spared": len(spared), "problem": ""}


PARAMETERS: Optional[dict[str, Any]] = globals().get("PARAMETERS")
if PARAMETERS is not None:
    sys.stdout.write(json.dumps(forget(PARAMETERS)))
