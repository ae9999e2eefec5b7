# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ways to an API server that is not asked directly: behind a gateway's path, and through a proxy."""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from module_run import run_module

# Where a management server has each of its clusters.
PREFIX = "/k8s/clusters/one"

pytestmark = pytest.mark.one_flavour


class Handler(BaseHTTPRequestHandler):
    """Passes requests below the prefix on to the API server, and connections to wherever they are to go."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        url = urlsplit(self.path)
        assert url.path.startswith(PREFIX), self.path
        path = url.path.removeprefix(PREFIX)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.api._request(
            self.command,
            f"{path}?{url.query}",
            json.loads(body) if body else None,
            {},
            self.headers.get("Content-Type", ""),
        )
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.data)))
        self.end_headers()
        self.wfile.write(answer.data)

    do_POST = do_GET

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        host, _colon, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            self._pass_on(self.connection, there)
        self.close_connection = True

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        while True:
            for side in select.select([here, there], [], [])[0]:
                data = side.recv(65536)
                if not data:
                    return
                (there if side is here else here).sendall(data)

    def log_message(self, *_what: object) -> None:
        pass


@contextmanager
def gateway(api, tls: ssl.SSLContext | None = None) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.api, server.asked = api.admin, []
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(api, server: str, directory: Path) -> str:
    return str(api.control_plane.admin_kubeconfig(server, directory / "kubeconfig"))


def protects_nodes(api, **options: str) -> None:
    names = api.add_nodes(2)
    result = run_module("host_endpoints", api, **options)
    assert not result["failed"], result["msg"]
    assert {hep["spec"]["node"] for hep in api.admin.list(api.path("HostEndpoint"))} == set(names)


def test_below_a_path_of_a_gateway(clean_api, tmp_path):
    pki = clean_api.control_plane.run / "pki"
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki / "kube-apiserver.crt", pki / "kube-apiserver.key")
    with gateway(clean_api, tls) as there:
        server = f"https://127.0.0.1:{there.server_port}{PREFIX}"
        protects_nodes(clean_api, kubeconfig=kubeconfig(clean_api, server, tmp_path))
    assert there.asked
    assert all(path.startswith(f"{PREFIX}/api") for path in there.asked)


def test_through_a_proxy(clean_api):
    with gateway(clean_api) as there:
        protects_nodes(clean_api, proxy=f"http://127.0.0.1:{there.server_port}")
    assert set(there.asked) == {clean_api.admin.server.removeprefix("https://")}


def test_plain_http_through_a_proxy(clean_api, tmp_path):
    nowhere = f"http://127.0.0.1:9{PREFIX}"
    with gateway(clean_api) as there:
        protects_nodes(
            clean_api,
            kubeconfig=kubeconfig(clean_api, nowhere, tmp_path),
            proxy=f"http://127.0.0.1:{there.server_port}",
        )
    assert there.asked
    assert all(path.startswith(f"{nowhere}/api") for path in there.asked)
