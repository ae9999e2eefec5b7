# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kube-controllers' node controller wants: the auto host endpoints of a node. Pure.

The rules are those seen on kube-controllers v3.32.1
(kube-controllers/pkg/controllers/node/hostendpoints.go, libcalico-go/lib/backend/k8s/resources/node.go).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico import selector
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput

Json = dict[str, Any]

CREATED_BY = "projectcalico.org/created-by"
CONTROLLER = "calico-kube-controllers"
METADATA = "projectcalico.org/metadata"

_SUFFIX = "auto-hep"
_LONGEST_NAME = 253
_BEFORE_INTERNAL = (
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
)
_INTERFACES = "projectcalico.org/Interfaces"


@dataclass(frozen=True)
class Wanted:
    """One auto host endpoint, or what is there of one.

    :param interface: ``*``, a name, or empty where the addresses decide
    """

    name: str
    node: str
    interface: str
    expected_ips: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    def same(self, other: Wanted) -> bool:
        """Whether the controller would leave the other one alone; it looks at these three only."""
        return (
            dict(self.labels) == dict(other.labels)
            and self.expected_ips == other.expected_ips
            and self.interface == other.interface
        )


def running_config(spec: Json, override: str) -> Json | None:
    """The hostEndpoint part of the running configuration; None where the environment disables it.

    :param spec: of KubeControllersConfiguration
    :param override: ``enabled``, ``disabled`` or empty: environment variable AUTO_HOST_ENDPOINTS
    """
    if override == "enabled":
        return {"autoCreate": "Enabled", "createDefaultHostEndpoint": "Enabled"}
    configured = spec.get("controllers", {}).get("node", {}).get("hostEndpoint")
    if override or configured is None:
        return None
    running = {
        "autoCreate": "Enabled" if configured.get("autoCreate") == "Enabled" else "Disabled",
        "createDefaultHostEndpoint": configured.get("createDefaultHostEndpoint") or "Enabled",
    }
    if "templates" in configured:
        running["templates"] = configured["templates"]
    return running


def wanted(node: Json, config: Json | None) -> tuple[list[Wanted], bool]:
    """The auto host endpoints of a node.

    :param node: Kubernetes Node
    :param config: from :func:`running_config`
    :returns: the endpoints, and whether others of this node are to be deleted: a template that cannot be read
        ends the work on a node before that
    """
    if not config or config["autoCreate"] != "Enabled":
        return [], True
    found = []
    if config["createDefaultHostEndpoint"] == "Enabled":
        found.append(_wanted(node, {}, "*", expected_ips(node)))
    for template in config.get("templates", []):
        try:
            selected = selector.parse(template.get("nodeSelector", "")).matches(_labels(node))
        except BadInput:
            return found, False
        if selected:
            found += _of_template(node, template)
    return found, True


def expected_ips(node: Json) -> list[str]:
    """Addresses of a node in the controller's order, each once."""
    annotations = node["metadata"].get("annotations", {})
    addresses = [annotations[name].partition("/")[0] for name in _BEFORE_INTERNAL if annotations.get(name)]
    status = node.get("status", {}).get("addresses", [])
    addresses += [entry["address"] for entry in status if entry["type"] == "InternalIP"]
    addresses += [address for interface in _interfaces(node) for address in interface.get("addresses", [])]
    return [address for address in dict.fromkeys(addresses) if _is_address(address)]


def current(endpoint: Json) -> Wanted | None:
    """A HostEndpoint as the controller reads it; None if it is not one of its own."""
    labels = stored_labels(endpoint)
    if labels.get(CREATED_BY) != CONTROLLER:
        return None
    spec = endpoint.get("spec", {})
    return Wanted(
        endpoint["metadata"]["name"],
        spec.get("node", ""),
        spec.get("interfaceName", ""),
        tuple(spec.get("expectedIPs", [])),
        labels,
    )


def stored_labels(endpoint: Json) -> Mapping[str, str]:
    """Labels of a stored object: on v1 CRDs the annotation, where there is one, hides the metadata's own."""
    metadata = endpoint["metadata"]
    if endpoint["apiVersion"].startswith("crd.") and METADATA in metadata.get("annotations", {}):
        return json.loads(metadata["annotations"][METADATA]).get("labels") or {}
    return metadata.get("labels") or {}


def body(endpoint: Wanted, api_version: str, now: str) -> Json:
    """A HostEndpoint as the controller stores it.

    :param now: time of creation, in the API's form
    """
    spec: Json = {
        "node": endpoint.node,
        "expectedIPs": list(endpoint.expected_ips),
        "profiles": ["projectcalico-default-allow"],
    }
    if endpoint.interface:
        spec["interfaceName"] = endpoint.interface
    metadata: Json = {"name": endpoint.name, "labels": dict(endpoint.labels)}
    if api_version.startswith("crd."):
        # Only the label that it selects by is kept in the metadata as well.
        metadata["labels"] = {CREATED_BY: CONTROLLER}
        kept = {"creationTimestamp": now, "labels": dict(sorted(endpoint.labels.items()))}
        metadata["annotations"] = {METADATA: json.dumps(kept, separators=(",", ":"))}
    return {"apiVersion": api_version, "kind": "HostEndpoint", "metadata": metadata, "spec": spec}


def _of_template(node: Json, template: Json) -> list[Wanted]:
    networks = [ip_network(cidr, strict=False) for cidr in template.get("interfaceCIDRs", [])]
    matching = [
        address
        for address in expected_ips(node)
        if any(ip_address(address) in network for network in networks)
    ]
    pattern = template.get("interfacePattern", "")
    if not pattern:
        return [_wanted(node, template, "", matching)] if matching else []
    return [
        _wanted(
            node,
            template,
            interface["name"],
            list(dict.fromkeys([*matching, *interface.get("addresses", [])])),
        )
        for interface in _interfaces(node)
        if re.search(pattern, interface["name"])
    ]


def _wanted(node: Json, template: Json, interface: str, addresses: list[str]) -> Wanted:
    name = node["metadata"]["name"]
    parts = [name, template.get("generateName", ""), interface if template else "", _SUFFIX]
    labels = {**_labels(node), **template.get("labels", {}), CREATED_BY: CONTROLLER}
    return Wanted(_short("-".join(filter(None, parts))), name, interface, tuple(addresses), labels)


def _short(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    digest = base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")
    return f"{re.sub('[-_.]', '', digest)}-{_SUFFIX}".lower()


def _labels(node: Json) -> Mapping[str, str]:
    labels: Mapping[str, str] = node["metadata"].get("labels", {})
    return labels


def _interfaces(node: Json) -> list[Json]:
    interfaces: list[Json] = json.loads(node["metadata"].get("annotations", {}).get(_INTERFACES, "[]"))
    return interfaces


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
