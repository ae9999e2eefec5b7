# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The watchdogs of a transaction: their accounts, what they may do, and starting them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..calico.host_endpoint import OWNER, OWNER_LABEL
from ..calico.transaction.state import EVERYTHING, SWITCH_PREFIX, TRANSACTION_LABEL, switch_name
from ..controller.node_programs import ProgramLogin, run_on
from ..node import start_program, watchdog
from . import api_endpoints
from .client import ApiError, Cluster, Object
from .flavour import Flavour
from .watchdog_pods import config_map, deployment

# It is there in every cluster, and stays: one of our own would take its time to go.
NAMESPACE = "kube-system"
NAME = "hostfence-watchdog"
MOST = 3
NAMES = tuple(f"{NAME}-{number}" for number in range(1, MOST + 1))
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_SHORTEST_TOKEN = 600
_SEEN = "hostfence.io/seen"


@dataclass(frozen=True)
class Acknowledgement:
    """What one watchdog's Lease says.

    :ivar seen: the armings that it has seen
    """

    name: str
    seen: frozenset[str]
    resource_version: str


class Watchdogs:
    """The watchdogs of one transaction.

    :param count: how many
    :param switches: how many switches they look at
    """

    def __init__(
        self, cluster: Cluster, served: Flavour, transaction: str, count: int, switches: int
    ) -> None:
        self._cluster = cluster
        self._served = served
        self._labels = {OWNER_LABEL: OWNER, TRANSACTION_LABEL: transaction}
        self.names = NAMES[:count]
        self._switches = [switch_name(number) for number in range(1, switches + 1)]

    def grant(self) -> None:
        """Write accounts and rights; what a transaction before left is overwritten."""
        for path, obj in self._objects():
            self._cluster.apply(path, obj)

    def start_on(
        self, nodes: Sequence[ProgramLogin], seconds: int, servers: Sequence[Sequence[Any]] = ()
    ) -> list[str]:
        """Start one on each of the nodes.

        :param seconds: to live at most
        :param servers: addresses and ports of API servers as nodes reach them, beside what the API tells
        :returns: why some did not start
        :raises ClusterError: no token is given out
        """
        by_node = dict(zip((login.node for login in nodes), self.names))
        options = {node: self._options(name, seconds, servers) for node, name in by_node.items()}
        program = inspect.getsource(watchdog)
        answers = run_on(
            nodes,
            inspect.getsource(start_program),
            lambda node: {"name": by_node[node], "program": program, "options": options[node]},
        )
        return [answer.error for answer in answers.values() if answer.error]

    def start_pods(self, image: str, seconds: int) -> None:
        """Start each as a pod.

        :param image: has Python 3.9 or later
        :param seconds: to live at most
        """
        expiry = max(seconds, _SHORTEST_TOKEN)
        for name in self.names:
            options = self._placed(name, seconds, ())
            map_ = config_map(name, NAMESPACE, self._labels, options)
            self._cluster.apply(f"{_CONFIG_MAPS}/{name}", map_)
            pods = deployment(name, NAMESPACE, self._labels, image, expiry)
            self._cluster.apply(f"{_DEPLOYMENTS}/{name}", pods)

    def acknowledgements(self) -> list[Acknowledgement]:
        found = []
        for name in self.names:
            lease = self._cluster.find(f"{_LEASES}/{name}")
            if lease:
                seen = (lease["metadata"].get("annotations") or {}).get(_SEEN) or ""
                version = lease["metadata"]["resourceVersion"]
                found.append(Acknowledgement(name, frozenset(filter(None, seen.split(","))), version))
        return found

    def wait_for(self, arming: str, seconds: float) -> list[str]:
        """Names of those that acknowledged an arming, once all did or the time is over."""
        end = time.monotonic() + seconds
        while True:
            seen = [ack.name for ack in self.acknowledgements() if arming in ack.seen]
            if len(seen) == len(self.names) or time.monotonic() > end:
                return seen
            time.sleep(0.2)

    def alive(self, seconds: float = 6) -> list[str]:
        """Names of those that write their Lease while we look."""
        before = {ack.name: ack.resource_version for ack in self.acknowledgements()}
        end = time.monotonic() + seconds
        while True:
            now = [a.name for a in self.acknowledgements() if before.get(a.name) != a.resource_version]
            if len(now) == len(self.names) or time.monotonic() > end:
                return now
            time.sleep(0.2)

    def revoke(self) -> None:
        """Remove accounts and rights, and with them every token."""
        revoke(self._cluster)

    def _options(self, name: str, seconds: int, servers: Sequence[Sequence[Any]]) -> Object:
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": max(seconds, _SHORTEST_TOKEN)},
        }
        token = self._cluster.create(path, request)["status"]["token"]
        return {"token": token, **self._placed(name, seconds, servers)}

    def _placed(self, name: str, seconds: int, servers: Sequence[Sequence[Any]]) -> Object:
        """What a watchdog is given but for its token."""
        return {
            "name": name,
            "endpoints": _unique([*servers, *endpoints(self._cluster), *_as_from_here(self._cluster)]),
            "ca": self._cluster.authority() or _published_authority(self._cluster),
            "switches": [self._served.path("GlobalNetworkSet", name) for name in self._switches],
            "lease": f"{_LEASES}/{name}",
            "until": seconds,
        }

    def _objects(self) -> list[tuple[str, Object]]:
        group = self._served.group
        role = _rules({group: ("globalnetworksets", self._switches, ["get", "watch", "patch"])})
        accounts = [_subject(name) for name in self.names]
        found = [
            self._object(f"{_RBAC}/clusterroles", f"{_RBAC[6:]}", "ClusterRole", NAME, rules=role),
            self._object(
                f"{_RBAC}/clusterrolebindings",
                _RBAC[6:],
                "ClusterRoleBinding",
                NAME,
                roleRef=_reference("ClusterRole", NAME),
                subjects=accounts,
            ),
            self._object(
                f"{_ADMISSION}/validatingadmissionpolicies",
                _ADMISSION[6:],
                "ValidatingAdmissionPolicy",
                NAME,
                spec=_admission(),
            ),
            self._object(
                f"{_ADMISSION}/validatingadmissionpolicybindings",
                _ADMISSION[6:],
                "ValidatingAdmissionPolicyBinding",
                NAME,
                spec={"policyName": NAME, "validationActions": ["Deny"]},
            ),
        ]
        inside = f"{_RBAC}/namespaces/{NAMESPACE}"
        for name in self.names:
            leases = _rules({"coordination.k8s.io": ("leases", [name], ["get", "patch"])})
            found += [
                self._object(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", "v1", "ServiceAccount", name),
                self._object(_LEASES, "coordination.k8s.io/v1", "Lease", name, spec={}),
                self._object(f"{inside}/roles", _RBAC[6:], "Role", name, rules=leases),
                self._object(
                    f"{inside}/rolebindings",
                    _RBAC[6:],
                    "RoleBinding",
                    name,
                    roleRef=_reference("Role", name),
                    subjects=[_subject(name)],
                ),
            ]
        return found

    def _object(self, collection: str, version: str, kind: str, name: str, **more: Any) -> tuple[str, Object]:
        metadata: Object = {"name": name, "labels": self._labels}
        if "/namespaces/" in collection:
            metadata["namespace"] = NAMESPACE
        return f"{collection}/{name}", {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def revoke(cluster: Cluster) -> None:
    """Remove all that :meth:`Watchdogs.grant` wrote; accounts first, so that no token outlives its limits.

    Who may not remove it may not have made it either, and went without watchdogs.
    """
    mine = f"{OWNER_LABEL}={OWNER},{TRANSACTION_LABEL}"
    inside = f"{_RBAC}/namespaces/{NAMESPACE}"
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    for path in (_DEPLOYMENTS, _CONFIG_MAPS, accounts, _LEASES, f"{inside}/rolebindings", f"{inside}/roles"):
        for obj in cluster.list_if_readable(path, labelSelector=mine) or []:
            cluster.delete(f"{path}/{obj['metadata']['name']}")
    for path in (
        f"{_RBAC}/clusterrolebindings",
        f"{_RBAC}/clusterroles",
        f"{_ADMISSION}/validatingadmissionpolicybindings",
        f"{_ADMISSION}/validatingadmissionpolicies",
    ):
        try:
            cluster.delete(f"{path}/{NAME}")
        except ApiError as error:
            if not error.forbidden:
                raise


def endpoints(cluster: Cluster) -> list[list[Any]]:
    """Where the API servers are, as nodes reach them."""
    slices = cluster.list(api_endpoints.PATH, labelSelector=api_endpoints.SELECTOR)
    found: list[list[Any]] = [[one.address, one.port] for one in api_endpoints.endpoints_of(slices)]
    service = cluster.find("/api/v1/namespaces/default/services/kubernetes")
    if service and service["spec"].get("clusterIP") not in (None, "None"):
        found.append([service["spec"]["clusterIP"], int(service["spec"]["ports"][0]["port"])])
    return found


def _as_from_here(cluster: Cluster) -> list[list[Any]]:
    """The server of this connection: the last that a watchdog tries, as a node need not reach it so."""
    url = urlsplit(cluster.host)
    return [[url.hostname, url.port or 443]] if url.scheme == "https" and url.hostname else []


def _published_authority(cluster: Cluster) -> str:
    """The CA that Kubernetes publishes in every namespace, for a connection without TLS (kubectl proxy)."""
    found = cluster.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/kube-root-ca.crt") or {}
    return str((found.get("data") or {}).get("ca.crt") or "")


def _unique(servers: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(pair) for pair in dict.fromkeys((str(host), int(port)) for host, port in servers)]


def _rules(resources: Mapping[str, tuple[str, Sequence[str], Sequence[str]]]) -> list[Object]:
    return [
        {"apiGroups": [group], "resources": [kind], "resourceNames": list(names), "verbs": list(verbs)}
        for group, (kind, names, verbs) in resources.items()
    ]


def _subject(name: str) -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}


def _reference(kind: str, name: str) -> Object:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


def _admission() -> Object:
    """Holds watchdogs to one change: an armed or switched wave goes back to old policy, and says by whom."""
    mutable = "['hostfence.io/phase', 'hostfence.io/by', 'hostfence.io/at', 'hostfence.io/reason']"
    everything = "[" + ", ".join(f"'{net}'" for net in EVERYTHING) + "]"
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["crd.projectcalico.org", "projectcalico.org"],
                    "apiVersions": ["*"],
                    "resources": ["globalnetworksets"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                }
            ]
        },
        "matchConditions": [
            {
                "name": "from-a-watchdog",
                "expression": (
                    f"request.userInfo.username.startsWith('system:serviceaccount:{NAMESPACE}:{NAME}-')"
                ),
            }
        ],
        "variables": [
            {"name": "before", "expression": "oldObject.metadata.?annotations.orValue({})"},
            {"name": "after", "expression": "object.metadata.?annotations.orValue({})"},
        ],
        "validations": [
            {
                "expression": (
                    f"request.operation == 'UPDATE' && object.metadata.name.startsWith('{SWITCH_PREFIX}') && "
                    "variables.before[?'hostfence.io/phase'].orValue('') in ['armed', "
                    "'switched', 'rolled-back']"
                ),
                "message": "a watchdog may only switch an unconfirmed wave back",
                "reason": "Forbidden",
            },
            {
                "expression": (
                    f"object.spec.?nets.orValue([]) == {everything} && "
                    "variables.after[?'hostfence.io/phase'].orValue('') == 'rolled-back'"
                ),
                "message": "a watchdog may only switch to old policy, with the phase rolled-back",
                "reason": "Forbidden",
            },
            {
                "expression": (
                    f"variables.after.all(key, key in {mutable} || "
                    "variables.before[?key] == variables.after[?key]) && "
                    f"variables.before.all(key, key in {mutable} || key in variables.after) && "
                    "object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({}) && "
                    "object.metadata.?ownerReferences.orValue([]) == "
                    "oldObject.metadata.?ownerReferences.orValue([]) && "
                    "object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([])"
                ),
                "message": "a watchdog may change nothing else of a switch",
                "reason": "Forbidden",
            },
        ],
    }
