# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is stored in the cluster, as Felix (v3.32.1) reads it.

This is the lenient reader: it follows libcalico-go's conversion (backend/syncersv1/updateprocessors) and
Felix's filter (felix/calc/validation_filter.go, lib/validator/v1), so that an object that Felix drops is
dropped here, and a value that Felix skips is skipped. Each such place is recorded as a :class:`Misreading`.
Whatever an API can store is read without an error: what Felix cannot decode is recorded, too.
The strict reader, for what users hand us to be written, is another one (calico/policy).
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, Optional

from ..address import Address, parse_address, parse_net
from ..bad_input import BadInput
from ..endpoint_slice import SERVICE_LABEL
from ..host_endpoint import DEFAULT_ALLOW_PROFILE
from ..metadata_annotation import METADATA_ANNOTATION, decoded
from ..tier_wishes import is_denying_once_enforced
from .fields import (
    Notes,
    flag_field,
    list_field,
    mapping_field,
    mappings_field,
    number_field,
    text_field,
)
from .items import items_of
from .known_fields import OTHER_KINDS, SPEC_FIELDS, kind_meant, meant_for_calico, unknown_fields
from .model import (
    MISSING,
    SKIPPED,
    STALE,
    WILDCARD,
    EndpointPort,
    HostEndpoint,
    Misreading,
    NetworkSet,
    Node,
    Policy,
    Profile,
    Reference,
    Rule,
    ServiceEndpoint,
    Store,
    Tier,
    Workload,
)
from .rules import (
    NAMESPACE_LABEL,
    PROTOCOLS,
    SERVICE_ACCOUNT_LABEL,
    check_labels,
    endpoint_ports,
    policy_selector,
    read_rules,
)

UNKNOWN_FIELD = "Calico has no such field"
UNKNOWN_API = "No API has such a kind"
UNDECODABLE = "cannot be decoded"

V1 = "crd.projectcalico.org/v1"
V3 = "projectcalico.org/v3"

CALICO_KINDS = (
    "HostEndpoint",
    "GlobalNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "NetworkPolicy",
    "StagedNetworkPolicy",
    "Tier",
    "GlobalNetworkSet",
    "NetworkSet",
    "Profile",
    "FelixConfiguration",
    "WorkloadEndpoint",
    "IPPool",
)


# Kubernetes' own policy for pods of any namespace. Like NetworkPolicy it never selects a host.
_CLUSTER_POLICIES = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy")
ALL_NAMESPACES = "*"

_HINT = "AssumeNeededOnEveryNode"
_PROFILE_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}\Z")
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}\Z")

Raw = Mapping[str, Any]


def read(objects: Iterable[Raw], native_v3: bool = False) -> Store:
    """Read stored objects, in any order; kinds that have no say in a verdict are passed over.

    :param objects: Kubernetes objects as dictionaries; lists (``kind: List``) are opened
    :param native_v3: ``projectcalico.org/v3`` objects without ``types`` are defaulted as the admission
        policy of the v3 CRDs does it (an empty list of rules counts), not as the API server does
    :raises BadInput: what no API server can have stored: an object without kind or name, a field of the wrong
        type, or two objects of one name
    """
    with _without_collection():
        raws = _in_order(opened(objects))
        reader = _Reader(native_v3)
        for raw in raws:
            reader.add(raw)
        return reader.finished()


