# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One cluster's API as plain JSON.

Authentication, TLS and proxies are those of kubernetes.core and the kubernetes client; retries are
urllib3's. What is left is small on purpose: no discovery, no model objects, one request a call.
This is the only file that imports kubernetes.core.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlencode, urlsplit

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import (
    _create_auth_spec,
    _create_configuration,
    _create_headers,
)

from ..calico.host_endpoint import FIELD_MANAGER

try:
    import kubernetes
    import urllib3

    HAS_KUBERNETES = True
except ImportError:
    HAS_KUBERNETES = False

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

CONCURRENCY = 8
PAGE_SIZE = 250

CONNECTION_OPTIONS: dict[str, Any] = AUTH_ARG_SPEC

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"

Object = dict[str, Any]
Objects = list[Object]


class ClusterError(Exception):
    """The API could not be used; the message is one line and says what to do."""


class NoAnswer(ClusterError):
    """The API server did not answer, after the tries that can help."""


@dataclass
class ApiError(ClusterError):
    """The API answered, and not with success.

    :ivar status: HTTP status code
    :ivar reason: Kubernetes' machine-readable reason, for example ``Conflict``, or empty
    """

    status: int
    reason: str
    message: str
    method: str
    path: str

    def __str__(self) -> str:
        text = f"{self.method} {self.path}: {self.status} {self.reason}: {self.message}".replace("\n", " ")
        return text + (f" - {_REMEDIES[self.status]}" if self.status in _REMEDIES else "")

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status == 403

    @property
    def conflict(self) -> bool:
        return self.status == 409


_CERTIFICATE_FAULT = re.compile(r"certificate verify failed: (.+?)(?: \(_ssl|\)|\Z)")
_STRICT_FAULTS = ("key identifier", "key usage", "basic constraints", "path length", "issuer name empty")

_REMEDIES = {
    401: "the API does not accept these credentials; check the kubeconfig's user, or its token's age",
    403: "give this user that permission; the role preflight lists every permission that is needed",
    429: "the API server is overloaded and still was after several tries; run again later",
}


