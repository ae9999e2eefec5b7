# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one gatherer of what decides about hosts: each list is read once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Callable, Optional

from ..calico.endpoint_slice import API_SERVICE, service_of
from ..calico.felix.daemon_set import KIND as DAEMON_SET
from ..calico.felix.daemon_set import configured_environment
from ..calico.plan.view import AROUND
from ..calico.stored.kube_proxy import configured_mode
from ..calico.version import noted_version
from . import api_endpoints, felix_surroundings, kube_controllers
from .client import CONCURRENCY, ApiError, Cluster, Object
from .flavour import PLURALS, Flavour, detect, list_stored, migration_phase
from .host_endpoints import NODES

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# Kinds that only some clusters serve and only some users may list; without them a judgement says less.
_OPTIONAL = {"NetworkSet": "networksets", "IPPool": "ippools"}
# Kinds of which the object ``default`` alone matters.
_SINGLE = ("ClusterInformation", "KubeControllersConfiguration")


class HostView:
    """What a cluster holds, as far as it decides about hosts.

    Reading begins with :meth:`begin`, side by side, or when something is first asked for. What may not be
    read raises where it is asked for, not before.
    """

    def __init__(self, cluster: Cluster, flavour: Optional[Flavour] = None) -> None:
        self.cluster = cluster
        self._pool = ThreadPoolExecutor(max_workers=CONCURRENCY)
        self._lock = Lock()
        self._answers: dict[str, Future[Any]] = {}
        self.flavour = flavour or detect(cluster)

    def begin(self, kinds: Iterable[str]) -> None:
        """Begin to read kinds that will be asked for."""
        for kind in kinds:
            self._answer(kind)

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind, as the API lists them; none where it does not serve the kind.

        :raises ApiError: this user may not list them
        """
        found: list[Object] = self._answer(kind).result()
        return found

    def typed(self, kind: str) -> list[Object]:
        """The same with kind and apiVersion, which items of a list do not say."""
        version = "v1" if kind == "Node" else self.flavour.api_version
        return [{**obj, "apiVersion": version, "kind": kind} for obj in self.of(kind)]

    def around(self) -> list[Object]:
        """What decides about hosts, policy apart: HostEndpoints, Nodes, Felix's settings, where pods are."""
        self.begin(AROUND)
        return [obj for kind in AROUND for obj in self.typed(kind)]

    def single(self, kind: str) -> Optional[Object]:
        """The object ``default`` of a kind, where there is one."""
        return next(iter(self.of(kind)), None)

    def readable(self, kind: str) -> list[Object]:
        """All objects of a kind; none where this user may not list them."""
        try:
            return self.of(kind)
        except ApiError as error:
            if error.status in (403, 404):
                return []
            raise

    def api_slices(self) -> list[Object]:
        """The EndpointSlices of the service ``kubernetes``; none where they may not be listed."""
        return [part for part in self.slices() if service_of(part) == API_SERVICE]

    def slices(self) -> list[Object]:
        """The EndpointSlices of the services that nodes live by, with kind and apiVersion."""
        return self._once("slices", lambda: api_endpoints.vital_slices(self.cluster))

    def deployment(self) -> tuple[Optional[Object], bool]:
        """The Deployment of kube-controllers, and whether Deployments may be seen."""
        found: tuple[Optional[Object], bool] = self._future(
            "deployment", lambda: kube_controllers.read_deployment(self.cluster)
        ).result()
        return found

    def migration(self) -> str:
        """Phase of a running datastore migration, or empty."""
        return str(self._future("migration", lambda: migration_phase(self.cluster)).result())

    @property
    def calico_version(self) -> str:
        """The version that Calico noted; empty if none."""
        return noted_version(self.single("ClusterInformation") or {})

    @property
    def environment(self) -> dict[str, str]:
        """Felix's variables that its DaemonSet sets; none where it may not be read."""
        return configured_environment({**item, "kind": DAEMON_SET} for item in self.readable(DAEMON_SET))

    @property
    def kube_proxy_mode(self) -> str:
        """As far as kube-proxy's configuration says it; empty where it may not be read."""
        return configured_mode(self._once("kube-proxy", lambda: felix_surroundings.kube_proxy(self.cluster)))

    def _answer(self, kind: str) -> Future[Any]:
        return self._future(kind, lambda: self._read(kind))

    def _read(self, kind: str) -> list[Object]:
        if kind == "Node":
            return list(self.cluster.list(NODES))
        if kind == DAEMON_SET:
            return list(self.cluster.list(felix_surroundings.DAEMONSETS))
        if kind == "CustomResourceDefinition":
            return list(self.cluster.list(DEFINITIONS))
        if kind in _SINGLE:
            return self._default_of(kind)
        if kind in _OPTIONAL:
            path = f"/apis/{self.flavour.group}/{self.flavour.version}/{_OPTIONAL[kind]}"
            return self.cluster.list_if_readable(path) or []
        if kind not in PLURALS:
            raise AssertionError(kind)
        return list_stored(self.cluster, self.flavour, kind)

    def _default_of(self, kind: str) -> list[Object]:
        if not self.flavour.serves(kind):
            return []
        found = self.cluster.find(self.flavour.path(kind, "default"))
        return [found] if found else []

    def _once(self, key: str, read: Callable[[], list[Object]]) -> list[Object]:
        found: list[Object] = self._future(key, read).result()
        return found

    def _future(self, key: str, read: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            if key not in self._answers:
                self._answers[key] = self._pool.submit(read)
            return self._answers[key]
