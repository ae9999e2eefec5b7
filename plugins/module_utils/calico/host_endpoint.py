# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the HostEndpoint of a node should be, and whether the stored one is.

One source of truth for every mode that writes HostEndpoints itself. It imports nothing but the
standard library and BadInput, so that the in-cluster agent can carry the same file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, Optional

from .bad_input import BadInput
from .metadata_annotation import METADATA_ANNOTATION, kept_metadata

OWNER_LABEL = "app.kubernetes.io/managed-by"
OWNER = "hostfence"
FIELD_MANAGER = "hostfence"

# Sorts after Calico's own `<node>-auto-hep`. Of two wildcard HostEndpoints on a node the
# alphabetically first is the active one (felix/dataplane/linux/endpoint_mgr.go), so while one mode
# takes over from the other, the same one stays active until it is gone.
NAME_SUFFIX = "-hostfence"
AUTO_SUFFIX = "-auto-hep"
AUTO_CREATED_BY_LABEL = "projectcalico.org/created-by"
AUTO_CREATED_BY = "calico-kube-controllers"

DEFAULT_ALLOW_PROFILE = "projectcalico-default-allow"
ALL_INTERFACES = "*"
BY_IP = "by-ip"

# Where Calico notes a node's own addresses in a Kubernetes datastore
# (libcalico-go/lib/backend/k8s/resources/node.go), in kube-controllers' order.
_CALICO_INTERFACES = "projectcalico.org/Interfaces"
_CALICO_NODE_ADDRESSES = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address")
_CALICO_TUNNEL_ADDRESSES = (
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
)

_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# As Kubernetes names ports (IsValidPortName): names that Calico's API takes and Felix keeps everywhere.
_PORT_NAME = re.compile(r"(?!-)(?!.*--)(?=.*[a-z])[-a-z0-9]{1,15}(?<!-)")
# Felix ignores an endpoint with a longer one (felix/calc, libcalico-go/lib/validator/v1: nameRegex).
_MAX_PROFILE_NAME = 128
_PORT_PROTOCOLS = ("TCP", "UDP", "SCTP")

Object = dict[str, Any]


@dataclass(frozen=True)
class NamedPort:
    """A port of the node that rules can name."""

    name: str
    protocol: str
    port: int

    def spec(self) -> Object:
        return {"name": self.name, "protocol": self.protocol, "port": self.port}


