# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers on the ports named: ``tcp:22 udp:53``. Both families; says "ready" once it listens.

``group:ADDRESS`` joins a multicast group on the interface that has the address.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys

GROUP = "224.0.0.251"
HELD = 200


def main() -> None:
    waiting = selectors.DefaultSelector()
    held: list[socket.socket] = []
    members: list[socket.socket] = []
    for served in sys.argv[1:]:
        protocol, port = served.split(":")
        if protocol == "group":
            members.append(member_at(port))
            continue
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            one = socket.socket(family, kind)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((any_address, int(port)))
            if protocol == "tcp":
                one.listen(1024)
            waiting.register(one, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _events in waiting.select():
            one = key.fileobj
            if one.type == socket.SOCK_STREAM:
                connection, _peer = one.accept()
                connection.sendall(b"hello")
                # The peer closes first, so that it is its port that waits; the last ones may stay open.
                held.append(connection)
                if len(held) > HELD:
                    held.pop(0).close()
            else:
                _data, peer = one.recvfrom(2048)
                one.sendto(b"answer", peer)


def member_at(address: str) -> socket.socket:
    member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    member.bind(("", 5353))
    interface = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(address))
    member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, interface)
    return member


if __name__ == "__main__":
    main()
