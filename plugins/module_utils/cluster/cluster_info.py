# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what matters of a cluster before its hosts are protected: a dozen requests, whatever its size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Callable, Optional, TypeVar

from ..calico.host_endpoint_auto import ENVIRONMENT_OVERRIDE, is_enabled, is_enabled_by_us
from ..calico.host_endpoint_plan import made_by
from ..calico.node_object import is_control_plane, is_true
from ..calico.preflight import AutoHostEndpointsFact, ControllerPods, Facts, HostEndpointFact, NodeFact
from . import kube_controllers, permissions
from .api_endpoints import endpoints_of
from .client import CONCURRENCY, ApiError, Cluster, Object
from .flavour import Flavour
from .host_view import HostView

T = TypeVar("T")

_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
# calico/node, rancher/hardened-calico and the like; the Windows DaemonSet has no HostEndpoints.
_FELIX_IMAGE = re.compile(r"(^|/)(calico/node|calico-node|hardened-calico|mirrored-calico-node)([:@]|$)")
_FELIX_LABELS = ("calico-node", "canal")
# Where in an object the fields lie that we ask the API about.
_SCHEMA_PATHS = {
    "FelixConfiguration": ("spec",),
    "GlobalNetworkPolicy": ("spec",),
    "HostEndpoint": ("spec",),
    "KubeControllersConfiguration": ("spec", "controllers", "node", "hostEndpoint"),
    "Tier": ("spec",),
}


@dataclass(frozen=True)
class ClusterFacts:
    """What was read.

    :ivar facts: what preflight judges
    :ivar nodes: Node objects
    :ivar served: all kinds that the API serves in the group in use
    :ivar schema: kind -> the fields of it that the API knows (of KubeControllersConfiguration: those of
        ``spec.controllers.node.hostEndpoint``)
    :ivar api_endpoints: addresses and ports under which the nodes reach the API server
    :ivar user: name of the user of this connection; empty where the API cannot tell (before 1.28)
    """

    facts: Facts
    flavour: Flavour
    nodes: Sequence[Object]
    served: frozenset[str]
    schema: dict[str, list[str]]
    api_endpoints: Sequence[dict[str, Any]]
    environment: dict[str, str]
    user: str


def read(
    cluster: Cluster,
    tasks: Optional[Sequence[str]] = None,
    granted: str = "",
    view: Optional[HostView] = None,
) -> ClusterFacts:
    """Read it all, side by side.

    :param tasks: check the permissions of these (:data:`permissions.TASKS`); None checks none
    :param granted: name of the user to whom role access grants them, and who need not be able to do so itself
    :param view: of this cluster, where what it has read is wanted again
    :raises ClusterError: the API does not answer; nodes may not be listed, and no permission is checked
    """
    view = view or HostView(cluster)
    flavour = view.flavour
    view.begin(("Node", "ClusterInformation", "KubeControllersConfiguration", "HostEndpoint", "DaemonSet"))
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:

        def start(work: Callable[..., T], *arguments: Any) -> Future[T]:
            return pool.submit(work, *arguments)

        version = start(cluster.get, "/version")
        nodes = start(_nodes, view, tasks is not None)
        information = start(_readable, view, "ClusterInformation")
        configuration = start(_readable, view, "KubeControllersConfiguration")
        heps = start(_host_endpoints, view)
        deployment = start(view.deployment)
        felix = start(_felix, view)
        migration = start(view.migration)
        schema = start(_schema, cluster, flavour)
        endpoints = start(view.api_slices)
        user = start(_user, cluster)
    found, visible = deployment.result()
    controllers = kube_controllers.KubeControllers(configuration.result(), found, visible)
    calico = (information.result() or {}).get("spec") or {}
    node_objects = nodes.result()
    daemonset, daemonsets_visible = felix.result()
    needed = [task for task in tasks or () if task != permissions.ACCESS or user.result() != granted]
    lacking = permissions.missing(cluster, permissions.required(flavour, needed)) if tasks is not None else []
    facts = Facts(
        server_version=str(version.result().get("gitVersion", "")),
        flavour=flavour.kind.value,
        api_version=flavour.api_version,
        kinds=flavour.kinds,
        calico_version=str(calico.get("calicoVersion") or ""),
        datastore_ready=calico.get("datastoreReady"),
        migration=migration.result(),
        nodes=[_node_fact(node) for node in node_objects],
        host_endpoints=[_hep_fact(hep) for hep in heps.result()],
        felix=daemonset,
        kube_controllers=_deployment_fact(found),
        workloads_visible=visible and daemonsets_visible,
        auto=AutoHostEndpointsFact(
            enabled=is_enabled(configuration.result()),
            ours=is_enabled_by_us(configuration.result()),
            environment=controllers.environment.get(ENVIRONMENT_OVERRIDE),
        ),
        missing_permissions=[str(permission) for permission in lacking],
    )
    return ClusterFacts(
        facts=facts,
        flavour=flavour,
        nodes=node_objects,
        served=flavour.all_kinds,
        schema=schema.result(),
        api_endpoints=[asdict(endpoint) for endpoint in endpoints_of(endpoints.result())],
        environment=dict(controllers.environment),
        user=user.result(),
    )


