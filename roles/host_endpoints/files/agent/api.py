# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Kubernetes API from inside a pod, as plain JSON."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlencode

from .bad_input import BadInput
from .host_endpoint import FIELD_MANAGER

CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# For a connection to be made, and for any answer but a watch's.
ANSWER_SECONDS = 10
PAGE_SIZE = 500

# A peer that is gone without a word (a firewall's silent drop) is noticed after 20 + 2 * 10 seconds, whether
# we wait for it (keepalive) or it owes us an acknowledgement (user timeout, looked at with every probe).
_TCP_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 35_000),
)

Object = dict[str, Any]


class AgentApiError(Exception):
    """A request that did not succeed.

    :ivar status: HTTP status, 0 where there was no answer
    :ivar retry_after: seconds for which the server wants to be left alone
    """

    def __init__(self, message: str, status: int = 0, retry_after: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Api:
    """The API server, by the pod's own ServiceAccount.

    Kubernetes replaces token and CA while the pod runs. So the token is read for every request and the CA
    for every connection.

    :param credentials: directory with ``token`` and ``ca.crt``
    :param keep_connection: use one connection for many requests
    :raises BadInput: this does not run in a pod with a ServiceAccount's token
    """

    def __init__(self, credentials: Path = CREDENTIALS, keep_connection: bool = False) -> None:
        self._host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
        self._port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._credentials = credentials
        self._keep_connection = keep_connection
        self._kept: Optional[http.client.HTTPSConnection] = None
        self.requests_sent = 0
        if not self._host:
            raise BadInput("KUBERNETES_SERVICE_HOST", "", "must be set, as Kubernetes does in every pod")
        for name in ("token", "ca.crt"):
            if not (credentials / name).is_file():
                raise BadInput(str(credentials / name), None, "must be there: mount the token")

    def get(self, path: str) -> Optional[Object]:
        """One object, or None where it does not exist."""
        try:
            return self._request("GET", path)
        except AgentApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, **query: str) -> Object:
        """A whole list: ``items`` from all pages, ``metadata`` from the first."""
        found, *others = self.pages(path, **query)
        for page in others:
            found["items"] += page["items"]
        return found

    def pages(self, path: str, **query: str) -> Iterator[Object]:
        """A list page by page; ``limit`` says how many objects are on one."""
        query = {"limit": str(PAGE_SIZE), **query}
        while True:
            page = self._request("GET", path, query)
            yield page
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]

    def create(self, collection: str, obj: Object) -> None:
        self._request("POST", collection, {"fieldManager": FIELD_MANAGER}, obj)

    def replace(self, path: str, obj: Object) -> None:
        """Replace an object at the version that it carries; status 409 if it has another by now."""
        self._request("PUT", path, {"fieldManager": FIELD_MANAGER}, obj)

    def apply(self, path: str, obj: Object) -> None:
        """Create or correct an object by server-side apply: needs no right to read it."""
        self._request("PATCH", path, {"fieldManager": FIELD_MANAGER, "force": "true"}, obj)

    def delete(self, path: str, uid: str) -> None:
        """Delete that very object, and not a successor of its name."""
        self._request("DELETE", path, {}, {"preconditions": {"uid": uid}})

    def watch(self, path: str, query: Mapping[str, str]) -> Stream:
        """Events as they happen, until the server ends it.

        :raises AgentApiError: no stream was opened
        """
        connection = self._connect()
        # Kept here, because a connection forgets its socket once the answer to come has taken it over.
        taken: socket.socket = connection.sock
        try:
            return Stream(connection, taken, self._send(connection, "GET", path, {**query, "watch": "true"}))
        except AgentApiError:
            connection.close()
            raise

    def _request(
        self, method: str, path: str, query: Optional[Mapping[str, str]] = None, body: Optional[Object] = None
    ) -> Object:
        connection = self._kept or self._connect()
        self._kept = None
        try:
            answer = self._send(connection, method, path, query or {}, body)
            found: Object = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise AgentApiError(f"{method} {path}: {_why(error)}")
        except AgentApiError:
            connection.close()
            raise
        if self._keep_connection:
            self._kept = connection
        else:
            connection.close()
        return found

    def _connect(self) -> http.client.HTTPSConnection:
        try:
            context = ssl.create_default_context(cafile=str(self._credentials / "ca.crt"))
            connection = http.client.HTTPSConnection(
                self._host, int(self._port), timeout=ANSWER_SECONDS, context=context
            )
            connection.connect()
            for option in _TCP_OPTIONS:
                connection.sock.setsockopt(*option)
        except OSError as error:
            raise AgentApiError(f"no connection to {self._host}:{self._port}: {_why(error)}")
        return connection

    def _send(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Optional[Object] = None,
    ) -> http.client.HTTPResponse:
        """The answer, its head read and its body not.

        :raises AgentApiError: no answer, or one that is no success
        """
        self.requests_sent += 1
        url = path + (f"?{urlencode(query)}" if query else "")
        try:
            token = (self._credentials / "token").read_text().strip()
            headers = {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "Content-Type": "application/apply-patch+yaml" if method == "PATCH" else "application/json",
                "User-Agent": "hostfence-agent",
            }
            connection.request(method, url, json.dumps(body).encode() if body else None, headers)
            answer = connection.getresponse()
            if answer.status < 400:
                return answer
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AgentApiError(f"{method} {path}: {_why(error)}")
        raise AgentApiError(
            f"{method} {path}: {answer.status} {_message(said)}", answer.status, _retry_after(answer)
        )


class Stream:
    """An open watch."""

    def __init__(
        self,
        connection: http.client.HTTPSConnection,
        taken: socket.socket,
        answer: http.client.HTTPResponse,
    ) -> None:
        self._connection = connection
        self._socket = taken
        self._answer = answer

    def patience(self, seconds: float) -> None:
        """How long the server may be silent from now on."""
        self._socket.settimeout(seconds)

    def events(self) -> Iterator[Object]:
        """Events, until the server ends the watch, or a broken connection looks as if it had.

        :raises AgentApiError: the connection broke, or was silent for too long
        """
        try:
            while True:
                line = self._answer.readline()
                if not line:
                    return
                yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AgentApiError(_why(error))

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def _why(error: Exception) -> str:
    # Before Python 3.10 it is no TimeoutError.
    if isinstance(error, socket.timeout):
        return "the server was silent for too long"
    return str(error) or type(error).__name__


def _message(said: bytes) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        return said[:200].decode(errors="replace")


def _retry_after(answer: http.client.HTTPResponse) -> float:
    said = answer.headers.get("Retry-After") or ""
    return float(said) if said.isdigit() else 0
