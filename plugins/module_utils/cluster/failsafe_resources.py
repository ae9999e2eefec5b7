# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collect, once for all nodes, what a node needs to judge its own failsafes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..calico.bad_input import BadInput
from ..calico.endpoint_slice import API_SERVICE, API_VERSION, KIND, SERVICE_LABEL
from ..calico.metadata_annotation import METADATA_ANNOTATION
from ..calico.node_object import is_control_plane
from ..calico.selector import Selector
from ..calico.stored.reader import inherited_labels, read
from .api_endpoints import read_slices
from .client import Cluster
from .flavour import Flavour, list_stored
from .host_view import HostView

Object = dict[str, Any]

_SHARED_KINDS = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "Tier", "FelixConfiguration")


def collect(cluster: Cluster, served: Flavour) -> tuple[list[Object], dict[str, list[Object]]]:
    """What all nodes share, and what only one needs, by the node's name.

    Rules are taken out of policies that govern no host endpoint, as most do not.
    """
    view = HostView(cluster, served)
    view.begin((*_SHARED_KINDS, "HostEndpoint", "Node"))
    shared = [_trimmed(item, kind, served.api_version) for kind in _SHARED_KINDS for item in view.of(kind)]
    # Listed, as which of them holds the version is for the nodes to see.
    shared += [
        _trimmed(item, "ClusterInformation", served.api_version)
        for item in list_stored(cluster, served, "ClusterInformation")
    ]
    endpoints = [_trimmed(item, "HostEndpoint", served.api_version) for item in view.of("HostEndpoint")]
    _drop_rules(shared, endpoints)
    shared.extend(_api_endpoints(cluster))
    by_node: dict[str, list[Object]] = {}
    for node in view.of("Node"):
        trimmed = _trimmed_node(node)
        by_node[trimmed["metadata"]["name"]] = [] if is_control_plane(trimmed) else [trimmed]
        if is_control_plane(trimmed):
            shared.append(trimmed)
    for item in endpoints:
        by_node.setdefault(str(item["spec"].get("node", "")), []).append(item)
    return shared, by_node


def _drop_rules(shared: list[Object], endpoints: list[Object]) -> None:
    policies = [item for item in shared if item["kind"].endswith("NetworkPolicy")]
    try:
        store = read([*policies, *endpoints])
    except BadInput:
        return  # the nodes will say what is wrong with it
    labels = [inherited_labels(hep.labels, hep.profiles, store.profiles) for hep in store.host_endpoints]
    governing = {
        (policy.ref.kind, policy.ref.stored_name or policy.ref.name)
        for policy in store.policies
        if not policy.staged and _selects_any(policy.selector, labels)
    }
    for item in policies:
        # Where types are left out, the rules say which directions are governed.
        if (item["kind"], item["metadata"]["name"]) not in governing and item["spec"].get("types"):
            item["spec"].pop("ingress", None)
            item["spec"].pop("egress", None)


def _selects_any(selector: Selector, labels: Sequence[Mapping[str, str]]) -> bool:
    names = sorted(selector.label_names())
    # Many nodes, few that this selector can tell apart.
    distinct = {tuple(each.get(name) for name in names): each for each in labels}
    return any(selector.matches(each) for each in distinct.values())


def _trimmed(item: Object, kind: str, api_version: str) -> Object:
    metadata = item["metadata"]
    kept = {name: metadata[name] for name in ("name", "labels", "creationTimestamp") if name in metadata}
    annotations = {
        name: text
        for name, text in (metadata.get("annotations") or {}).items()
        if name == METADATA_ANNOTATION
    }
    if annotations:
        kept["annotations"] = annotations
    spec = dict(item.get("spec") or {})
    return {"apiVersion": api_version, "kind": kind, "metadata": kept, "spec": spec}


def _trimmed_node(node: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node["metadata"]["name"], "labels": node["metadata"].get("labels") or {}},
        "status": {"addresses": (node.get("status") or {}).get("addresses") or []},
    }


def _api_endpoints(cluster: Cluster) -> list[Object]:
    # Who may not list them still gets the rest; the node's own kubeconfig names its API server too.
    slices = read_slices(cluster)
    return [
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": item["metadata"]["name"],
                "namespace": "default",
                "labels": {SERVICE_LABEL: API_SERVICE},
            },
            "endpoints": [
                {"addresses": entry.get("addresses") or []} for entry in item.get("endpoints") or []
            ],
            "ports": [
                {"port": port.get("port"), "protocol": port.get("protocol")}
                for port in item.get("ports") or []
            ],
        }
        for item in slices or ()
    ]
