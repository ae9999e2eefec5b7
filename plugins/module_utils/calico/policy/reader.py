# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico policy as users hand it to us to be written: read strictly, and put in the cluster's form.

The strict counterpart of stored/reader.py. Everything that Calico would reject is refused (the rules are
those of libcalico-go/lib/validator/v3/validator.go at v3.32.1), and so is everything that the API takes
and Felix then misreads: a rule that is dropped in silence opens or closes a host.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Callable, Optional, TypeVar, Union

from .. import selector as selectors
from ..address import parse_address, written_net
from ..bad_input import BadInput
from ..commercial import is_commercial
from ..host_endpoint import OWNER, OWNER_LABEL, PORT_NAME_REMEDY, is_port_name
from ..metadata_annotation import METADATA_ANNOTATION
from .definition import (
    Definitions,
    EntityDefinition,
    Icmp,
    Metadata,
    NetworkSetDefinition,
    PolicyDefinition,
    PolicySpec,
    Port,
    Protocol,
    RuleDefinition,
    RuleMetadata,
    Service,
    ServiceAccounts,
    TierDefinition,
    infer_types,
    wire,
)
from .names import (
    API_VERSION,
    BUILTIN_TIERS,
    DEFAULT_TIER,
    DENY,
    EGRESS,
    INGRESS,
    MAX_NAME,
    NETWORK_SET,
    PASS,
    POLICY,
    STAGED_POLICY,
    TIER,
    TIER_LABEL,
    canonical_name,
    is_dns_label,
    is_dns_name,
    is_simple_name,
)

_QUALIFIED_PART = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_PORT_RANGE = re.compile(r"(\d+):(\d+)\Z")
_ANNOTATIONS_LIMIT = 256 * 1024
# What Calico puts before the labels of namespaces and service accounts on endpoints.
_OF_NAMESPACES, _OF_SERVICE_ACCOUNTS = "pcns.", "pcsa."

_PROTOCOLS = ("TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite")
_WITH_PORTS = ("TCP", "UDP", "SCTP", 6, 17, 132)
_ACTIONS = ("Allow", "Deny", "Log", "Pass")

_NAMESPACED = ("NetworkPolicy", "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy", "NetworkSet")
_SET_BY_THE_API = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
T = TypeVar("T")


@dataclass(frozen=True)
class Document:
    """One YAML document and where it stands: ``place`` is a file and, of several, the document's number."""

    value: object
    place: str


def parse(documents: Iterable[Document], default_tier: str = DEFAULT_TIER) -> Definitions:
    """Read the objects of a set.

    :param default_tier: the tier of a policy that names none
    :raises BadInput: what Calico would reject or Felix would misread; ``source`` is the place, the kind
        and the name, ``field`` the path in the object
    """
    read = [_parse_one(document, default_tier) for document in documents]
    _refuse_twins(read)
    return Definitions(
        policies=tuple(o for o in read if isinstance(o, PolicyDefinition)),
        network_sets=tuple(o for o in read if isinstance(o, NetworkSetDefinition)),
        tiers=tuple(o for o in read if isinstance(o, TierDefinition)),
    )


def check_network(text: str, path: str) -> str:
    """A network in canonical form.

    :raises BadInput: not a CIDR with the host bits zero
    """
    if "/" not in text and parse_address(text):
        raise BadInput(path, text, f"write {text}/{128 if ':' in text else 32}: a rule takes networks only")
    return written_net(
        text,
        path,
        "not a network; Felix would leave the match out, and the rule would fit everybody "
        "(write it like 192.0.2.0/24 or 2001:db8::/32)",
    )


