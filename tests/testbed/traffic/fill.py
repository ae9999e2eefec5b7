# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts as many entries as its argument says into the table of connections, each of another peer or port."""

from __future__ import annotations

import socket
import struct
import sys

OWN = socket.inet_aton("10.77.0.21")
UDP = 17
_NEW, _CREATE_ALONE = 0x100, 0x1 | 0x400 | 0x200
_NESTED = 0x8000
_STATUS, _SECONDS = 0x0E, 600
_AT_ONCE = 200
# Of the template, to be replaced in each entry.
PEER, PORT = b"peer", 0x7071


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def way(kind: int, source: bytes, destination: bytes, source_port: int, port: int) -> bytes:
    addresses = attribute(1 | _NESTED, attribute(1, source) + attribute(2, destination))
    ports = attribute(2, struct.pack("!H", source_port)) + attribute(3, struct.pack("!H", port))
    numbers = attribute(2 | _NESTED, attribute(1, bytes([UDP])) + ports)
    return attribute(kind | _NESTED, addresses + numbers)


def template() -> bytes:
    body = struct.pack("=BBH", socket.AF_INET, 0, 0)
    body += way(1, PEER, OWN, 40000, PORT) + way(2, OWN, PEER, PORT, 40000)
    body += attribute(3, struct.pack("!I", _STATUS)) + attribute(7, struct.pack("!I", _SECONDS))
    return struct.pack("=IHHII", len(body) + 16, _NEW, _CREATE_ALONE, 1, 0) + body


def main(entries: int) -> None:
    start, middle, end = template().split(PEER)
    before, between = middle.split(struct.pack("!H", PORT))
    turned, last = end.split(struct.pack("!H", PORT))
    ports = [struct.pack("!H", 1024 + number) for number in range(16)]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:
        for first in range(0, entries, _AT_ONCE):
            pending = []
            for number in range(first, min(first + _AT_ONCE, entries)):
                peer, port = b"\xc6" + (number >> 4).to_bytes(3, "big"), ports[number % 16]
                pending += (start, peer, before, port, between, peer, turned, port, last)
            kernel.send(b"".join(pending))


main(int(sys.argv[1]))
