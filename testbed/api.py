# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Kubernetes API as plain JSON, as far as the testbed and its stand-ins need it."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

Json = dict[str, Any]

# As many as the API server handles at once for one client without queueing on two cores.
_CONNECTIONS = 8
# A server that has just started answers 429 until its caches are filled.
_WAIT_IF_TOLD_TO = urllib3.Retry(
    total=10,
    connect=0,
    read=0,
    status=10,
    other=0,
    status_forcelist=(429,),
    allowed_methods=None,
    raise_on_status=False,
)
_MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """An answer that is not a success.

    :param status: HTTP status
    :param reason: Kubernetes reason, for example ``AlreadyExists``
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status} {reason}: {message}")


class Api:
    """One API server with one identity.

    :param kubeconfig: file whose current context has its certificates embedded, as ours have
    """

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        contexts = {entry["name"]: entry["context"] for entry in config["contexts"]}
        context = contexts[config["current-context"]]
        cluster = {entry["name"]: entry["cluster"] for entry in config["clusters"]}[context["cluster"]]
        user = {entry["name"]: entry["user"] for entry in config["users"]}[context["user"]]
        self.server: str = cluster["server"]
        self._pool = urllib3.PoolManager(
            maxsize=_CONNECTIONS,
            block=True,
            ssl_context=_ssl_context(cluster, user),
            retries=_WAIT_IF_TOLD_TO,
            timeout=urllib3.Timeout(connect=5, read=60),
        )

    def get(self, path: str, **query: str) -> Json:
        return self._json("GET", path, None, query)

    def list(self, path: str, **query: str) -> list[Json]:
        """All items of a collection."""
        items: list[Json] = self.get(path, **query)["items"]
        return items

    def post(self, path: str, body: Json, **query: str) -> Json:
        return self._json("POST", path, body, query)

    def put(self, path: str, body: Json, **query: str) -> Json:
        return self._json("PUT", path, body, query)

    def patch(self, path: str, body: Json, content_type: str = _MERGE_PATCH, **query: str) -> Json:
        """A JSON merge patch, unless told otherwise."""
        return self._json("PATCH", path, body, query, content_type)

    def delete(self, path: str, **query: str) -> Json:
        """Deletes an object or, for the path of a collection, all of it."""
        return self._json("DELETE", path, None, query)

    def unready(self) -> str:
        """Why the server does not serve yet; empty where it answers and has finished starting."""
        try:
            answer = self._request("GET", "/readyz", None, {}, "")
        except urllib3.exceptions.HTTPError as error:
            return " ".join(str(error).split())
        if answer.status == 200:
            return ""
        failing = [
            line for line in answer.data.decode(errors="replace").splitlines() if line.startswith("[-]")
        ]
        return f"/readyz answers {answer.status} {', '.join(failing)}".strip()

    def watch(self, path: str, **query: str) -> Iterator[Json]:
        """Watch events of a collection; ends when the server ends the watch.

        :raises ApiError: an ERROR event, for example an expired resourceVersion
        """
        response = self._pool.request(
            "GET",
            self._url(path, {**query, "watch": "1"}),
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=None),
        )
        try:
            _raise_for(response.status, b"" if response.status < 300 else response.read())
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(
                        status.get("code", 500), status.get("reason", ""), status.get("message", "")
                    )
                yield event
        finally:
            response.close()

    def _url(self, path: str, query: Mapping[str, str]) -> str:
        return f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")

    def _request(
        self, method: str, path: str, body: Json | None, query: Mapping[str, str], content_type: str
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        data = None if body is None else json.dumps(body).encode()
        return self._pool.request(method, self._url(path, query), body=data, headers=headers)

    def _json(
        self,
        method: str,
        path: str,
        body: Json | None,
        query: Mapping[str, str],
        content_type: str = "application/json",
    ) -> Json:
        response = self._request(method, path, body, query, content_type)
        _raise_for(response.status, response.data)
        answer: Json = json.loads(response.data)
        return answer


def in_parallel(calls: Iterable[Callable[[], object]]) -> None:
    """Runs many API calls over the kept connections; the first failure is raised when all have ended."""
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        futures = [pool.submit(call) for call in calls]
    for future in futures:
        future.result()


def write_kubeconfig(path: Path, server: str, authority: Path, certificate: Path, key: Path) -> Path:
    """Writes a kubeconfig that needs no other file."""

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    name = "hostfence-testbed"
    user = {"client-certificate-data": embedded(certificate), "client-key-data": embedded(key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": embedded(authority)}}
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def _ssl_context(cluster: Json, user: Json) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    # Python loads a client certificate from a file only.
    with tempfile.NamedTemporaryFile() as pair:
        for part in ("client-certificate-data", "client-key-data"):
            pair.write(base64.b64decode(user[part]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


def _raise_for(status: int, data: bytes) -> None:
    if status < 300:
        return
    try:
        answer = json.loads(data)
        raise ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    except ValueError:
        raise ApiError(status, "", data.decode(errors="replace")[:200])


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line)