class _DefinitionReader:
    """One mapping of the user's; every field that is not asked for is unknown."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise BadInput(path or "document", value, "must be a mapping of fields")
        self.path = path
        self._left = dict(value)
        self._known: list[str] = []

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, kind: str, accept: Callable[[object], bool]) -> Any:
        """The value of a field, or None where it is absent or null."""
        self._known.append(key)
        value = self._left.pop(key, None)
        if value is not None and not accept(value):
            raise BadInput(self.at(key), value, f"must be {kind}")
        return value

    def text(self, key: str) -> str:
        return self.take(key, "a string", lambda v: isinstance(v, str)) or ""

    def flag(self, key: str) -> bool:
        return bool(self.take(key, "true or false", lambda v: isinstance(v, bool)))

    def number(self, key: str) -> Optional[float]:
        return self.take(key, "a number", _is_number)  # type: ignore[no-any-return]

    def choice(self, key: str, choices: Sequence[object]) -> Any:
        listed = ", ".join(map(str, choices))
        return self.take(key, f"one of {listed}", lambda v: not isinstance(v, bool) and v in choices)

    def items(self, key: str) -> list[object]:
        return list(self.take(key, "a list", lambda v: isinstance(v, list)) or [])

    def texts(self, key: str) -> list[str]:
        found = self.items(key)
        for index, item in enumerate(found):
            if not isinstance(item, str):
                raise BadInput(f"{self.at(key)}[{index}]", item, "must be a string")
        return found  # type: ignore[return-value]

    def mapping(self, key: str) -> Optional[_DefinitionReader]:
        value = self.take(key, "a mapping of fields", lambda v: isinstance(v, Mapping))
        return None if value is None else _DefinitionReader(value, self.at(key))

    def selector(self, key: str, prefix: str = "", *, allow_global: bool = False) -> str:
        """A selector.

        :param prefix: what Calico puts before each label name, which counts for how long one may be
        """
        text = self.text(key)
        try:
            parsed = selectors.parse(text)
            selectors.parse(str(parsed.prefixed(prefix)))
        except BadInput as bad:
            raise BadInput(self.at(key), text, bad.remedy)
        if "global(" in text and not (allow_global and str(parsed) == "global()"):
            raise BadInput(self.at(key), text, "global() may only stand alone, in a rule's namespaceSelector")
        return text

    def refuse(self, key: str, remedy: str) -> None:
        """Refuse a field that exists, and that we know why not to take."""
        if self._left.get(key) is not None:
            raise BadInput(self.at(key), self._left[key], remedy)
        self._left.pop(key, None)

    def finish(self) -> None:
        for key, value in self._left.items():
            if is_commercial(str(key)):
                raise BadInput(
                    self.at(str(key)),
                    value,
                    "open-source Calico has no such field, only the commercial editions do: write nets, or a "
                    "selector of a GlobalNetworkSet that holds them, or write it with their tools",
                )
            close = difflib.get_close_matches(str(key), self._known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(self._known)}"
            raise BadInput(self.at(str(key)), value, f"Calico has no such field; {hint}")


def _parse_one(
    document: Document, default_tier: str
) -> Union[PolicyDefinition, NetworkSetDefinition, TierDefinition]:
    source = document.place
    try:
        reader = _DefinitionReader(document.value, "")
        kind = _read_kind(reader)
        metadata = _read_metadata(reader)
        source = ", ".join(filter(None, (document.place, f"{kind} {metadata.name}")))
        spec = reader.mapping("spec") or _DefinitionReader({}, "spec")
        reader.refuse("status", "status is Calico's to write: remove it")
        reader.finish()
        return _READERS[kind](metadata, spec, source, default_tier)
    except BadInput as bad:
        raise bad.within("", source)


def _read_kind(reader: _DefinitionReader) -> str:
    kind = reader.text("kind")
    if kind in _NAMESPACED:
        raise BadInput("kind", kind, f"namespaced policy cannot select host endpoints: write {POLICY}")
    if kind == "HostEndpoint":
        raise BadInput("kind", kind, "host endpoints are made by the role host_endpoints, not by a set")
    if kind not in _READERS:
        raise BadInput("kind", kind, f"must be one of {', '.join(_READERS)}")
    version = reader.text("apiVersion")
    if version != API_VERSION:
        raise BadInput(
            "apiVersion",
            version,
            f"write {API_VERSION}: it is stored in the group that the cluster uses",
        )
    return kind


def _read_metadata(reader: _DefinitionReader) -> Metadata:
    meta = reader.mapping("metadata")
    if meta is None:
        raise BadInput("metadata", None, "must hold at least the name")
    name = meta.text("name")
    if not name or not is_dns_name(name):
        raise BadInput("metadata.name", name, "must be lower-case letters, digits, '-' and '.'")
    if len(name) > MAX_NAME:
        raise BadInput(
            "metadata.name", name, f"is {len(name)} characters long; at most {MAX_NAME} are stored"
        )
    meta.refuse("namespace", "this kind has no namespace: remove it")
    for key in _SET_BY_THE_API:
        meta.refuse(key, "the API server sets it: remove it")
    for key in ("finalizers", "ownerReferences", "generateName"):
        meta.refuse(key, "objects of a set have a name, labels and annotations: remove it")
    labels = _read_strings(meta, "labels")
    annotations = _read_strings(meta, "annotations")
    for key, value in labels.items():
        _check_label(f"metadata.labels[{key}]", key, value)
    _check_annotations("metadata.annotations", annotations)
    meta.finish()
    return Metadata(name, labels, annotations)


def _read_strings(reader: _DefinitionReader, key: str) -> dict[str, str]:
    found = reader.take(key, "a mapping of strings", lambda v: isinstance(v, Mapping)) or {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadInput(f"{reader.at(key)}[{name}]", value, "must be a string: quote it")
    return dict(found)


def _check_label(path: str, key: str, value: str) -> None:
    _check_qualified(path, key)
    if value and not _QUALIFIED_PART.match(value):
        raise BadInput(path, value, "must be at most 63 letters, digits, '-', '_' and '.'")
    if key.startswith("hostfence.io/") or (key == OWNER_LABEL and value != OWNER):
        raise BadInput(path, value, "Hostfence sets this label itself: remove it")
    if key == "projectcalico.org/namespace":
        raise BadInput(path, value, "Calico reserves this label: remove it")


def _check_annotations(path: str, annotations: Mapping[str, str]) -> None:
    for key in annotations:
        prefix, slash, name = key.rpartition("/")
        # Of annotations, unlike labels, Kubernetes and Calico take the DNS name in any case.
        _check_qualified(f"{path}[{key}]", f"{prefix.lower()}{slash}{name}")
        # On v1 storage it would replace the labels and the name.
        if key in (METADATA_ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration"):
            raise BadInput(f"{path}[{key}]", annotations[key], "a client's own record: remove it")
    if sum(len(k) + len(v) for k, v in annotations.items()) > _ANNOTATIONS_LIMIT:
        raise BadInput(path, "…", f"more than {_ANNOTATIONS_LIMIT} bytes in all")


def _check_qualified(path: str, key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _QUALIFIED_PART.match(name) or (slash and not (len(prefix) <= 253 and is_dns_name(prefix))):
        raise BadInput(path, key, "the key must be a name of at most 63 characters, after a DNS name and '/'")


def _read_tier(
    metadata: Metadata, spec: _DefinitionReader, source: str, _default_tier: str
) -> TierDefinition:
    if not is_simple_name(metadata.name):
        raise BadInput("metadata.name", metadata.name, "a tier's name has no dot, and at most 63 characters")
    if metadata.name in BUILTIN_TIERS:
        raise BadInput("metadata.name", metadata.name, "this tier is Calico's own: remove it from the set")
    order = spec.number("order")
    action = spec.choice("defaultAction", (DENY, PASS))
    spec.finish()
    return TierDefinition(metadata, order, action, source)


def _read_network_set(
    metadata: Metadata, spec: _DefinitionReader, source: str, _default_tier: str
) -> NetworkSetDefinition:
    nets = _read_nets(spec, "nets", bare_addresses=True)
    spec.finish()
    return NetworkSetDefinition(metadata, nets, source)


def _read_staged_policy(
    metadata: Metadata, spec: _DefinitionReader, source: str, default_tier: str
) -> PolicyDefinition:
    action = spec.text("stagedAction")
    if action not in ("", "Set"):
        raise BadInput(
            "spec.stagedAction",
            action,
            "must be Set or absent: a set says by its state what is staged, enforced or absent",
        )
    return _read_policy(metadata, spec, source, default_tier)


def _read_policy(
    metadata: Metadata, spec: _DefinitionReader, source: str, default_tier: str
) -> PolicyDefinition:
    tier = spec.text("tier") or default_tier
    if not is_simple_name(tier):
        raise BadInput("spec.tier", tier, "a tier's name has no dot, and at most 63 characters")
    name = canonical_name(metadata.name, tier)
    if not is_dns_label(name[len(tier) + 1 :] if name.startswith(f"{tier}.") else name):
        raise BadInput(
            "metadata.name",
            metadata.name,
            f"a policy of tier {tier} is named x or {tier}.x, with no other dot in it",
        )
    if metadata.labels.get(TIER_LABEL, tier) != tier:
        raise BadInput("metadata.labels", metadata.labels[TIER_LABEL], f"the policy is in tier {tier}")
    order = spec.number("order")
    selector = spec.selector("selector")
    namespace_selector = spec.selector("namespaceSelector", _OF_NAMESPACES)
    service_account_selector = spec.selector("serviceAccountSelector", _OF_SERVICE_ACCOUNTS)
    do_not_track = spec.flag("doNotTrack")
    pre_dnat = spec.flag("preDNAT")
    apply_on_forward = spec.flag("applyOnForward")
    ingress = tuple(_read_rule(r, INGRESS) for r in _mappings(spec, "ingress"))
    egress = tuple(_read_rule(r, EGRESS) for r in _mappings(spec, "egress"))
    types = _read_types(spec) or infer_types(bool(ingress), bool(egress))
    hints = tuple(spec.texts("performanceHints"))
    spec.finish()
    if set(hints) - {"AssumeNeededOnEveryNode"} or len(set(hints)) != len(hints):
        raise BadInput("spec.performanceHints", list(hints), "Calico knows AssumeNeededOnEveryNode only")
    read = PolicySpec(
        tier=tier,
        types=types,
        order=order,
        selector=selector,
        namespace_selector=namespace_selector,
        service_account_selector=service_account_selector,
        ingress=ingress,
        egress=egress,
        do_not_track=do_not_track,
        pre_dnat=pre_dnat,
        apply_on_forward=apply_on_forward,
        performance_hints=hints,
    )
    _check_class(read)
    return PolicyDefinition(replace(metadata, name=name), read, source)


def _check_class(spec: PolicySpec) -> None:
    if spec.pre_dnat and spec.do_not_track:
        raise BadInput("spec.doNotTrack", True, "a policy is preDNAT or doNotTrack, not both")
    if spec.pre_dnat and (spec.egress or EGRESS in spec.types):
        raise BadInput("spec.types", list(spec.types), "a preDNAT policy has ingress rules and type only")
    if (spec.pre_dnat or spec.do_not_track) and not spec.apply_on_forward:
        raise BadInput("spec.applyOnForward", False, "must be true with preDNAT or doNotTrack")


def _read_types(spec: _DefinitionReader) -> tuple[str, ...]:
    types = spec.texts("types")
    for index, direction in enumerate(types):
        if direction not in (INGRESS, EGRESS):
            raise BadInput(f"spec.types[{index}]", direction, f"must be {INGRESS} or {EGRESS}")
    if len(set(types)) != len(types):
        raise BadInput("spec.types", types, "a direction is named twice")
    return tuple(types)


def _mappings(reader: _DefinitionReader, key: str) -> list[_DefinitionReader]:
    return [_DefinitionReader(item, f"{reader.at(key)}[{i}]") for i, item in enumerate(reader.items(key))]


def _read_rule(reader: _DefinitionReader, direction: str) -> RuleDefinition:
    action = reader.choice("action", _ACTIONS)
    if action is None:
        raise BadInput(reader.at("action"), None, f"must be one of {', '.join(_ACTIONS)}")
    metadata = reader.mapping("metadata")
    annotations = _read_strings(metadata, "annotations") if metadata else {}
    if metadata:
        _check_annotations(metadata.at("annotations"), annotations)
        metadata.finish()
    rule = RuleDefinition(
        action=action,
        ip_version=reader.choice("ipVersion", (4, 6)),
        protocol=_read_protocol(reader, "protocol"),
        not_protocol=_read_protocol(reader, "notProtocol"),
        icmp=_read_icmp(reader, "icmp"),
        not_icmp=_read_icmp(reader, "notICMP"),
        source=_read_entity(reader, "source"),
        destination=_read_entity(reader, "destination"),
        metadata=RuleMetadata(annotations) if annotations else None,
    )
    reader.refuse(
        "http",
        "Felix ignores it on host endpoints and the rule would fit the whole port: remove it",
    )
    reader.finish()
    _check_ports_fit(rule, reader.path)
    _check_icmp_fits(rule, reader.path)
    _check_family(rule, reader.path)
    _check_services(rule, reader.path, direction)
    return rule


def _read_protocol(reader: _DefinitionReader, key: str) -> Optional[Protocol]:
    value = reader.take(key, "a protocol's name or number", _is_protocol_like)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if value is None or value in _PROTOCOLS or (isinstance(value, int) and 1 <= value <= 255):
        return value  # type: ignore[no-any-return]
    close = next((p for p in _PROTOCOLS if p.lower() == str(value).lower()), None)
    hint = f"write {close}" if close else f"must be one of {', '.join(_PROTOCOLS)} or a number from 1 to 255"
    raise BadInput(reader.at(key), value, hint)


def _read_icmp(reader: _DefinitionReader, key: str) -> Optional[Icmp]:
    inner = reader.mapping(key)
    if inner is None:
        return None
    kind = inner.take("type", "a number from 0 to 254", lambda v: _is_whole(v, 0, 254))
    code = inner.take("code", "a number from 0 to 255", lambda v: _is_whole(v, 0, 255))
    inner.finish()
    if kind is None and code is not None:
        raise BadInput(inner.at("type"), None, "must be given with a code")
    # With neither, Felix matches every type: it is as good as absent, and so it is stored.
    return Icmp(kind, code)


def _read_entity(reader: _DefinitionReader, key: str) -> EntityDefinition:
    inner = reader.mapping(key)
    if inner is None:
        return EntityDefinition()
    entity = EntityDefinition(
        nets=_read_nets(inner, "nets"),
        not_nets=_read_nets(inner, "notNets"),
        selector=inner.selector("selector"),
        not_selector=inner.selector("notSelector"),
        namespace_selector=inner.selector("namespaceSelector", _OF_NAMESPACES, allow_global=True),
        ports=_read_ports(inner, "ports"),
        not_ports=_read_ports(inner, "notPorts"),
        services=_read_service(inner),
        service_accounts=_read_service_accounts(inner),
    )
    inner.finish()
    for index, net in enumerate(entity.not_nets):
        if net in ("0.0.0.0/0", "::/0"):
            raise BadInput(f"{inner.at('notNets')}[{index}]", net, "fits nothing: remove the rule")
    return entity


def _read_nets(reader: _DefinitionReader, key: str, bare_addresses: bool = False) -> tuple[str, ...]:
    found: list[str] = []
    for index, text in enumerate(reader.texts(key)):
        path = f"{reader.at(key)}[{index}]"
        net = text if bare_addresses and _is_address(text) else check_network(text, path)
        if net in found:
            raise BadInput(path, text, "is listed twice")
        found.append(net)
    return tuple(found)


def _read_ports(reader: _DefinitionReader, key: str) -> tuple[Port, ...]:
    return tuple(_read_port(v, f"{reader.at(key)}[{i}]") for i, v in enumerate(reader.items(key)))


def _read_port(value: object, path: str) -> Port:
    # Felix cannot decode a port above 65535, and then follows no change of any policy.
    whole = "a port is a number from 1 to 65535, first:last, or a name"
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int):
        if not _is_whole(value, 1, 65535):
            raise BadInput(path, value, whole)
        return value
    found = _PORT_RANGE.match(value) if isinstance(value, str) else None
    if found:
        first, last = int(found[1]), int(found[2])
        if not (_is_whole(first, 1, 65535) and _is_whole(last, 1, 65535)):
            raise BadInput(path, value, whole)
        if first > last:
            raise BadInput(path, value, f"the range is reversed: write {last}:{first}")
        return first if first == last else f"{first}:{last}"
    if isinstance(value, str) and is_port_name(value):
        return value
    name = isinstance(value, str) and not value[:1].isdigit()
    raise BadInput(path, value, f"{PORT_NAME_REMEDY}; Felix drops the policy" if name else whole)


def _read_service(reader: _DefinitionReader) -> Optional[Service]:
    inner = reader.mapping("services")
    if inner is None:
        return None
    found = Service(inner.text("name"), inner.text("namespace"))
    inner.finish()
    for key, value in (("name", found.name), ("namespace", found.namespace)):
        if not is_dns_name(value):
            raise BadInput(inner.at(key), value, f"must be the service's {key}")
    return found


def _read_service_accounts(reader: _DefinitionReader) -> Optional[ServiceAccounts]:
    inner = reader.mapping("serviceAccounts")
    if inner is None:
        return None
    found = ServiceAccounts(tuple(inner.texts("names")), inner.selector("selector", _OF_SERVICE_ACCOUNTS))
    inner.finish()
    for index, name in enumerate(found.names):
        where = f"{inner.at('names')}[{index}]"
        if not is_dns_name(name):
            # With a quote in it Felix leaves the service accounts out: the rule would fit everybody.
            raise BadInput(where, name, "must be a service account's name")
        if name in found.names[:index]:
            raise BadInput(where, name, "is listed twice")
    return found


def _check_ports_fit(rule: RuleDefinition, path: str) -> None:
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        for key, ports in (("ports", entity.ports), ("notPorts", entity.not_ports)):
            unnamed = [p for p in ports if isinstance(p, int) or _PORT_RANGE.match(p)]
            if rule.protocol not in _WITH_PORTS and (unnamed or (ports and rule.protocol is not None)):
                raise BadInput(
                    f"{path}.{side}.{key}",
                    list(ports),
                    "the rule needs protocol TCP, UDP or SCTP; without, Felix drops the whole policy",
                )


def _check_icmp_fits(rule: RuleDefinition, path: str) -> None:
    for key, icmp in (("icmp", rule.icmp), ("notICMP", rule.not_icmp)):
        if icmp and rule.protocol not in ("ICMP", "ICMPv6"):
            raise BadInput(f"{path}.{key}", wire(icmp), "the rule needs protocol ICMP or ICMPv6")
    for key, protocol in (("protocol", rule.protocol), ("notProtocol", rule.not_protocol)):
        family = {"ICMP": 4, "ICMPv6": 6}.get(str(protocol))
        if family and rule.ip_version not in (None, family):
            raise BadInput(f"{path}.ipVersion", rule.ip_version, f"must be {family} with {key} {protocol}")


def _check_family(rule: RuleDefinition, path: str) -> None:
    seen: dict[int, str] = {rule.ip_version: "ipVersion"} if rule.ip_version else {}
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        for key, nets in (("nets", entity.nets), ("notNets", entity.not_nets)):
            for index, net in enumerate(nets):
                where = f"{side}.{key}[{index}]"
                seen.setdefault(6 if ":" in net else 4, where)
                if len(seen) > 1:
                    other = next(w for w in seen.values() if w != where)
                    raise BadInput(
                        f"{path}.{where}",
                        net,
                        f"is of another IP version than {other}: write one rule for each version",
                    )


def _check_services(rule: RuleDefinition, path: str, direction: str) -> None:
    wrong, right = ("destination", "source") if direction == INGRESS else ("source", "destination")
    if getattr(rule, wrong).services:
        raise BadInput(f"{path}.{wrong}.services", "…", f"belongs in {right} of an {direction.lower()} rule")
    entity: EntityDefinition = getattr(rule, right)
    if not entity.services:
        return
    beside = {
        "selector": entity.selector,
        "notSelector": entity.not_selector,
        "namespaceSelector": entity.namespace_selector,
        "serviceAccounts": entity.service_accounts,
        "nets": entity.nets,
        "notNets": entity.not_nets,
        **({"ports": entity.ports, "notPorts": entity.not_ports} if direction == EGRESS else {}),
    }
    for key, value in beside.items():
        if value:
            raise BadInput(f"{path}.{right}.{key}", wire(value), "cannot go with services: remove one")


def _refuse_twins(objects: Iterable[Union[PolicyDefinition, NetworkSetDefinition, TierDefinition]]) -> None:
    seen: dict[tuple[type, str], str] = {}
    for obj in objects:
        key = (type(obj), obj.metadata.name)
        if key in seen:
            raise BadInput("metadata.name", key[1], f"named twice; the other is in {seen[key]}", obj.source)
        seen[key] = obj.source


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_protocol_like(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_address(text: str) -> bool:
    try:
        return ip_address(text) is not None and "%" not in text
    except ValueError:
        return False


_READERS: dict[
    str,
    Callable[
        [Metadata, _DefinitionReader, str, str], Union[PolicyDefinition, NetworkSetDefinition, TierDefinition]
    ],
] = {
    POLICY: _read_policy,
    STAGED_POLICY: _read_staged_policy,
    NETWORK_SET: _read_network_set,
    TIER: _read_tier,
}
