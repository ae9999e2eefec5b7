# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resources of Calico and Kubernetes, and packets, for unit tests: one function for each kind.

Fields of ``spec`` are keyword arguments under the API's own names. What a test file needs again and again on
top (a label, a selector, a rule) stays in a short function of that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

Object = dict[str, Any]

# The API group of Calico's CRDs, and the one that its API server serves.
V1 = "crd.projectcalico.org/v1"
V3 = "projectcalico.org/v3"
# Profiles of a HostEndpoint through which all passes that no policy decides about.
ALLOW_ALL = ("projectcalico-default-allow",)


def resource(
    kind: str,
    name: str,
    *,
    api: str = V1,
    namespace: str = "",
    labels: Optional[Mapping[str, Any]] = None,
    annotations: Optional[Mapping[str, Any]] = None,
    **spec: Any,
) -> Object:
    """Any resource; metadata that is not given is not there."""
    given = {"namespace": namespace, "labels": labels, "annotations": annotations}
    metadata = {"name": name, **{key: value for key, value in given.items() if value}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def host_endpoint(
    name: str, *, node: str, api: str = V1, labels: Optional[Mapping[str, str]] = None, **spec: Any
) -> Object:
    """Of all interfaces, letting pass what no policy decides about; a field that is None is left out."""
    given = {"node": node, "interfaceName": "*", "profiles": list(ALLOW_ALL), **spec}
    return resource("HostEndpoint", name, api=api, labels=labels, **_without_none(given))


def policy(
    name: str,
    *,
    kind: str = "GlobalNetworkPolicy",
    api: str = V1,
    labels: Optional[Mapping[str, str]] = None,
    **spec: Any,
) -> Object:
    """A policy for what comes in, if no ``types`` are given; a field that is None is left out."""
    return resource(kind, name, api=api, labels=labels, **_without_none({"types": ["Ingress"], **spec}))


def tier(name: str, *, api: str = V1, labels: Optional[Mapping[str, str]] = None, **spec: Any) -> Object:
    return resource("Tier", name, api=api, labels=labels, **spec)


def network_set(
    name: str, *, api: str = V1, labels: Optional[Mapping[str, str]] = None, **spec: Any
) -> Object:
    return resource("GlobalNetworkSet", name, api=api, labels=labels, **spec)


def felix_configuration(name: str = "default", *, api: str = V1, **spec: Any) -> Object:
    return resource("FelixConfiguration", name, api=api, **spec)


def node(
    name: str,
    *addresses: str,
    labels: Optional[Mapping[str, str]] = None,
    annotations: Optional[Mapping[str, str]] = None,
    external: tuple[str, ...] = (),
) -> Object:
    """A Node object with these internal addresses."""
    pairs = [("InternalIP", address) for address in addresses]
    pairs += [("ExternalIP", address) for address in external]
    found = resource("Node", name, api="v1", labels=labels, annotations=annotations)
    found["status"] = {"addresses": [{"type": kind, "address": address} for kind, address in pairs]}
    return found


def endpoint_slice(
    service: str, *addresses: str, port: int, protocol: str = "TCP", namespace: str = "default"
) -> Object:
    """Where the pods of a Service with one port are; all addresses are of one family."""
    family = "IPv6" if ":" in addresses[0] else "IPv4"
    metadata = {
        "name": f"{service}-{family.lower()}",
        "namespace": namespace,
        "labels": {"kubernetes.io/service-name": service},
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"port": port, "protocol": protocol}],
    }


def flow(direction: str = "ingress", **fields: Any) -> Object:
    """A packet as the verdict engine's callers describe it: TCP between 10.0.0.9 and node ``n``."""
    given = {
        "node": "n",
        "direction": direction,
        "interface": "eth0",
        "protocol": "TCP",
        "source": "10.0.0.9",
        "destination": "10.0.0.1",
    }
    if direction == "forward":
        given["out_interface"] = "eth1"
    return {**given, **fields}


def _without_none(fields: Mapping[str, Any]) -> Object:
    return {key: value for key, value in fields.items() if value is not None}
