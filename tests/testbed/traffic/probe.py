# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the connections that standard input lists, one JSON object a line, sixteen at a time.

``kind``: tcp, udp, ping, sctp or raw. ``to``, ``port``, and where they matter ``source`` and ``protocol``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

SECONDS = 0.3
IPIP = bytes.fromhex("4500001400000000400000000101010102020202")


def probe(line: str) -> None:
    wanted = json.loads(line)
    family = socket.AF_INET6 if ":" in wanted["to"] else socket.AF_INET
    with contextlib.suppress(OSError):
        KINDS[wanted["kind"]](wanted, family)


def tcp(wanted: dict, family: int) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(SECONDS if wanted.get("unanswered") else 5)
        if "source" in wanted:
            one.bind((wanted["source"], 0))
        one.connect((wanted["to"], wanted["port"]))
        one.recv(16)


def udp(wanted: dict, family: int) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(SECONDS)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if "source" in wanted:
            one.bind((wanted["source"], 0))
        one.connect((wanted["to"], wanted["port"]))
        one.send(b"question")
        if wanted.get("answered"):
            one.recv(16)


def ping(wanted: dict, family: int) -> None:
    v6 = family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    body = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, wanted["id"], 1)
    if not v6:
        body = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
    with socket.socket(family, socket.SOCK_RAW, protocol) as one:
        one.sendto(body, (wanted["to"], 0))


def sctp(wanted: dict, family: int) -> None:
    """An INIT with its CRC-32C, which the kernel's connection tracking checks."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65535, 1, 1, 7)
    head = struct.pack("!HHI", wanted["source_port"], wanted["port"], 0)
    body = head + struct.pack("<I", _crc32c(head + b"\0" * 4 + chunk)) + chunk
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP) as one:
        one.sendto(body, (wanted["to"], 0))


def raw(wanted: dict, family: int) -> None:
    with socket.socket(family, socket.SOCK_RAW, wanted["protocol"]) as one:
        body = {4: IPIP, 47: b"\0\0\x08\0" + b"\0" * 20}.get(wanted["protocol"], b"\0" * 16)
        one.sendto(body, (wanted["to"], 0))


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


KINDS = {"tcp": tcp, "udp": udp, "ping": ping, "sctp": sctp, "raw": raw}

if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(probe, sys.stdin))
