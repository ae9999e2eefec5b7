# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside one network namespace: answers on the vital ports, and opens new connections again and again.

Reads one JSON line: ``listen`` ([protocol, port]), ``paths`` ([name, protocol, source, destination, port]
and ``every`` (seconds). Prints one JSON line a try: ``at`` (seconds since the epoch), ``path``, ``open``.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_SECONDS = 0.9


def listen(ports: list[tuple[str, int]]) -> list[socket.socket]:
    found = []
    for protocol, port in ports:
        server = socket.socket(socket.AF_INET6, _KINDS[protocol])
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("::", port))
        if protocol == "TCP":
            server.listen(64)
        found.append(server)
    return found


def answer(servers: list[socket.socket]) -> None:
    while True:
        for server in select.select(servers, [], [])[0]:
            try:
                if server.type == socket.SOCK_STREAM:
                    server.accept()[0].close()
                else:
                    _data, peer = server.recvfrom(64)
                    server.sendto(b"here", peer)
            except OSError:
                continue


def opens(protocol: str, source: str, destination: str, port: int) -> bool:
    try:
        if protocol == "TCP":
            socket.create_connection((destination, port), _SECONDS, (source, 0)).close()
            return True
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(_SECONDS)
            client.bind((source, 0))
            client.connect((destination, port))
            client.send(b"there?")
            return bool(client.recv(64))
    except OSError:
        return False


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    servers = listen([(protocol, port) for protocol, port in asked["listen"]])
    if servers:
        threading.Thread(target=answer, args=(servers,), daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)

    def attempt(path: list) -> dict:
        name, *ends = path
        return {"at": time.time(), "path": name, "open": opens(*ends)}

    with ThreadPoolExecutor(max(1, len(asked["paths"]))) as pool:
        while True:
            for result in pool.map(attempt, asked["paths"]):
                print(json.dumps(result), flush=True)
            time.sleep(asked["every"])


if __name__ == "__main__":
    main()
