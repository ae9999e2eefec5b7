# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about what Calico's API refuses, found without asking it.

For objects of ``projectcalico.org/v3`` that no API server has stored yet. Policies are read by the
strict reader of module ``policies``; the other kinds are checked here. Of ``crd.projectcalico.org/v1``,
which is written past Calico's validator, the two configurations are: by what their schema refuses.
Source: libcalico-go/lib/validator/v3 and the schemas in libcalico-go/config/crd, both v3.32.1, which is what
``calicoctl validate`` asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Callable

from ..address import parse_address, parse_net
from ..bad_input import BadInput
from ..finding import ERROR, Finding
from ..host_endpoint import PORT_NAME_REMEDY, is_port_name
from ..policy.reader import Document, parse
from ..stored.known_fields import unknown_fields
from ..stored.reader import V1, V3, was_stored
from .configuration_values import choice, controllers_refusals, felix_refusals, felix_schema_refusals
from .context import trap

Raw = Mapping[str, Any]

RULES = {
    "refused-by-api": "Calico's own API refuses the object (``calicoctl validate``).",
}

_POLICIES = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}\Z")
# Of rules; Felix drops a policy with more of them than Kubernetes' own.
_API_PORT_NAME = re.compile(r"(?![0-9]+(:[0-9]+)?\Z)[a-zA-Z0-9_.-]{1,128}\Z")
_WITH_PORTS = ("tcp", "udp", "sctp", "6", "17", "132")


def check(objects: Iterable[Raw]) -> Iterator[Finding]:
    """What the API would refuse of objects that it has not stored."""
    for raw in objects:
        spec = raw.get("spec")
        if not _is_checked(raw) or was_stored(raw) or spec is None:
            continue
        if not isinstance(spec, Mapping):
            yield _finding(raw, BadInput("spec", spec, "write a mapping of fields"))
            continue
        if next(unknown_fields(raw), None):
            continue  # said by unknown-field
        yield from (_finding(raw, bad) for bad in _refusals(raw, spec))


def _is_checked(raw: Raw) -> bool:
    api = raw.get("apiVersion")
    return api == V3 or (api == V1 and raw["kind"] in _OF_SCHEMA)


def _finding(raw: Raw, bad: BadInput) -> Finding:
    return trap(
        "refused-by-api",
        ERROR,
        f"{raw['kind']} {raw['metadata']['name']}",
        bad.field,
        f"{bad.value!r}: Calico's API refuses this",
        bad.remedy,
    )


def _refusals(raw: Raw, spec: Raw) -> Iterator[BadInput]:
    kind = raw["kind"]
    if kind == "FelixConfiguration":
        yield from _selected_nodes(raw["metadata"]["name"], spec)
    if raw["apiVersion"] == V1:
        yield from _OF_SCHEMA[kind](spec)
        return
    if kind in _POLICIES:
        yield from _of_strict_reader(raw, spec)
        return
    checks: dict[str, Callable[[Raw], Iterator[BadInput]]] = {
        "HostEndpoint": _host_endpoint,
        "KubeControllersConfiguration": controllers_refusals,
        "FelixConfiguration": felix_refusals,
        "GlobalNetworkSet": _network_set,
    }
    if kind == "Tier":
        yield from _tier(raw["metadata"], spec)
        yield from _metadata(raw["metadata"])
    if kind in checks:
        yield from _object_name(raw["metadata"]["name"])
        yield from _metadata(raw["metadata"])
        yield from checks[kind](spec)
    if kind == "GlobalNetworkSet" and "projectcalico.org/namespace" in (raw["metadata"].get("labels") or ()):
        field = "metadata.labels[projectcalico.org/namespace]"
        yield BadInput(field, raw["metadata"]["labels"]["projectcalico.org/namespace"], "take this label out")


_OF_SCHEMA: Mapping[str, Callable[[Raw], Iterator[BadInput]]] = {
    "FelixConfiguration": felix_schema_refusals,
    "KubeControllersConfiguration": partial(controllers_refusals, by_schema=True),
}


