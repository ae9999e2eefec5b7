# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers the kubelet's probes: is the loop alive, is the HostEndpoint as it should be?

A few lines instead of http.server, because a neighbour that opens a connection and sends nothing must not
keep the kubelet waiting: who has not asked within a second gets no answer.
"""

from __future__ import annotations

import socket
import threading
import time

from .api import Api
from .keep import Keeper

# Longer than the slowest round of the loop, which waits for one answer of the API at most.
BEAT_OVERDUE_SECONDS = 120
ASK_SECONDS = 1


class Health(threading.Thread):
    """Listens on one port: ``/live``, ``/ready`` and ``/metrics``."""

    def __init__(self, keeper: Keeper, api: Api, port: int) -> None:
        super().__init__(name="health", daemon=True)
        self._keeper = keeper
        self._api = api
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._socket = socket.create_server(("", port), family=family, backlog=64, dualstack_ipv6=both)

    def run(self) -> None:
        while True:
            try:
                connection, _peer = self._socket.accept()
                with connection:
                    connection.settimeout(ASK_SECONDS)
                    path = connection.recv(1024).split(b" ")[1:2]
                    connection.sendall(self._answer(path[0] if path else b""))
            except OSError:
                # The client has gone.
                continue

    def _answer(self, path: bytes) -> bytes:
        if path == b"/live":
            return _http(time.monotonic() - self._keeper.beaten < BEAT_OVERDUE_SECONDS)
        if path == b"/ready":
            return _http(self._keeper.ready)
        if path == b"/metrics":
            return _http(True, self._metrics())
        return _http(False)

    def _metrics(self) -> str:
        counters = {
            "hostfence_agent_ready": int(self._keeper.ready),
            "hostfence_agent_api_requests_total": self._api.requests_sent,
            "hostfence_agent_writes_total": self._keeper.writes,
            "hostfence_agent_watches_lost_total": sum(w.times_lost for w in list(self._keeper.watches)),
        }
        return "".join(f"{name} {value}\n" for name, value in counters.items())


def _http(well: bool, text: str = "") -> bytes:
    status = "200 OK" if well else "503 Service Unavailable"
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
    return f"{head}Connection: close\r\n\r\n{text}".encode()
