# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bare API, as fast as the standard library speaks it: what any reconciler pays at least.

Reads a job from standard input: ``{kubeconfig, what, requests: [[method, path, body], …]}``; prints the
seconds between the first request and the last answer, connections already open.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local
from urllib.parse import quote, urlsplit

import yaml

CONNECTIONS = 8
PAGE = 500
HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
NODES = "/api/v1/nodes"
LISTS = {"list-heps": [HEPS], "list-nodes": [NODES], "list-both": [HEPS, NODES]}


def connect(kubeconfig: str) -> http.client.HTTPSConnection:
    with open(kubeconfig) as file:
        config = yaml.safe_load(file)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]))
        pair.write(base64.b64decode(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    address = urlsplit(cluster["server"])
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context)
    connection.connect()
    return connection


def write(kubeconfig: str, requests: list[list[str]]) -> float:
    own = local()

    def open_one() -> None:
        own.connection = connect(kubeconfig)

    def send(request: list[str]) -> None:
        method, path, body = request
        own.connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = own.connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status}")

    with ThreadPoolExecutor(CONNECTIONS, initializer=open_one) as pool:
        list(pool.map(time.sleep, [0.2] * CONNECTIONS))  # every thread has its connection now
        begun = time.monotonic()
        list(pool.map(send, requests))
        return time.monotonic() - begun


def read(kubeconfig: str, paths: list[str]) -> float:
    connection = connect(kubeconfig)
    begun = time.monotonic()
    for path in paths:
        following = ""
        while True:
            connection.request("GET", f"{path}?limit={PAGE}&continue={quote(following)}")
            page = json.loads(connection.getresponse().read())
            following = page["metadata"].get("continue", "")
            if not following:
                break
    return time.monotonic() - begun


def main() -> None:
    job = json.load(sys.stdin)
    if job["what"] == "write":
        print(write(job["kubeconfig"], job["requests"]))
    else:
        print(read(job["kubeconfig"], LISTS[job["what"]]))


if __name__ == "__main__":
    main()