def _node_fact(node: Object) -> NodeFact:
    return NodeFact(str(node["metadata"]["name"]), is_true(node, "Ready"), is_control_plane(node))


def _hep_fact(hep: Object) -> HostEndpointFact:
    spec = hep.get("spec") or {}
    return HostEndpointFact(
        name=str(hep["metadata"]["name"]),
        node=str(spec.get("node", "")),
        interface=spec.get("interfaceName") or "by-ip",
        made_by=made_by(hep),
    )


def _deployment_fact(deployment: Optional[Object]) -> Optional[ControllerPods]:
    if deployment is None:
        return None
    return ControllerPods(
        namespace=str(deployment["metadata"]["namespace"]),
        name=str(deployment["metadata"]["name"]),
        desired=int(deployment["spec"].get("replicas", 1)),
        ready=int((deployment.get("status") or {}).get("readyReplicas", 0)),
    )


def _nodes(view: HostView, permissions_checked: bool) -> list[Object]:
    """All nodes; none where they may not be listed and the missing permissions will say so."""

    def read_them() -> list[Object]:
        return view.of("Node")

    return _unless_forbidden(read_them, []) if permissions_checked else read_them()


def _readable(view: HostView, kind: str) -> Optional[Object]:
    """The object ``default`` of a kind; None also where it may not be read, which the permissions tell."""
    return _unless_forbidden(lambda: view.single(kind), None)


def _host_endpoints(view: HostView) -> list[Object]:
    return _unless_forbidden(lambda: view.of("HostEndpoint"), [])


def _felix(view: HostView) -> tuple[Optional[ControllerPods], bool]:
    daemonsets: Optional[list[Object]] = _unless_forbidden(lambda: view.of("DaemonSet"), None)
    if daemonsets is None:
        return None, False
    found = next((d for d in daemonsets if _is_felix(d)), None)
    if found is None:
        return None, True
    status = found.get("status") or {}
    return ControllerPods(
        namespace=str(found["metadata"]["namespace"]),
        name=str(found["metadata"]["name"]),
        desired=int(status.get("desiredNumberScheduled", 0)),
        ready=int(status.get("numberReady", 0)),
    ), True


def _is_felix(daemonset: Object) -> bool:
    metadata = daemonset["metadata"]
    if metadata["name"] == "calico-node" or (metadata.get("labels") or {}).get("k8s-app") in _FELIX_LABELS:
        return True
    containers = daemonset["spec"]["template"]["spec"]["containers"]
    return any(_FELIX_IMAGE.search(str(c.get("image", ""))) for c in containers)


def _user(cluster: Cluster) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = cluster.create(_WHO_AM_I, review)
    except ApiError as error:
        if error.status in (403, 404):
            return ""
        raise
    return str(answer["status"]["userInfo"].get("username", ""))


def _schema(cluster: Cluster, flavour: Flavour) -> dict[str, list[str]]:
    path = f"/openapi/v3/apis/{flavour.group}/{flavour.version}"
    document: Optional[Object] = (
        _unless_forbidden(lambda: cluster.find(path), None) if flavour.kinds else None
    )
    schemas = ((document or {}).get("components") or {}).get("schemas") or {}
    found: dict[str, list[str]] = {}
    for schema in schemas.values():
        for served in schema.get("x-kubernetes-group-version-kind") or []:
            if served.get("group") == flavour.group and served.get("kind") in _SCHEMA_PATHS:
                found[served["kind"]] = _fields(schemas, schema, _SCHEMA_PATHS[served["kind"]])
    return found


def _fields(schemas: Object, schema: Object, path: Sequence[str]) -> list[str]:
    for name in path:
        schema = _resolved(schemas, (schema.get("properties") or {}).get(name) or {})
    return sorted(schema.get("properties") or {})


def _resolved(schemas: Object, schema: Object) -> Object:
    """Follow a reference; calico-apiserver's document has them, that of CRDs has not."""
    references = [schema.get("$ref"), *(part.get("$ref") for part in schema.get("allOf") or [])]
    name = next((str(r).rpartition("/")[2] for r in references if r), "")
    resolved: Object = schemas.get(name, schema)
    return resolved


def _unless_forbidden(read_it: Callable[[], T], otherwise: T) -> T:
    try:
        return read_it()
    except ApiError as error:
        if error.status in (403, 404):
            return otherwise
        raise