class Cluster:
    """A connection pool to one API server.

    :param configuration: a ``kubernetes.client.Configuration``
    :param headers: sent with every request (impersonation)
    """

    def __init__(self, configuration: Any, headers: Optional[Mapping[str, str]] = None) -> None:
        configuration.connection_pool_maxsize = CONCURRENCY
        self._api = kubernetes.client.ApiClient(configuration)
        self._host: str = configuration.host.rstrip("/")
        pools: Any = self._api.rest_client.pool_manager
        if self._host.startswith("https:"):
            # One server, so one pool: finding it again takes an eighth of a write's processor time.
            self._pool, self._base = pools.connection_from_url(self._host), urlsplit(self._host).path
        else:
            # A proxy of plain HTTP wants the whole URL.
            self._pool, self._base = pools, self._host
        self._headers = {"Accept": JSON, "User-Agent": FIELD_MANAGER, **(headers or {})}
        # Only a plugin that renews its token makes a difference between two requests.
        self._renews_auth = configuration.refresh_api_key_hook is not None
        if not self._renews_auth:
            self._authenticate(self._headers)
        self.requests_sent = 0
        # A write is only ever repeated because each of Hostfence's can be: apply, replace at a known
        # version, delete. A wrong certificate does not get better by trying again (other=0).
        self._retries = urllib3.Retry(
            total=8,
            connect=2,
            read=3,
            other=0,
            status=6,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
            backoff_factor=0.2,
            backoff_jitter=0.2,
            backoff_max=10,
            raise_on_status=False,
        )

    @classmethod
    def of_module(cls, module: AnsibleModule) -> Cluster:
        """The cluster that a module's connection options, or ``K8S_AUTH_*``, name.

        :raises ClusterError: as :meth:`of_options`
        """
        return cls.of_options(module.params)

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> Cluster:
        """The cluster that connection options, or ``K8S_AUTH_*`` where one is absent or None, name.

        :param options: by the names of kubernetes.core's options; others in it are not looked at
        :raises ClusterError: no kubeconfig, or one that cannot be used
        """
        if not HAS_KUBERNETES:
            raise ClusterError(
                "the Python package 'kubernetes' is missing where this runs: "
                "pip install -r requirements.txt, and run it on the controller"
            )
        given = {name: options[name] for name in CONNECTION_OPTIONS if options.get(name) is not None}
        try:
            configuration = _create_configuration(_create_auth_spec(**given))
        except Exception as error:  # the client raises its own, PyYAML's and OSError alike
            raise ClusterError(
                f"no usable connection to a cluster from {_origin(given)}: {_one_line(error)} - "
                "set kubeconfig (hostfence_kubeconfig for the playbooks, or K8S_AUTH_KUBECONFIG) to a "
                "kubeconfig file, and context to one in it"
            )
        return cls(configuration, _create_headers(**given))

    def asking_once(self) -> Cluster:
        """The same connection, for questions whose answer may well be no: no request is sent again."""
        once = copy.copy(self)
        once._retries = self._retries.new(total=0, connect=0, read=0, status=0)
        return once

    @property
    def host(self) -> str:
        """URL of the API server as the connection options name it."""
        return self._host

    def authority(self) -> str:
        """The certificates, as PEM, that this connection trusts; empty for those of the system."""
        path = self._api.configuration.ssl_ca_cert
        return Path(path).read_text(encoding="utf-8") if path else ""

    def request(
        self,
        method: str,
        path: str,
        body: Optional[Object] = None,
        params: Optional[Mapping[str, str]] = None,
        content_type: str = JSON,
    ) -> Object:
        """One request.

        :param path: absolute, for example ``/api/v1/nodes``
        :returns: the decoded answer
        :raises ApiError: any status of 400 and above
        :raises ClusterError: something else than an API server answered
        :raises NoAnswer: no answer at all
        """
        return self._decoded(self._send(method, path, body, params, content_type), method, path)

    def _decoded(self, answer: bytes, method: str, path: str) -> Object:
        try:
            return _decode(answer)
        except ValueError:
            raise ClusterError(
                f"{method} {self._host}{path}: the answer is no JSON, so no API server's: check which "
                f"server the kubeconfig names, and proxies between ({answer[:60]!r})"
            )

    def _send(
        self,
        method: str,
        path: str,
        body: Optional[Object],
        params: Optional[Mapping[str, str]],
        content_type: str,
    ) -> bytes:
        headers = dict(self._headers)
        if self._renews_auth:
            self._authenticate(headers)
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body, separators=(",", ":")).encode()
        url = self._base + path + (f"?{urlencode(params)}" if params else "")
        self.requests_sent += 1
        try:
            # The body is encoded already; "request" would look for form fields to encode.
            answer = self._pool.request_encode_url(
                method, url, headers=headers, body=data, retries=self._retries, timeout=60
            )
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(_explain_no_answer(self._host, error))
        if answer.status >= 400:
            raise _api_error(answer, method, path)
        data_of_answer: bytes = answer.data
        return data_of_answer

    def _authenticate(self, headers: dict[str, str]) -> None:
        self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)

    def get(self, path: str) -> Object:
        """One object, or any other document the API serves.

        :raises ApiError: also when it does not exist (``not_found``)
        """
        return self.request("GET", path)

    def text(self, path: str, **params: str) -> str:
        """What the API serves as plain text, a pod's log for example.

        :raises ApiError: also when it does not exist (``not_found``)
        """
        return self._send("GET", path, None, params, JSON).decode(errors="replace")

    def find(self, path: str) -> Optional[Object]:
        """One object, or None where it, or its kind, does not exist."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def list(self, path: str, **selectors: str) -> Iterator[Object]:
        """All objects of a collection, page by page.

        :param selectors: ``labelSelector``, ``fieldSelector``, ``limit`` for pages of another size
        :raises ApiError: as :meth:`request`
        """
        params = {"limit": str(PAGE_SIZE), **selectors}

        def ask_for(following: Optional[str]) -> Optional[Future[bytes]]:
            if not following:
                return None
            return ahead.submit(self._send, "GET", path, None, {**params, "continue": following}, JSON)

        answer = self._send("GET", path, None, params, JSON)
        with ThreadPoolExecutor(max_workers=1) as ahead:
            while True:
                # The server makes the next page while this one is decoded, which takes as long again.
                coming = ask_for(_continue_in_front(answer))
                page = self._decoded(answer, "GET", path)
                coming = coming or ask_for(page["metadata"].get("continue"))
                # Decoded, a thousand Nodes as kubelets write them take some 60 MiB: one page at a time.
                yield from page.pop("items")
                if not coming:
                    return
                answer = coming.result()

    def list_if_readable(self, path: str, **selectors: str) -> Optional[Objects]:
        """All objects of a collection, or None where the API does not serve it, or not to this user.

        An API group that does not exist answers 403 to who may not list it.
        """
        try:
            return list(self.list(path, **selectors))
        except ApiError as error:
            if error.status in (403, 404):
                return None
            raise

    def apply(self, path: str, obj: Object, dry_run: bool = False) -> Object:
        """Server-side apply as our field manager: creates the object, or takes over the fields named.

        Create and change in this one way, and the API knows which fields are ours and removes those
        that are no longer named.

        :param path: the object's own path
        :returns: the object as stored
        """
        params = {**_write_params(dry_run), "force": "true"}
        return self.request("PATCH", path, obj, params, APPLY)

    def create(self, path: str, obj: Object, dry_run: bool = False) -> Object:
        """Create one object.

        :param path: the collection's path
        :raises ApiError: also when it exists already (``conflict``)
        """
        return self.request("POST", path, obj, _write_params(dry_run))

    def replace(self, path: str, obj: Object, dry_run: bool = False) -> Object:
        """Replace one object at the ``metadata.resourceVersion`` it carries.

        :raises ApiError: also when someone wrote it meanwhile (``conflict``)
        """
        return self.request("PUT", path, obj, _write_params(dry_run))

    def merge(self, path: str, patch: Object, dry_run: bool = False) -> Object:
        """JSON merge patch; a ``metadata.resourceVersion`` in it makes it conditional."""
        return self.request("PATCH", path, patch, _write_params(dry_run), MERGE)

    def delete(
        self, path: str, uid: Optional[str] = None, version: str = "", *, with_dependents: bool = False
    ) -> bool:
        """Delete one object; with ``uid``, only that very object and not a successor of its name.

        :param version: only if nobody wrote it since this ``resourceVersion``

        :param with_dependents: also what it made; by default a Job, for one, leaves its pods
        :returns: whether it existed
        """
        given = {"uid": uid, "resourceVersion": version}
        conditions = {key: value for key, value in given.items() if value}
        body: Object = {"preconditions": conditions} if conditions else {}
        if with_dependents:
            body["propagationPolicy"] = "Background"
        try:
            self.request("DELETE", path, body or None)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return True


def _origin(options: Mapping[str, Any]) -> str:
    """Where the connection is described, as kubernetes.core and the client look for it."""
    kubeconfig = options.get("kubeconfig") or os.environ.get("K8S_AUTH_KUBECONFIG")
    if isinstance(kubeconfig, Mapping):
        return "the kubeconfig in the options"
    return str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")


def _write_params(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}


# Kubernetes' own kinds have a list's metadata in front of its items; custom resources have it behind them.
_METADATA_IN_FRONT = re.compile(rb'\{"kind":"\w+","apiVersion":"[\w./]+","metadata":(\{[^{}]*\})')


def _continue_in_front(page: bytes) -> Optional[str]:
    """Where the next page of a list begins, if that can be told before the page is decoded."""
    metadata = _METADATA_IN_FRONT.match(page)
    return _decode(metadata[1]).get("continue") if metadata else None


def _decode(data: bytes) -> Object:
    """:raises ValueError: no JSON"""
    decoded: Object = json.loads(data) if data else {}
    return decoded


def _api_error(answer: Any, method: str, path: str) -> ApiError:
    try:
        status = _decode(answer.data)
    except ValueError:
        status = {}
    message = str(status.get("message") or answer.data[:200].decode(errors="replace") or answer.reason)
    return ApiError(answer.status, str(status.get("reason") or answer.reason or ""), message, method, path)


def _explain_no_answer(host: str, error: Exception) -> str:
    text = _one_line(error)
    fault = _CERTIFICATE_FAULT.search(text)
    if fault:
        remedy = f"its certificate is not accepted: {fault[1]}: {_certificate_remedy(fault[1])}"
    elif "SSL" in text:
        remedy = "no TLS connection: check that the kubeconfig's server is an https address of an API server"
    elif "Name or service not known" in text or "NameResolution" in text:
        remedy = "the server's name does not resolve: check the kubeconfig's server"
    else:
        remedy = "is the API server up, and reachable from here?"
    return f"no answer from the API server {host}: {remedy} ({text})"


def _certificate_remedy(fault: str) -> str:
    """What to do about a fault, by the words that OpenSSL has for it (crypto/x509/x509_txt.c)."""
    lowered = fault.lower()
    if "mismatch" in lowered:
        return "name the server in the kubeconfig as the certificate does, or set tls-server-name there"
    if "expired" in lowered or "not yet valid" in lowered:
        return "renew the certificate (kubeadm certs renew apiserver), and check this machine's clock"
    if any(word in lowered for word in _STRICT_FAULTS):
        return (
            "the certificate or its authority's lacks what RFC 5280 demands and Python 3.13 and newer check: "
            "issue it again with that extension, or run Ansible with Python 3.12 or older"
        )
    return "check certificate-authority-data in the kubeconfig: it must hold the authority that signed it"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
