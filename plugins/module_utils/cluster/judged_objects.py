# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules ``flow_verdict`` and ``policy_lint`` judge: given objects, files, or the live cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..calico import endpoint_slice
from ..calico.bad_input import BadInput
from ..calico.felix.daemon_set import configured_environment
from ..calico.stored.kube_proxy import MODES, configured_mode
from ..calico.verdict.dataplanes import Dataplanes
from ..calico.verdict.interface_owner import NodeFacts, parse_nodes
from ..calico.verdict.judge import Options
from ..calico.verdict.packet_path import DATAPLANES
from . import api_endpoints, felix_surroundings
from .client import ApiError, Cluster
from .flavour import Flavour, FlavourKind, require
from .host_view import HostView
from .policy_files import read_path

Object = dict[str, Any]

SOURCE_OPTIONS: dict[str, Any] = {
    "resources": {"type": "list", "elements": "dict"},
    "src": {"type": "path"},
    "nodes": {"type": "list", "elements": "dict"},
    "dataplane": {"type": "str", "choices": list(DATAPLANES)},
    "calico_version": {"type": "str"},
    "api": {"type": "str", "choices": ["aggregated", "v3-native"], "default": "aggregated"},
    "felix_environment": {"type": "dict"},
    "kube_proxy_mode": {"type": "str", "choices": list(MODES)},
}
SOURCE_RULES: dict[str, Any] = {"mutually_exclusive": [("resources", "src")]}

_KINDS = (
    "HostEndpoint",
    "GlobalNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "Tier",
    "GlobalNetworkSet",
    "FelixConfiguration",
    "Node",
    # Kinds that only some clusters serve, and that only some rules need.
    "NetworkSet",
    "IPPool",
)
# Stands for policy of pods that this user may not read: the verdict then rests on it, and says so.
_UNSEEN: Object = {
    "apiVersion": "policy.networking.k8s.io/v1alpha2",
    "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "unseen"},
}
_SIDES = ("source", "destination")
_SELECTORS = ("selector", "notSelector", "namespaceSelector", "serviceAccounts")


@dataclass(frozen=True)
class Judged:
    """What to judge, and how: ``origin`` says where the objects came from.

    :ivar live: the objects are all that the cluster holds of their kinds
    :ivar options: those that all nodes share; the data plane is each node's own
    """

    objects: list[Object]
    nodes: dict[str, NodeFacts]
    options: Options
    dataplanes: Dataplanes
    origin: str
    live: bool = False


def gather(
    params: Mapping[str, Any],
    staged: str = "ignore",
    with_pods: bool = False,
    with_services: bool = False,
) -> Judged:
    """Collect the objects that a module's options name.

    :param params: the module's parameters, :data:`SOURCE_OPTIONS` among them
    :param with_pods: read the cluster's pods and their policy, too, even if no rule asks for them
    :param with_services: read Services, too, whose names no rule asks for
    :raises BadInput: a file or node that cannot be read
    :raises ClusterError: no answer from the cluster, where it is asked
    """
    nodes = parse_nodes(params["nodes"] or [])
    native, complete, version = params["api"] == "v3-native", False, params["calico_version"] or ""
    if params["resources"] is not None:
        objects, origin = list(params["resources"]), "resources"
    elif params["src"]:
        objects, origin = objects_of(params["src"]), params["src"]
    else:
        cluster = Cluster.of_options(params)
        served = require(cluster)
        view = HostView(cluster, served)
        objects, complete = _from_cluster(view, with_pods)
        if with_services:
            services = cluster.list_if_readable("/api/v1/services")
            objects += [_typed(item, "Service", "v1") for item in services or ()]
        native, origin = served.kind is FlavourKind.V3_NATIVE, cluster.host
        version = version or view.calico_version
    given = {key: str(value) for key, value in (params["felix_environment"] or {}).items()}
    environment = {**configured_environment(objects), **given}
    options = Options(
        staged=staged,
        calico_version=version,
        environment=environment,
        native_v3=native,
        complete=complete,
        kube_proxy_mode=params["kube_proxy_mode"] or configured_mode(objects),
    )
    dataplanes = Dataplanes(objects, environment, params["dataplane"] or "", options.kube_proxy_mode)
    live = params["resources"] is None and not params["src"]
    return Judged(objects, nodes, options, dataplanes, origin, live)


def objects_of(path: str) -> list[Object]:
    """The objects of a file, or of a directory's files.

    :raises BadInput: what is no object
    """
    objects = []
    for document in read_path(path):
        # calicoctl takes a list of objects, too.
        listed = document.value if isinstance(document.value, list) else [document.value]
        for value in listed:
            if not isinstance(value, dict):
                remedy = "an object with apiVersion, kind and metadata, or a list of them"
                raise BadInput("document", value, remedy, document.place)
            objects.append(value)
    return objects


def _from_cluster(view: HostView, with_pods: bool) -> tuple[list[Object], bool]:
    cluster = view.cluster
    view.begin(_KINDS)
    objects = [obj for kind in _KINDS for obj in view.typed(kind)]
    objects += felix_surroundings.kube_proxy(cluster)
    objects += felix_surroundings.settings(cluster)
    sides = list(_sides(objects))
    complete = False
    if with_pods:
        objects += _pod_policies(cluster, view.flavour)
    if with_pods or any(side.get(key) for side in sides for key in _SELECTORS):
        pods = _workloads(cluster)
        complete = pods is not None
        objects += pods or []
    if any(side.get("services") for side in sides):
        objects += _slices(cluster.list_if_readable(api_endpoints.ALL))
    else:
        objects += _slices(cluster.list_if_readable(api_endpoints.PATH))
        selector = api_endpoints.TYPHA_SELECTOR
        objects += _slices(cluster.list_if_readable(api_endpoints.ALL, labelSelector=selector))
    return objects, complete


def _sides(objects: Iterable[Object]) -> Iterator[Mapping[str, Any]]:
    for item in objects:
        if not str(item.get("kind")).endswith("NetworkPolicy"):
            continue
        spec = item.get("spec") or {}
        for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            for side in _SIDES:
                yield (rule or {}).get(side) or {}


def _workloads(cluster: Cluster) -> Optional[list[Object]]:
    """Pods and what gives them labels, or None where this user may not read them."""
    found: list[Object] = []
    for kind, plural in (("Pod", "pods"), ("Namespace", "namespaces"), ("ServiceAccount", "serviceaccounts")):
        items = cluster.list_if_readable(f"/api/v1/{plural}")
        if items is None:
            return None
        found += [_typed(item, kind, "v1") for item in items]
    return found


def _pod_policies(cluster: Cluster, served: Flavour) -> list[Object]:
    found: list[Object] = []
    for api_version in (served.api_version, "networking.k8s.io/v1"):
        path = f"/apis/{api_version}/networkpolicies"
        try:
            found += [_typed(item, "NetworkPolicy", api_version) for item in cluster.list(path)]
        except ApiError as error:
            if error.status == 403:
                return [*found, _UNSEEN]
            if not error.not_found:
                raise
    return found


def _slices(items: Optional[list[Object]]) -> list[Object]:
    return [_typed(item, endpoint_slice.KIND, endpoint_slice.API_VERSION) for item in items or ()]


def _typed(item: Object, kind: str, api_version: str) -> Object:
    """Items of a list do not say what they are."""
    return {**item, "kind": kind, "apiVersion": api_version}