@dataclass(frozen=True)
class HostEndpointTemplate:
    """What all HostEndpoints of a cluster have in common.

    :ivar labels: static labels, in addition to the owner label
    :ivar node_labels: keys of labels that are copied from the Node, where it has them
    :ivar interface: ``*``, an interface's name, or ``by-ip`` for those that carry the node's addresses
    :ivar profiles: names of profiles
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    node_labels: Sequence[str] = ()
    interface: str = ALL_INTERFACES
    profiles: Sequence[str] = (DEFAULT_ALLOW_PROFILE,)
    ports: Sequence[NamedPort] = ()

    def __post_init__(self) -> None:
        for key, value in self.labels.items():
            _check_label(f"labels.{key}", key, value)
        for index, key in enumerate(self.node_labels):
            _check_label_key(f"node_labels[{index}]", key)
        if OWNER_LABEL in self.labels:
            raise BadInput(
                f"labels.{OWNER_LABEL}", self.labels[OWNER_LABEL], "this label says who owns the object"
            )
        if self.interface not in (ALL_INTERFACES, BY_IP) and not _INTERFACE.fullmatch(self.interface):
            raise BadInput(
                "interface",
                self.interface,
                "must be '*', 'by-ip', or an interface's name of at most 15 letters, digits, '_', '.' or '-'",
            )
        for index, profile in enumerate(self.profiles):
            where = f"profiles[{index}]"
            if not _DNS_NAME.fullmatch(profile):
                raise BadInput(where, profile, "must be a profile's name (lower case, digits, '-', '.')")
            if len(profile) > _MAX_PROFILE_NAME:
                raise BadInput(
                    where,
                    profile,
                    f"Felix ignores a HostEndpoint with more than {_MAX_PROFILE_NAME} characters here",
                )
            if profile in self.profiles[:index]:
                raise BadInput(where, profile, "is listed twice; the API takes each once")
        _check_ports(self.ports)


PORT_NAME_REMEDY = (
    "a port's name is as in Kubernetes: at most 15 lower-case letters, digits and '-', one a letter at least"
)


def is_port_name(name: str) -> bool:
    """Whether a port may be written under this name, in a HostEndpoint or in a rule."""
    return bool(_PORT_NAME.fullmatch(name))


def hep_name(node_name: str) -> str:
    """Name of the HostEndpoint that we make for a node.

    :raises BadInput: the node's name leaves no room for the suffix
    """
    name = node_name + NAME_SUFFIX
    if len(name) > 253:
        raise BadInput(
            "metadata.name", node_name, f"a Node's name must leave room for {NAME_SUFFIX!r} in 253 characters"
        )
    return name


def auto_hep_name(node_name: str) -> str:
    """Name of the HostEndpoint that kube-controllers makes by default for a node."""
    return node_name + AUTO_SUFFIX


def expected_ips(node: Object, with_tunnels: bool) -> list[str]:
    """Addresses of a node, in the order in which kube-controllers lists them, each once.

    :param node: a Kubernetes Node
    :param with_tunnels: also the addresses of Calico's tunnel devices and of the interfaces that it noted
    """
    annotations = node["metadata"].get("annotations") or {}
    keys = _CALICO_NODE_ADDRESSES + (_CALICO_TUNNEL_ADDRESSES if with_tunnels else ())
    found = [annotations[key] for key in keys if key in annotations]
    addresses = (node.get("status") or {}).get("addresses") or []
    found += [a["address"] for a in addresses if a.get("type") == "InternalIP"]
    if with_tunnels:
        found += _interface_addresses(annotations.get(_CALICO_INTERFACES, ""))
    return list(dict.fromkeys(filter(None, map(_plain_ip, found))))


def desired(node: Object, template: HostEndpointTemplate, api_version: str) -> Object:
    """The HostEndpoint that a node should have.

    :param node: a Kubernetes Node
    :param api_version: group and version that the cluster stores Calico's resources in
    :raises BadInput: the node has no address, and the template matches interfaces by address
    """
    name = node["metadata"]["name"]
    by_ip = template.interface == BY_IP
    # A HostEndpoint that matches by address would take the tunnel devices as well.
    ips = expected_ips(node, with_tunnels=not by_ip)
    if by_ip and not ips:
        raise BadInput(
            f"Node {name}: status.addresses", [], "matching interfaces by-ip needs a node with an InternalIP"
        )
    spec: Object = {"node": name}
    if not by_ip:
        spec["interfaceName"] = template.interface
    if ips:
        spec["expectedIPs"] = ips
    if template.profiles:
        spec["profiles"] = list(template.profiles)
    if template.ports:
        spec["ports"] = [port.spec() for port in template.ports]
    return {
        "apiVersion": api_version,
        "kind": "HostEndpoint",
        "metadata": {"name": hep_name(name), "labels": _desired_labels(node, template)},
        "spec": spec,
    }


def is_ours(hep: Object) -> bool:
    """Whether we made this HostEndpoint."""
    return effective_labels(hep).get(OWNER_LABEL) == OWNER


def is_auto(hep: Object) -> bool:
    """Whether kube-controllers made this HostEndpoint."""
    return effective_labels(hep).get(AUTO_CREATED_BY_LABEL) == AUTO_CREATED_BY


def effective_labels(hep: Object) -> Mapping[str, str]:
    """The labels that Felix evaluates: the object's own, and over them those of Calico's metadata annotation.

    Source: libcalico-go/lib/backend/k8s/resources/resources.go, v3.28 and later.
    """
    metadata = hep["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    hidden = kept_metadata(metadata).labels
    return {**labels, **hidden} if hidden else labels


def correction(live: Object, wanted: Object) -> Optional[Object]:
    """The object to write so that the stored HostEndpoint is as wanted, or None where it is.

    Labels that others put there stay; those we put there and no longer want go. The object carries the
    stored resourceVersion, so that it never overwrites what someone wrote meanwhile.
    """
    metadata = live["metadata"]
    wanted_labels = wanted["metadata"]["labels"]
    if effective_labels(live) == wanted_labels == metadata.get("labels") and same_spec(live, wanted):
        return None
    stale = _labels_written_by_us(live) - wanted_labels.keys()
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k not in stale}
    labels.update(wanted_labels)
    annotations = _revealing(metadata, stale | wanted_labels.keys())
    unchanged = labels == metadata.get("labels") and annotations == (metadata.get("annotations") or {})
    if unchanged and same_spec(live, wanted):
        return None
    corrected: Object = {**live, "metadata": {**metadata, "labels": labels}, "spec": wanted["spec"]}
    corrected["metadata"].pop("managedFields", None)
    corrected["metadata"].pop("annotations", None)
    if annotations:
        corrected["metadata"]["annotations"] = annotations
    return corrected


def same_spec(live: Object, wanted: Object) -> bool:
    """Whether both say the same; an absent field is as good as an empty one."""
    stored = live.get("spec") or {}
    return stored == wanted["spec"] or _normal_spec(stored) == _normal_spec(wanted["spec"])


def active_wildcard(heps: Iterable[Object], node_name: str) -> Optional[Object]:
    """The wildcard HostEndpoint that Felix uses on a node: the alphabetically first, or None."""
    mine = (h for h in heps if (h.get("spec") or {}).get("node") == node_name)
    wildcards = [h for h in mine if h["spec"].get("interfaceName") == ALL_INTERFACES]
    return min(wildcards, key=lambda h: str(h["metadata"]["name"]), default=None)


def _revealing(metadata: Object, keys: Iterable[str]) -> dict[str, str]:
    """The annotations, with no label of these keys left in Calico's, where it would hide the object's own."""
    annotations = dict(metadata.get("annotations") or {})
    hidden = kept_metadata(metadata)
    kept = {k: v for k, v in hidden.labels.items() if k not in set(keys)}
    if kept != hidden.labels:
        annotations[METADATA_ANNOTATION] = hidden.rewritten(labels=kept)
    return annotations


def _desired_labels(node: Object, template: HostEndpointTemplate) -> dict[str, str]:
    node_labels = node["metadata"].get("labels") or {}
    copied = {key: node_labels[key] for key in template.node_labels if key in node_labels}
    return {**copied, **template.labels, OWNER_LABEL: OWNER}


def _labels_written_by_us(hep: Object) -> set[str]:
    ours = (m for m in hep["metadata"].get("managedFields") or [] if m.get("manager") == FIELD_MANAGER)
    fields = (m.get("fieldsV1", {}).get("f:metadata", {}).get("f:labels", {}) for m in ours)
    return {key[2:] for labels in fields for key in labels if key.startswith("f:")}


def _normal_spec(spec: Object) -> Object:
    filled = {key: value for key, value in spec.items() if value not in (None, "", [], {})}
    # The order of addresses means nothing to Felix.
    return {**filled, "expectedIPs": sorted(filled.get("expectedIPs", []))}


def _interface_addresses(noted: str) -> list[str]:
    """Addresses of the interfaces that Calico notes on the Node as ``[{name, addresses}]``."""
    try:
        interfaces = json.loads(noted) if noted else []
        return [str(a) for interface in interfaces for a in interface.get("addresses") or []]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []


def _plain_ip(text: str) -> str:
    """An address in canonical form without its prefix length, or empty where it is none."""
    address = text.partition("/")[0]
    family = AF_INET6 if ":" in address else AF_INET
    try:
        # Ten times as fast as the module ipaddress, which counts on thousands of nodes.
        return inet_ntop(family, inet_pton(family, address))
    except OSError:
        return ""


def _check_label(field_name: str, key: object, value: object) -> None:
    _check_label_key(field_name, key)
    if not isinstance(value, str) or (value and not _LABEL_NAME.fullmatch(value)):
        raise BadInput(
            field_name,
            value,
            "a label's value is at most 63 letters, digits, '-', '_' or '.', as a string (quote it)",
        )


def _check_label_key(field_name: str, key: object) -> None:
    prefix, _slash, name = str(key).rpartition("/")
    well_formed = _LABEL_NAME.fullmatch(name) and (
        not _slash or (len(prefix) <= 253 and _DNS_NAME.fullmatch(prefix))
    )
    if not isinstance(key, str) or not well_formed:
        raise BadInput(
            field_name,
            key,
            "a label's key is a name of at most 63 characters, after a DNS name and '/' if any",
        )


def _check_ports(ports: Sequence[NamedPort]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, port in enumerate(ports):
        where = f"ports[{index}]"
        if not is_port_name(port.name):
            raise BadInput(f"{where}.name", port.name, PORT_NAME_REMEDY)
        if port.protocol not in _PORT_PROTOCOLS:
            raise BadInput(f"{where}.protocol", port.protocol, f"must be one of {', '.join(_PORT_PROTOCOLS)}")
        # Felix cannot decode a port above 65535 and stops following changes altogether.
        if not 1 <= port.port <= 65535:
            raise BadInput(f"{where}.port", port.port, "must be from 1 to 65535")
        if (port.name, port.protocol) in seen:
            raise BadInput(f"{where}.name", port.name, f"named twice for {port.protocol}")
        seen.add((port.name, port.protocol))