def _selected_nodes(name: str, spec: Raw) -> Iterator[BadInput]:
    selector = spec.get("nodeSelector")
    if isinstance(selector, str) and (name == "default" or name.startswith("node.")):
        yield BadInput("spec.nodeSelector", selector, f"take it out: the name {name} says which nodes")


def _of_strict_reader(raw: Raw, spec: Raw) -> Iterator[BadInput]:
    """What ``policies`` refuses, without what it refuses only because a set cannot hold it."""
    metadata, tier = raw["metadata"], spec.get("tier")
    plain = {key: value for key, value in spec.items() if key not in ("stagedAction", "tier")}
    for direction in ("ingress", "egress"):
        if isinstance(plain.get(direction), list):
            plain[direction] = [_plain_rule(rule) for rule in plain[direction]]
    if tier not in (None, "") and not _is_name(tier):
        yield BadInput("spec.tier", tier, "write lower-case letters, digits, '-' and '.'")
    action = spec.get("stagedAction")
    if action not in (None, "Set", "Delete", "Learn", "Ignore"):
        yield BadInput("spec.stagedAction", action, "write Set, Delete, Learn or Ignore")
    # A set refuses more names than the API: its policies are found again under any version's.
    named = {"name": "p"} if _is_name(metadata["name"]) else {"name": metadata["name"]}
    try:
        parse([Document({**raw, "metadata": named, "spec": plain}, "")])
    except BadInput as bad:
        yield bad
    yield from _metadata(metadata)


def _plain_rule(rule: object) -> object:
    """A rule without what the API takes and a set does not: what Felix makes of it, other rules say."""
    if not isinstance(rule, Mapping):
        return rule
    plain = {key: value for key, value in rule.items() if key != "http" and value != {}}
    for side in ("source", "destination"):
        if isinstance(plain.get(side), Mapping):
            plain[side] = {key: _plain_ports(key, value) for key, value in plain[side].items()}
    return plain


def _plain_ports(key: str, value: object) -> object:
    if key not in ("ports", "notPorts") or not isinstance(value, list):
        return value
    return ["p" if isinstance(port, str) and _API_PORT_NAME.match(port) else port for port in value]


# -- metadata --------------------------------------------------------------------------------------


def _object_name(name: str) -> Iterator[BadInput]:
    """Policies and tiers have other names."""
    if not _NAME.match(name) or len(name) > 253:
        yield BadInput("metadata.name", name, "write at most 253 lower-case letters, digits, '-' and '.'")


def _metadata(metadata: Raw) -> Iterator[BadInput]:
    yield from _labels(metadata)
    yield from _annotations(metadata)


def _annotations(metadata: Raw) -> Iterator[BadInput]:
    annotations = metadata.get("annotations")
    if annotations is None:
        return
    if not isinstance(annotations, Mapping):
        yield BadInput("metadata.annotations", annotations, "write a mapping of names to texts")
        return
    for key, value in annotations.items():
        prefix, slash, name = str(key).rpartition("/")
        # Unlike of labels, the DNS name may be in any case.
        if not _QUALIFIED.match(name) or (slash and not _NAME.match(prefix.lower())):
            yield BadInput(
                f"metadata.annotations[{key}]", key, "write a name of at most 63 characters, after a DNS name"
            )
        elif value is not None and not isinstance(value, str):
            yield BadInput(f"metadata.annotations[{key}]", value, "write a text: quote it")


_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")


def _labels(metadata: Raw) -> Iterator[BadInput]:
    labels = metadata.get("labels") or {}
    if not isinstance(labels, Mapping):
        yield BadInput("metadata.labels", labels, "write a mapping of names to values")
        return
    for key, value in labels.items():
        if value is not None and not isinstance(value, str):
            yield BadInput(f"metadata.labels[{key}]", value, "write a text: quote it")
            continue
        prefix, slash, name = str(key).rpartition("/")
        if not _QUALIFIED.match(name) or (slash and not (_NAME.match(prefix) and len(prefix) <= 253)):
            yield BadInput(
                f"metadata.labels[{key}]", key, "write a name of at most 63 characters, after a DNS name"
            )
        if value and not _QUALIFIED.match(str(value)):
            yield BadInput(
                f"metadata.labels[{key}]", value, "write at most 63 letters, digits, '-', '_' and '.'"
            )