@contextmanager
def _without_collection() -> Iterator[None]:
    """All that is made here is kept: looking for garbage in it would double the time for a large cluster."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def canonical_name(kind: str, stored_name: str, tier: str, annotated: str = "") -> str:
    """Calico's name of a policy that storage calls ``stored_name``.

    Source: ConvertK8sResourceToCalicoResource, determinePolicyName (libcalico-go backend/k8s/resources).
    """
    if annotated:
        return annotated
    if kind in POLICY_KINDS and tier in ("", "default") and stored_name.startswith("default."):
        return stored_name[len("default.") :]
    return stored_name


POLICY_KINDS = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "NetworkPolicy", "StagedNetworkPolicy")


def merged_metadata(raw: Raw) -> tuple[str, dict[str, str], Optional[Misreading]]:
    """Name kept in the metadata annotation (or empty), the labels Felix sees, and what it hides.

    On v1 CRDs Calico keeps its own metadata in an annotation, whose labels win over ``metadata.labels``.
    """
    metadata = raw.get("metadata") or {}
    labels = text_map(metadata.get("labels"), "metadata.labels")
    text = mapping_field(metadata, "annotations", "metadata").get(METADATA_ANNOTATION)
    if raw.get("apiVersion") != V1 or text is None:
        return "", labels, None
    kept = decoded(text)
    if kept is None:
        place = f"metadata.annotations[{METADATA_ANNOTATION}]"
        return "", labels, Misreading(place, text, STALE, "Calico cannot decode this annotation")
    hidden = {name: value for name, value in labels.items() if kept.labels.get(name, value) != value}
    found = None
    if hidden:
        found = Misreading(
            "metadata.labels",
            hidden,
            SKIPPED,
            f"the labels in the annotation {METADATA_ANNOTATION} win over these",
        )
    return kept.name, {**labels, **kept.labels}, found


def opened(objects: Iterable[object]) -> list[Raw]:
    """The objects, those of lists among them.

    :raises BadInput: one without kind or name
    """
    found: list[Raw] = []
    for index, raw in enumerate(objects):
        if not isinstance(raw, Mapping):
            raise BadInput(
                f"resources[{index}]", raw, "a resource is a mapping with apiVersion, kind and metadata"
            )
        kind = raw.get("kind")
        if not isinstance(kind, str) or not kind:
            raise BadInput(f"resources[{index}].kind", kind, "name the object's kind")
        items = items_of(raw)
        if items is not None:
            found.extend(opened(items))
            continue
        metadata = raw.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        if not isinstance(name, str) or not name:
            raise BadInput(f"resources[{index}].metadata.name", name, "name the object", kind)
        found.append(raw)
    return found


def _identity(raw: Raw) -> tuple[str, str, str, str]:
    metadata = raw["metadata"]
    group = str(raw.get("apiVersion") or "").rpartition("/")[0]
    return (raw["kind"], group, str(metadata.get("namespace") or ""), metadata["name"])


def _in_order(raws: Sequence[Raw]) -> list[Raw]:
    """The objects in an order that does not depend on the input's.

    :raises BadInput: two of one kind and name
    """
    named = sorted(((_identity(raw), raw) for raw in raws), key=itemgetter(0))
    for (before, _raw), (identity, raw) in zip(named, named[1:]):
        if before == identity:
            name = raw["metadata"]["name"]
            raise BadInput("metadata.name", name, "two objects of one kind and name", f"{raw['kind']} {name}")
    return [raw for _identity_, raw in named]


def _is_calicos(api: object) -> bool:
    """Whether an API version is one of Calico's."""
    return str(api or "").partition("/")[0] in ("projectcalico.org", "crd.projectcalico.org")


def was_stored(raw: Raw) -> bool:
    """Whether an API server has taken the object: these fields are its own."""
    metadata = raw["metadata"]
    return bool(metadata.get("uid") or metadata.get("resourceVersion"))


def text_map(value: object, place: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        issubclass(kind, str) for kind in {*map(type, value), *map(type, value.values())}
    ):
        raise BadInput(place, value, "a mapping of text to text")
    return dict(value)


