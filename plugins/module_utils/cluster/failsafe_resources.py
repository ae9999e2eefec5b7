# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collect, once for all nodes, what a node needs to judge its own failsafes."""

from __future__ import annotations

from typing import Any

from ..calico.failsafe_paths import is_control_plane
from .client import ApiError, Cluster
from .flavour import Flavour

Object = dict[str, Any]

SHARED_KINDS = (
    "GlobalNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "Tier",
    "FelixConfiguration",
    "ClusterInformation",
)
API_ENDPOINTS = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def collect(cluster: Cluster, served: Flavour) -> tuple[list[Object], dict[str, list[Object]]]:
    """What all nodes share, and what only one needs, by the node's name.

    Rules are taken out of the policies: a failsafe check asks which endpoints they select, not what they say.
    """
    shared = [
        _trimmed(item, kind, served.api_version)
        for kind in SHARED_KINDS
        if served.serves(kind)
        for item in cluster.list(served.path(kind))
    ]
    shared.extend(_api_endpoints(cluster))
    by_node: dict[str, list[Object]] = {}
    for node in cluster.list("/api/v1/nodes"):
        trimmed = _trimmed_node(node)
        by_node[trimmed["metadata"]["name"]] = [] if is_control_plane(trimmed) else [trimmed]
        if is_control_plane(trimmed):
            shared.append(trimmed)
    for item in cluster.list(served.path("HostEndpoint")) if served.serves("HostEndpoint") else ():
        owner = str((item.get("spec") or {}).get("node", ""))
        by_node.setdefault(owner, []).append(_trimmed(item, "HostEndpoint", served.api_version))
    return shared, by_node


def _trimmed(item: Object, kind: str, api_version: str) -> Object:
    metadata = item["metadata"]
    kept = {name: metadata[name] for name in ("name", "labels", "creationTimestamp") if name in metadata}
    annotations = {
        name: text
        for name, text in (metadata.get("annotations") or {}).items()
        if name == "projectcalico.org/metadata"
    }
    if annotations:
        kept["annotations"] = annotations
    spec = dict(item.get("spec") or {})
    if kind.endswith("NetworkPolicy") and spec.get("types"):
        spec.pop("ingress", None)
        spec.pop("egress", None)
    return {"apiVersion": api_version, "kind": kind, "metadata": kept, "spec": spec}


def _trimmed_node(node: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node["metadata"]["name"], "labels": node["metadata"].get("labels") or {}},
        "status": {"addresses": (node.get("status") or {}).get("addresses") or []},
    }


def _api_endpoints(cluster: Cluster) -> list[Object]:
    try:
        slices = list(cluster.list(API_ENDPOINTS, labelSelector="kubernetes.io/service-name=kubernetes"))
    except ApiError as error:
        # Who may not list them still gets the rest; the node's own kubeconfig names its API server too.
        if error.status in (403, 404):
            return []
        raise
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": item["metadata"]["name"],
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "endpoints": [
                {"addresses": entry.get("addresses") or []} for entry in item.get("endpoints") or []
            ],
            "ports": [
                {"port": port.get("port"), "protocol": port.get("protocol")}
                for port in item.get("ports") or []
            ],
        }
        for item in slices
    ]