# -- host endpoints --------------------------------------------------------------------------------


def _host_endpoint(spec: Raw) -> Iterator[BadInput]:
    node, interface = spec.get("node"), spec.get("interfaceName")
    if not node:
        yield BadInput("spec.node", node, "name the node")
    elif not _NAME.match(str(node)):
        yield BadInput("spec.node", node, "write lower-case letters, digits, '-' and '.'")
    if not interface and not spec.get("expectedIPs"):
        yield BadInput("spec.interfaceName", interface, "name an interface, '*', or expectedIPs")
    if interface and interface != "*" and not _INTERFACE.match(str(interface)):
        yield BadInput(
            "spec.interfaceName", interface, "write '*' or at most 15 letters, digits, '_', '.', '-'"
        )
    for field, right in (("expectedIPs", _is_address), ("profiles", _is_name)):
        found = spec.get(field) or []
        for index, value in enumerate(found):
            if not right(value):
                yield BadInput(
                    f"spec.{field}[{index}]",
                    value,
                    "write an address" if right is _is_address else "write a name",
                )
            elif value in found[:index]:
                yield BadInput(f"spec.{field}[{index}]", value, "it is listed twice; keep one")
    for index, port in enumerate(spec.get("ports") or []):
        yield from _port(port or {}, f"spec.ports[{index}]")


def _port(port: Raw, place: str) -> Iterator[BadInput]:
    if not is_port_name(str(port.get("name") or "")):
        yield BadInput(f"{place}.name", port.get("name"), PORT_NAME_REMEDY)
    if str(port.get("protocol")).lower() not in _WITH_PORTS:
        yield BadInput(f"{place}.protocol", port.get("protocol"), "write TCP, UDP or SCTP")
    number = port.get("port")
    if not isinstance(number, int) or not 1 <= number <= 65535:
        yield BadInput(f"{place}.port", number, "write a number from 1 to 65535")


def _is_address(value: object) -> bool:
    return parse_address(value) is not None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 253 and bool(_NAME.match(value))


# -- sets and tiers --------------------------------------------------------------------------------


def _network_set(spec: Raw) -> Iterator[BadInput]:
    nets = spec.get("nets") or []
    for index, text in enumerate(nets):
        if parse_net(text) is None:
            yield BadInput(f"spec.nets[{index}]", text, "write a net or an address")
        elif text in nets[:index]:
            yield BadInput(f"spec.nets[{index}]", text, "it is listed twice; keep one")


_BUILT_IN_ORDERS = {"default": 1_000_000, "kube-admin": 1_000, "kube-baseline": 10_000_000}


def _tier(metadata: Raw, spec: Raw) -> Iterator[BadInput]:
    name = metadata["name"]
    if "." in name or len(name) > 63 or not _NAME.match(name):
        yield BadInput("metadata.name", name, "write at most 63 lower-case letters, digits and '-'")
    order = _BUILT_IN_ORDERS.get(name)
    if order is not None and spec.get("order") != order:
        yield BadInput("spec.order", spec.get("order"), f"write {order}: this tier is Calico's own")
    yield from choice(spec, "defaultAction", ("Deny", "Pass"), "spec")
    if name in ("kube-admin", "kube-baseline") and spec.get("defaultAction") != "Pass":
        yield BadInput(
            "spec.defaultAction", spec.get("defaultAction"), "write Pass: this tier is Calico's own"
        )
    elif spec.get("defaultAction") == "":
        yield BadInput("spec.defaultAction", "", "write Deny or Pass, or leave it out")