class _Reader:
    def __init__(self, native_v3: bool) -> None:
        self.native_v3 = native_v3
        self.store = Store()
        self.namespace_labels: dict[str, dict[str, str]] = {}
        self.account_labels: dict[str, dict[str, str]] = {}
        self.pods: list[Raw] = []
        self.sets: list[tuple[Raw, Reference, dict[str, str], Notes]] = []
        self.slices: dict[str, list[ServiceEndpoint]] = {}
        self.policies: dict[tuple[str, str, str], Policy] = {}

    def add(self, raw: Raw) -> None:
        kind, api = raw["kind"], raw.get("apiVersion")
        if kind == "NetworkPolicy" and str(api).startswith("networking.k8s.io/"):
            self.store.kubernetes_policies.add(str(raw["metadata"].get("namespace") or "default"))
            return
        if _is_calicos(api) or (kind in CALICO_KINDS and not api):
            self.add_of_calico(kind, api, raw)
            return
        if kind in _CLUSTER_POLICIES and str(api).startswith("policy.networking.k8s.io/"):
            self.store.kubernetes_policies.add(ALL_NAMESPACES)
            return
        handler = {
            "Node": self.add_node,
            "Namespace": self.add_namespace,
            "ServiceAccount": self.add_account,
            "Pod": self.pods.append,
            "EndpointSlice": self.add_slice,
            "Endpoints": self.add_endpoints,
        }.get(kind)
        if handler:
            try:
                handler(raw)
            except BadInput as bad:
                self.cannot_decode(raw, bad)
            return
        meant = meant_for_calico(kind, str(api or ""))
        if meant and not was_stored(raw):
            self.note_unknown(raw, "apiVersion", api, f"{UNKNOWN_API}, so this does nothing; {meant}")

    def cannot_decode(self, raw: Raw, bad: BadInput) -> None:
        """Record what an API server stored and its readers cannot decode.

        :raises BadInput: no API server has stored it
        """
        metadata = raw["metadata"]
        name, namespace = metadata["name"], str(metadata.get("namespace") or "")
        if not was_stored(raw):
            raise bad.within("", bad.source or f"{raw['kind']} {name}")
        ref = Reference(raw["kind"], name, namespace, str(raw.get("apiVersion")), name)
        effect = STALE if _is_calicos(raw.get("apiVersion")) else MISSING
        found = Misreading(bad.field, bad.value, effect, f"{UNDECODABLE}: {bad.remedy}")
        self.store.misreadings.append((ref, found))
        self.store.dropped.append((ref, (found,)))

    # -- Calico's kinds --------------------------------------------------------------------------

    def add_of_calico(self, kind: str, api: object, raw: Raw) -> None:
        """Read an object of Calico's API; of a kind that says nothing about hosts only its name."""
        name = raw["metadata"]["name"]
        if kind not in SPEC_FIELDS and kind not in OTHER_KINDS:
            meant = kind_meant(kind)
            hint = f"did you mean {meant}?" if meant else "no version of Calico that is known here has it"
            self.note_unknown(raw, "kind", kind, f"Calico has no such kind, so this does nothing; {hint}")
            return
        if kind not in CALICO_KINDS:
            self.note_unknown_fields(raw)
            return
        if api not in (V1, V3):
            raise BadInput("apiVersion", api, f"{V3} or {V1}", f"{kind} {name}")
        self.note_unknown_fields(raw)
        try:
            self.add_calico(kind, raw)
        except BadInput as bad:
            self.cannot_decode(raw, bad)

    def note_unknown(self, raw: Raw, field: str, value: object, meaning: str) -> None:
        """Record an object that no API takes."""
        metadata = raw["metadata"]
        name, namespace = metadata["name"], str(metadata.get("namespace") or "")
        ref = Reference(raw["kind"], name, namespace, str(raw.get("apiVersion")), name)
        found = Misreading(field, value, MISSING, meaning)
        self.store.misreadings.append((ref, found))
        self.store.dropped.append((ref, (found,)))

    def note_unknown_fields(self, raw: Raw) -> None:
        """Record fields that the API does not have. In what it has stored there are none: it prunes them."""
        if was_stored(raw):
            return
        metadata = raw["metadata"]
        name, namespace = metadata["name"], str(metadata.get("namespace") or "")
        ref = Reference(raw["kind"], name, namespace, str(raw.get("apiVersion")), name)
        for field, value, advice in unknown_fields(raw):
            meaning = f"{UNKNOWN_FIELD}, and what it says is not in force; {advice}"
            self.store.misreadings.append((ref, Misreading(field, value, SKIPPED, meaning)))

    def add_calico(self, kind: str, raw: Raw) -> None:
        metadata = raw["metadata"]
        spec = raw.get("spec") or {}
        source = f"{kind} {metadata['name']}"
        if not isinstance(spec, Mapping):
            raise BadInput("spec", spec, "a mapping", source)
        if kind == "FelixConfiguration":
            self.store.felix_configurations.append(dict(raw))
            return
        try:
            annotated, labels, hidden = merged_metadata(raw)
            tier = text_field(spec, "tier", "spec")
            ref = Reference(
                kind,
                canonical_name(kind, metadata["name"], tier, annotated),
                str(metadata.get("namespace") or ""),
                str(raw.get("apiVersion")),
                metadata["name"],
            )
            notes = Notes()
            if hidden:
                notes.found.append(hidden)
            if kind in ("GlobalNetworkSet", "NetworkSet"):
                self.sets.append((raw, ref, labels, notes))
            elif kind == "HostEndpoint":
                self.host_endpoint(ref, spec, labels, notes)
            elif kind == "WorkloadEndpoint":
                self.workload_endpoint(ref, spec, labels, notes)
            elif kind == "IPPool":
                self.ip_pool(spec)
            elif kind == "Tier":
                self.tier(ref, raw, spec, notes)
            elif kind == "Profile":
                self.profile(ref, spec, notes)
            else:
                self.policy(ref, spec, notes)
        except BadInput as bad:
            raise BadInput(bad.field, bad.value, bad.remedy, bad.source or source)

    def keep(self, ref: Reference, notes: Notes) -> bool:
        """Record what was misread; say whether Felix keeps the object."""
        self.store.misreadings.extend((ref, found) for found in notes.found)
        if notes.keeps_object():
            return True
        self.store.dropped.append((ref, tuple(notes.found)))
        return False

    def host_endpoint(self, ref: Reference, spec: Raw, labels: dict[str, str], notes: Notes) -> None:
        interface = text_field(spec, "interfaceName", "spec")
        if interface and interface != WILDCARD and not _INTERFACE.match(interface):
            notes.add(
                "spec.interfaceName",
                interface,
                MISSING,
                "not an interface name: the host endpoint is ignored",
            )
        addresses = []
        for index, text in enumerate(list_field(spec, "expectedIPs", "spec")):
            address = parse_address(text)
            if address:
                addresses.append(address)
            else:
                notes.add(f"spec.expectedIPs[{index}]", text, SKIPPED, "not an address: left out")
        profiles = tuple(str(name or "") for name in list_field(spec, "profiles", "spec"))
        for index, name in enumerate(profiles):
            if not _PROFILE_NAME.match(name):
                notes.add(
                    f"spec.profiles[{index}]",
                    name,
                    MISSING,
                    "not a profile name: the host endpoint is ignored",
                )
        check_labels(labels, notes)
        ports = endpoint_ports(list_field(spec, "ports", "spec"), notes)
        node = text_field(spec, "node", "spec")
        if not node:
            notes.add("spec.node", node, MISSING, "no node: no Felix uses this host endpoint")
        if self.keep(ref, notes):
            self.store.host_endpoints.append(
                HostEndpoint(
                    ref, node, interface, tuple(addresses), labels, profiles, ports, tuple(notes.found)
                )
            )

    def tier(self, ref: Reference, raw: Raw, spec: Raw, notes: Notes) -> None:
        action = spec.get("defaultAction")
        order = number_field(spec, "order", "spec")
        self.keep(ref, notes)
        self.store.tiers[ref.name] = Tier(
            ref,
            order,
            "Pass" if action == "Pass" else "Deny",
            tuple(notes.found),
            is_denying_once_enforced(raw),
        )

    def profile(self, ref: Reference, spec: Raw, notes: Notes) -> None:
        labels = text_map(spec.get("labelsToApply"), "spec.labelsToApply")
        ingress = read_rules(spec, "ingress", "", notes)
        egress = read_rules(spec, "egress", "", notes)
        if self.keep(ref, notes):
            self.store.profiles[ref.name] = Profile(ref.name, labels, ingress, egress)

    def workload_endpoint(self, ref: Reference, spec: Raw, labels: dict[str, str], notes: Notes) -> None:
        nets = [parse_net(text) for text in list_field(spec, "ipNetworks", "spec")]
        ports = endpoint_ports(list_field(spec, "ports", "spec"), notes)
        if self.keep(ref, notes):
            self.store.workloads.append(
                Workload(
                    ref,
                    text_field(spec, "node", "spec"),
                    labels,
                    tuple(Address(net.version, net.number) for net in nets if net),
                    ports,
                    text_field(spec, "interfaceName", "spec"),
                    tuple(str(name) for name in list_field(spec, "profiles", "spec")),
                )
            )

    def policy(self, ref: Reference, spec: Raw, notes: Notes) -> None:
        staged = ref.kind.startswith("Staged")
        if staged and spec.get("stagedAction") == "Delete":
            self.store.staged_deletions.append(ref)
            return
        types = [str(item).lower() for item in list_field(spec, "types", "spec")]
        types_given = bool(types)
        ingress = read_rules(spec, "ingress", ref.namespace, notes)
        egress = read_rules(spec, "egress", ref.namespace, notes)
        hints = list_field(spec, "performanceHints", "spec")
        if [hint for hint in hints if hint != _HINT] or len(hints) > 1:
            notes.add(
                "spec.performanceHints", list(hints), MISSING, f"{_HINT} once, or none: the policy is ignored"
            )
        if not types and ref.api == V3:
            types = self.defaulted_types(spec)
            types_given = True
        selector_text = text_field(spec, "selector", "spec")
        policy = Policy(
            ref,
            text_field(spec, "tier", "spec") or "default",
            number_field(spec, "order", "spec"),
            policy_selector(spec, ref.namespace, notes),
            ingress,
            egress,
            not types or "ingress" in types,
            not types or "egress" in types,
            flag_field(spec, "doNotTrack"),
            flag_field(spec, "preDNAT"),
            flag_field(spec, "applyOnForward"),
            staged,
            types_given,
            selector_text,
            text_field(spec, "namespaceSelector", "spec"),
            tuple(notes.found),
            "" if ref.namespace else text_field(spec, "serviceAccountSelector", "spec"),
        )
        if self.keep(ref, notes):
            self.policies[(ref.kind, ref.namespace, ref.name)] = policy

    def defaulted_types(self, spec: Raw) -> list[str]:
        """What the API fills in for a missing ``types`` (api/pkg/defaults, the mutating admission policy)."""
        if self.native_v3 and "types" in spec:
            return []
        ingress, egress = (
            key in spec if self.native_v3 else bool(spec.get(key)) for key in ("ingress", "egress")
        )
        if egress:
            return ["ingress", "egress"] if ingress else ["egress"]
        return ["ingress"]

    # -- Kubernetes' kinds -----------------------------------------------------------------------

    def add_node(self, raw: Raw) -> None:
        if raw.get("apiVersion") != "v1":
            return
        metadata = raw["metadata"]
        spec, status = mapping_field(raw, "spec", ""), mapping_field(raw, "status", "")
        self.add_pod_nets(list_field(spec, "podCIDRs", "spec") or [spec.get("podCIDR")])
        addresses = [
            parse_address(entry.get("address"))
            for _place, entry in mappings_field(status, "addresses", "status")
        ]
        labels = text_map(metadata.get("labels"), "metadata.labels")
        self.store.nodes[metadata["name"]] = Node(
            metadata["name"], labels, tuple(address for address in addresses if address)
        )

    def ip_pool(self, spec: Raw) -> None:
        self.add_pod_nets([spec.get("cidr")])
        family = 6 if ":" in str(spec.get("cidr")) else 4
        for kind in ("ipip", "vxlan"):
            if spec.get(f"{kind}Mode") not in (None, "", "Never"):
                self.store.tunnels.add((kind, family))

    def add_pod_nets(self, texts: Iterable[object]) -> None:
        nets = [parse_net(text) for text in texts if isinstance(text, str)]
        self.store.pod_nets.extend(net for net in nets if net)

    def add_namespace(self, raw: Raw) -> None:
        name = raw["metadata"]["name"]
        labels = {
            **text_map(raw["metadata"].get("labels"), "metadata.labels"),
            "projectcalico.org/name": name,
        }
        self.namespace_labels[name] = {f"pcns.{key}": value for key, value in labels.items()}
        self.store.profiles[f"kns.{name}"] = Profile(
            f"kns.{name}", self.namespace_labels[name], _ALLOW, _ALLOW
        )

    def add_account(self, raw: Raw) -> None:
        metadata = raw["metadata"]
        name = f"ksa.{metadata.get('namespace', '')}.{metadata['name']}"
        labels = {
            **text_map(metadata.get("labels"), "metadata.labels"),
            "projectcalico.org/name": metadata["name"],
        }
        self.account_labels[name] = {f"pcsa.{key}": value for key, value in labels.items()}
        self.store.profiles[name] = Profile(name, self.account_labels[name])

    def add_slice(self, raw: Raw) -> None:
        metadata = raw["metadata"]
        service = text_map(metadata.get("labels"), "metadata.labels").get(SERVICE_LABEL)
        if not service:
            return
        members = self.slices.setdefault(f"{metadata.get('namespace', '')}/{service}", [])
        ports = [port for _place, port in mappings_field(raw, "ports", "")]
        for place, endpoint in mappings_field(raw, "endpoints", ""):
            for text in list_field(endpoint, "addresses", place):
                members.extend(_members(text, ports))

    def add_endpoints(self, raw: Raw) -> None:
        metadata = raw["metadata"]
        members = self.slices.setdefault(f"{metadata.get('namespace', '')}/{metadata['name']}", [])
        for place, subset in mappings_field(raw, "subsets", ""):
            ports = [port for _place, port in mappings_field(subset, "ports", place)]
            for _place, entry in mappings_field(subset, "addresses", place):
                members.extend(_members(entry.get("ip"), ports))

    def add_pod(self, raw: Raw) -> None:
        metadata = raw["metadata"]
        spec, status = mapping_field(raw, "spec", ""), mapping_field(raw, "status", "")
        if spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
            return
        namespace = str(metadata.get("namespace") or "default")
        listed = [entry.get("ip") for _place, entry in mappings_field(status, "podIPs", "status")]
        texts = listed or [status.get("podIP")]
        addresses = tuple(address for address in map(parse_address, texts) if address)
        account = str(spec.get("serviceAccountName") or "")
        labels = text_map(metadata.get("labels"), "metadata.labels")
        labels[NAMESPACE_LABEL] = namespace
        labels["projectcalico.org/orchestrator"] = "k8s"
        if account:
            labels[SERVICE_ACCOUNT_LABEL] = account
        profiles = (f"kns.{namespace}", f"ksa.{namespace}.{account}") if account else (f"kns.{namespace}",)
        unknown = self.unknown_labels(namespace, profiles[-1] if account else "")
        ports = tuple(
            EndpointPort(str(port["name"]), _protocol_of(port), port["containerPort"])
            for place, container in mappings_field(spec, "containers", "spec")
            for _place, port in mappings_field(container, "ports", place)
            if port.get("name") and _protocol_of(port) and isinstance(port.get("containerPort"), int)
        )
        ref = Reference("Pod", metadata["name"], namespace, "v1", metadata["name"])
        self.store.workloads.append(
            Workload(ref, str(spec.get("nodeName") or ""), labels, addresses, ports, "", profiles, unknown)
        )

    def unknown_labels(self, namespace: str, account_profile: str) -> tuple[str, ...]:
        """Beginnings of the labels that a namespace or a service account that we were not given would add."""
        unknown = []
        if namespace not in self.namespace_labels:
            unknown.append("pcns.")
        if account_profile not in self.account_labels:
            unknown.append("pcsa.")
        return tuple(unknown)

    # -- the whole -------------------------------------------------------------------------------

    def finished(self) -> Store:
        store = self.store
        store.policies = list(self.policies.values())
        store.profiles.setdefault(DEFAULT_ALLOW_PROFILE, Profile(DEFAULT_ALLOW_PROFILE, {}, _ALLOW, _ALLOW))
        for pod in self.pods:
            try:
                self.add_pod(pod)
            except BadInput as bad:
                self.cannot_decode(pod, bad)
        for raw, ref, labels, notes in self.sets:
            try:
                self.add_set(ref, raw.get("spec") or {}, labels, notes)
            except BadInput as bad:
                self.cannot_decode(raw, bad)
        store.services = {name: tuple(members) for name, members in self.slices.items()}
        return store

    def add_set(self, ref: Reference, spec: Raw, labels: dict[str, str], notes: Notes) -> None:
        nets = []
        for index, text in enumerate(list_field(spec, "nets", "spec")):
            net = parse_net(text)
            if net:
                nets.append(net)
            else:
                notes.add(f"spec.nets[{index}]", text, SKIPPED, "not a net: left out")
        check_labels(labels, notes)
        if ref.namespace:
            labels = {
                **self.namespace_labels.get(ref.namespace, {}),
                **labels,
                NAMESPACE_LABEL: ref.namespace,
            }
        if self.keep(ref, notes):
            self.store.network_sets.append(NetworkSet(ref, tuple(nets), labels, tuple(notes.found)))


_ALLOW = (Rule(0, "allow"),)


def inherited_labels(
    labels: Mapping[str, str], profiles: Iterable[str], known: Mapping[str, Profile]
) -> Mapping[str, str]:
    """The labels that selectors see on an endpoint: its own win over those of its profiles."""
    merged: dict[str, str] = {}
    for name in profiles:
        profile = known.get(name)
        for key, value in (profile.labels if profile else {}).items():
            merged.setdefault(key, value)
    if not merged:
        return labels
    merged.update(labels)
    return merged


def _members(text: object, ports: Sequence[Raw]) -> list[ServiceEndpoint]:
    address = parse_address(text)
    if not address:
        return []
    numbered = [port for port in ports if isinstance(port.get("port"), int)]
    if not numbered:
        return [ServiceEndpoint(address, 0, 0)]  # nothing to go to, but still someone to come from
    return [
        ServiceEndpoint(address, _protocol_of(port), port["port"]) for port in numbered if _protocol_of(port)
    ]


def _protocol_of(port: Raw) -> int:
    """The protocol of a port of Kubernetes; 0 where Calico knows none of this name."""
    return PROTOCOLS.get(str(port.get("protocol") or "TCP").lower(), 0)
