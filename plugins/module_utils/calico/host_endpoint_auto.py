# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Calico's own host endpoints are configured to be: the node controller of kube-controllers.

The rules are those of kube-controllers/pkg/controllers/node/hostendpoints.go and
kube-controllers/pkg/config/runconfig.go (v3.32.1). What that controller would misread is refused here: a
bad selector or a bad CIDR makes it skip all later templates, a pattern that does not compile ends it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Optional

from .address import parse_address, parse_net, written_net
from .bad_input import BadInput
from .host_endpoint import (
    ALL_INTERFACES,
    AUTO_SUFFIX,
    NAME_SUFFIX,
    OWNER,
    OWNER_LABEL,
    HostEndpointTemplate,
    auto_hep_name,
    desired,
    effective_labels,
    expected_ips,
    is_auto,
)
from .metadata_annotation import METADATA_ANNOTATION, kept_metadata
from .selector import parse

KIND = "KubeControllersConfiguration"
NAME = "default"
# Says that Hostfence switched them on, so that taking Hostfence away may switch them off again.
ENABLED_ANNOTATION = "hostfence.io/auto-host-endpoints"
ENABLED_BY_US = "enabled"
ENVIRONMENT_OVERRIDE = "AUTO_HOST_ENDPOINTS"
ENABLED_CONTROLLERS = "ENABLED_CONTROLLERS"

_MAX_NAME = 253
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NO_CIDR = "must be a network with its prefix length, for example 10.0.0.0/8 or fd00::/8"
_OS_LABEL = "kubernetes.io/os"
_INTERFACES_ANNOTATION = "projectcalico.org/Interfaces"

# What Go's RE2 and Python's re understand alike, and more than interface names need.
_PATTERN_PART = re.compile(
    r"""(?P<quantified>(?:[A-Za-z0-9_@:-]|\.|\\[dDwW.+*?()|\[\]{}^$-]|\[\^?(?:[A-Za-z0-9_.@:-]|\\[dDwW.-])+\]|\)))
        (?:[*+?]\??|\{(?P<count>\d{1,3})(?:,(?P<most>\d{0,3}))?\}\??)?
      |\((?:\?:)?|[|^$]""",
    re.VERBOSE,
)
# RE2 refuses a pattern whose nested repetitions multiply to more.
_MOST_REPETITIONS = 1000

Object = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """One kind of HostEndpoint that kube-controllers makes in addition to, or instead of, the default one.

    :ivar generate_name: part of the names between the node's and ``auto-hep``
    :ivar interface_cidrs: the HostEndpoint matches interfaces by those node addresses that lie in these
    :ivar interface_pattern: one HostEndpoint for each interface whose name it is found in
    :ivar labels: put over the node's own labels
    :ivar node_selector: Calico selector on the node's labels
    """

    generate_name: str
    interface_cidrs: Sequence[str] = ()
    interface_pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    node_selector: str = "all()"

    def __post_init__(self) -> None:
        if len(self.generate_name) > _MAX_NAME or not _NAME.fullmatch(self.generate_name):
            raise BadInput(
                "generate_name",
                self.generate_name,
                "must be part of a resource's name: lower case letters, digits, '-' and '.'",
            )
        if not self.interface_cidrs and not self.interface_pattern:
            raise BadInput(
                "interface_cidrs", [], "a template needs interface_cidrs, interface_pattern, or both"
            )
        for index, cidr in enumerate(self.interface_cidrs):
            _check_cidr(f"interface_cidrs[{index}]", cidr, self.interface_cidrs[:index])
        if self.interface_pattern:
            _check_pattern(self.interface_pattern)
        check_labels("labels", self.labels)
        try:
            parse(self.node_selector)
        except BadInput as error:
            raise BadInput("node_selector", self.node_selector, error.remedy)

    @classmethod
    def of_spec(cls, spec: Object) -> Template:
        """A template as it is stored.

        :raises BadInput: kube-controllers would misread it
        """
        return cls(
            generate_name=spec.get("generateName") or "",
            interface_cidrs=tuple(spec.get("interfaceCIDRs") or ()),
            interface_pattern=spec.get("interfacePattern") or "",
            labels=dict(spec.get("labels") or {}),
            node_selector=spec.get("nodeSelector") or "all()",
        )

    def spec(self) -> Object:
        """As it is stored; what is empty is left out."""
        spec = {
            "generateName": self.generate_name,
            "interfaceCIDRs": list(self.interface_cidrs),
            "interfacePattern": self.interface_pattern,
            "labels": dict(self.labels),
            "nodeSelector": self.node_selector,
        }
        return {key: value for key, value in spec.items() if value}


@dataclass(frozen=True)
class Made:
    """A HostEndpoint that kube-controllers makes.

    :ivar interface: its ``interfaceName``; empty where it matches by address
    :ivar expected_ips: of a template's one; that on all interfaces has all of the node
    :ivar labels: of its template, put over the node's
    """

    interface: str
    expected_ips: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AutoHostEndpoints:
    """Which HostEndpoints kube-controllers makes.

    :ivar enabled: whether it makes any
    :ivar create_default: whether each node gets ``<node>-auto-hep`` on all its interfaces
    """

    enabled: bool = False
    create_default: bool = True
    templates: Sequence[Template] = ()

    def __post_init__(self) -> None:
        if self.enabled and not self.create_default and not self.templates:
            raise BadInput(
                "create_default", False, "without templates no node would have a HostEndpoint: name templates"
            )
        seen: set[str] = set()
        for index, template in enumerate(self.templates):
            if template.generate_name in seen:
                raise BadInput(
                    f"templates[{index}].generate_name", template.generate_name, "is used by two templates"
                )
            seen.add(template.generate_name)

    @classmethod
    def of_controllers(cls, controllers: Optional[Object]) -> AutoHostEndpoints:
        """What ``spec.controllers``, or that of ``status.runningConfig``, says.

        :raises BadInput: a stored template that kube-controllers would misread
        """
        stored = host_endpoint_config(controllers)
        templates = []
        for index, spec in enumerate(stored.get("templates") or []):
            try:
                templates.append(Template.of_spec(spec))
            except BadInput as error:
                raise error.within(f"templates[{index}]", f"{KIND} {NAME}")
        return cls(
            enabled=stored.get("autoCreate") == "Enabled",
            create_default=_creates_default(stored),
            templates=tuple(templates),
        )

    def difference(self, controllers: Optional[Object]) -> Object:
        """The fields of ``hostEndpoint`` to write so that the stored configuration says the same.

        What Calico assumes for an absent field is not written: older APIs do not know all of them. While
        they are disabled, nothing else is read, so nothing else is compared.
        """
        stored = host_endpoint_config(controllers)
        wanted: Object = {}
        if (stored.get("autoCreate") == "Enabled") != self.enabled:
            wanted["autoCreate"] = _mode(self.enabled)
        if not self.enabled:
            return wanted
        if _creates_default(stored) != self.create_default:
            wanted["createDefaultHostEndpoint"] = _mode(self.create_default)
        templates = [template.spec() for template in self.templates]
        if [_stored_template(t) for t in stored.get("templates") or []] != templates:
            wanted["templates"] = templates
        return wanted

    def made(self, node: Object) -> dict[str, Made]:
        """The HostEndpoints that kube-controllers makes for a node, by their names."""
        node_name = node["metadata"]["name"]
        made: dict[str, Made] = {}
        if self.create_default:
            made[_fitted(auto_hep_name(node_name))] = Made(ALL_INTERFACES)
        for template in self.templates:
            for middle, of_template in _of_template(template, node):
                made[_fitted(f"{node_name}-{middle}{AUTO_SUFFIX}")] = of_template
        return made


@dataclass(frozen=True)
class AutoCoverage:
    """How far kube-controllers has come.

    :ivar missing: HostEndpoints that are to come, each with its node
    :ivar unlabelled: HostEndpoints that do not carry the node's labels yet
    :ivar in_the_way: HostEndpoints of someone else under a name that kube-controllers needs
    :ivar covered: nodes that have all their HostEndpoints
    :ivar without: nodes for which nothing is to be made
    """

    missing: Mapping[str, str]
    unlabelled: Sequence[str]
    in_the_way: Sequence[str]
    covered: Sequence[str]
    without: Sequence[str]

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unlabelled or self.in_the_way)


def coverage(
    config: AutoHostEndpoints,
    nodes: Iterable[Object],
    heps: Iterable[Object],
    node_labels: Mapping[str, Mapping[str, str]],
) -> AutoCoverage:
    """Compare what kube-controllers is to make with what there is.

    :param node_labels: node name -> labels that its HostEndpoints must have taken over from it
    """
    stored = {h["metadata"]["name"]: h for h in heps}
    missing: dict[str, str] = {}
    unlabelled, in_the_way, covered, without = [], [], [], []
    for node in nodes:
        node_name = node["metadata"]["name"]
        made = config.made(node)
        if not made:
            without.append(node_name)
            continue
        lacking = {name for name in made if name not in stored}
        missing.update(dict.fromkeys(sorted(lacking), node_name))
        there = made.keys() - lacking
        foreign = {name for name in there if not is_auto(stored[name])}
        in_the_way += sorted(foreign)
        stale = {
            name
            for name in there - foreign
            if not _carries(stored[name], {**node_labels.get(node_name, {}), **made[name].labels})
        }
        unlabelled += sorted(stale)
        if not (lacking or foreign or stale):
            covered.append(node_name)
    return AutoCoverage(missing, unlabelled, in_the_way, covered, without)


def refuse_equal_names(config: AutoHostEndpoints, nodes: Iterable[Object]) -> None:
    """Stop where two nodes' HostEndpoints would have one name: kube-controllers would make just one.

    :raises BadInput: such a name
    """
    owners: dict[str, str] = {}
    for node in nodes:
        for name in config.made(node):
            other = owners.setdefault(name, node["metadata"]["name"])
            if other != node["metadata"]["name"]:
                raise BadInput(
                    "templates",
                    name,
                    f"would be the HostEndpoint of both {other} and {node['metadata']['name']}: "
                    "choose another generate_name",
                )


def desired_by_templates(
    node: Object,
    shape: HostEndpointTemplate,
    templates: Sequence[Template],
    api_version: str,
    *,
    create_default: bool = True,
) -> list[Object]:
    """The HostEndpoints that Hostfence should keep for a node: one for each of its networks, as Calico does.

    :param shape: that of the default one; all take its profiles, ports and labels, a template's over them
    :param create_default: whether there is a default one, on ``shape.interface``
    :raises BadInput: as :func:`desired`
    """
    default = desired(node, shape, api_version)
    found = [default] if create_default else []
    kept = {key: default["spec"][key] for key in ("node", "profiles", "ports") if key in default["spec"]}
    for template in templates:
        for middle, made in _of_template(template, node):
            spec: Object = dict(kept)
            if made.interface:
                spec["interfaceName"] = made.interface
            if made.expected_ips:
                spec["expectedIPs"] = list(made.expected_ips)
            name = _fitted(f"{node['metadata']['name']}-{middle}{NAME_SUFFIX}", NAME_SUFFIX)
            labels = {**default["metadata"]["labels"], **made.labels, OWNER_LABEL: OWNER}
            found.append({**default, "metadata": {"name": name, "labels": labels}, "spec": spec})
    return found


def refuse_names_of_two(heps: Iterable[Object]) -> None:
    """Stop where two HostEndpoints would have one name: a node's, or two nodes'.

    :raises BadInput: such a name
    """
    owners: dict[str, str] = {}
    for hep in heps:
        name, node = hep["metadata"]["name"], hep["spec"]["node"]
        if name in owners:
            raise BadInput(
                "templates",
                name,
                f"would be two HostEndpoints, of {owners[name]} and of {node}: choose another generate_name",
            )
        owners[name] = node


def left_uncovered(nodes: Iterable[Object], heps: Iterable[Object]) -> list[str]:
    """Nodes that have no HostEndpoint but those that Calico deletes when they are disabled.

    On Windows a HostEndpoint protects nothing, so none is missed there.
    """
    kept = {(h.get("spec") or {}).get("node") for h in heps if not is_auto(h)}
    linux = (n["metadata"] for n in nodes if (n["metadata"].get("labels") or {}).get(_OS_LABEL) != "windows")
    return sorted(metadata["name"] for metadata in linux if metadata["name"] not in kept)


def is_enabled(configuration: Optional[Object]) -> bool:
    """Whether automatic HostEndpoints are configured, whatever kube-controllers runs with.

    :param configuration: KubeControllersConfiguration ``default``, or None where there is none
    """
    spec = (configuration or {}).get("spec") or {}
    return bool(host_endpoint_config(spec.get("controllers")).get("autoCreate") == "Enabled")


def is_enabled_by_us(configuration: Optional[Object]) -> bool:
    """Whether Hostfence switched them on.

    Calico's clients move what others annotated into their own annotation when they write the object.
    """
    metadata = (configuration or {"metadata": {}})["metadata"]
    noted = {**(metadata.get("annotations") or {}), **kept_metadata(metadata).annotations}
    return bool(noted.get(ENABLED_ANNOTATION) == ENABLED_BY_US)


def note_of_ownership(configuration: Optional[Object], ours: bool) -> Object:
    """The annotations to write (None removes one) so that :func:`is_enabled_by_us` is as told."""
    if is_enabled_by_us(configuration) == ours:
        return {}
    if ours:
        return {ENABLED_ANNOTATION: ENABLED_BY_US}
    note: Object = {ENABLED_ANNOTATION: None}
    hidden = kept_metadata((configuration or {"metadata": {}})["metadata"])
    if ENABLED_ANNOTATION in hidden.annotations:
        left = {k: v for k, v in hidden.annotations.items() if k != ENABLED_ANNOTATION}
        note[METADATA_ANNOTATION] = hidden.rewritten(annotations=left)
    return note


def templates_of(options: Iterable[Mapping[str, Any]]) -> list[Template]:
    """Templates as the user wrote them, by the names of :class:`Template`'s fields.

    :raises BadInput: naming ``templates[<index>].<field>``
    """
    templates = []
    for index, option in enumerate(options):
        try:
            template = Template(**option)
            cidrs = [
                written_net(cidr, f"interface_cidrs[{at}]", _NO_CIDR)
                for at, cidr in enumerate(template.interface_cidrs)
            ]
            templates.append(replace(template, interface_cidrs=tuple(cidrs)))
        except BadInput as error:
            raise error.within(f"templates[{index}]")
    return templates


def host_endpoint_config(controllers: Optional[Object]) -> Object:
    """``node.hostEndpoint`` of a ``controllers`` object, empty where it or anything above it is absent."""
    return dict(((controllers or {}).get("node") or {}).get("hostEndpoint") or {})


def check_labels(field_name: str, labels: Mapping[str, str]) -> None:
    """Refuse what Kubernetes does not take as labels, and the label that says what is ours.

    :raises BadInput: naming ``<field_name>.<key>``
    """
    try:
        HostEndpointTemplate(labels=labels)
    except BadInput as error:
        raise BadInput(field_name + error.field[len("labels") :], error.value, error.remedy)


def _mode(on: bool) -> str:
    return "Enabled" if on else "Disabled"


def _creates_default(stored: Object) -> bool:
    return (stored.get("createDefaultHostEndpoint") or "Enabled") == "Enabled"


def _stored_template(spec: Object) -> Object:
    """A stored template as :meth:`Template.spec` would write it."""
    filled = {key: value for key, value in spec.items() if value}
    return {**filled, "nodeSelector": filled.get("nodeSelector", "all()")}


def _of_template(template: Template, node: Object) -> list[tuple[str, Made]]:
    """The HostEndpoints of a template, each with what stands between the node's name and the suffix."""
    if not parse(template.node_selector).matches(node["metadata"].get("labels") or {}):
        return []
    interfaces = _interfaces(node)
    if template.interface_pattern:
        pattern = re.compile(template.interface_pattern, re.ASCII)
        return [
            (f"{template.generate_name}-{name}", Made(name, addresses, template.labels))
            for name, addresses in interfaces.items()
            if pattern.search(name)
        ]
    addresses = [
        *expected_ips(node, with_tunnels=True),
        *(a for found in interfaces.values() for a in found),
    ]
    networks = [net for net in map(parse_net, template.interface_cidrs) if net]
    inside = [
        text
        for text, address in ((text, parse_address(text)) for text in dict.fromkeys(addresses))
        if address and any(net.contains(address) for net in networks)
    ]
    return [(template.generate_name, Made("", inside, template.labels))] if inside else []


def _interfaces(node: Object) -> dict[str, list[str]]:
    """Interfaces that calico-node has reported (v3.31 and newer): name -> addresses."""
    text = (node["metadata"].get("annotations") or {}).get(_INTERFACES_ANNOTATION)
    try:
        reported = json.loads(text) if text else []
        return {str(i["name"]): [str(ip_address(a)) for a in i.get("addresses") or []] for i in reported}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _fitted(name: str, suffix: str = AUTO_SUFFIX) -> str:
    """A name that is too long is replaced by its hash, as generateAutoHostEndpointName does."""
    if len(name) <= _MAX_NAME:
        return name
    digest = base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode().rstrip("=")
    return re.sub(r"[-_.]", "", digest).lower() + suffix


def _carries(hep: Object, labels: Mapping[str, str]) -> bool:
    return labels.items() <= effective_labels(hep).items()


def _check_cidr(field_name: str, cidr: object, earlier: Sequence[str]) -> None:
    # Calico's validation takes a bare address too; its controller then makes no HostEndpoint at all.
    if not isinstance(cidr, str) or "/" not in cidr or parse_net(cidr) is None:
        raise BadInput(field_name, cidr, _NO_CIDR)
    if cidr in earlier:
        raise BadInput(field_name, cidr, "is named twice; the API takes each once")


def _check_pattern(pattern: str) -> None:
    remedy = (
        "must be a regular expression of letters, digits, '_', '-', '.', classes, groups, '|', '^', '$' and "
        "repetitions, as Go's RE2 reads it (no look-around, no back-references)"
    )
    position, repetitions = 0, 1
    while position < len(pattern):
        part = _PATTERN_PART.match(pattern, position)
        if not part:
            raise BadInput("interface_pattern", pattern, remedy)
        repetitions *= max(1, int(part["count"] or 1), int(part["most"] or 1))
        position = part.end()
    try:
        re.compile(pattern, re.ASCII)
    except (re.error, OverflowError, RecursionError):
        raise BadInput("interface_pattern", pattern, remedy)
    if repetitions > _MOST_REPETITIONS:
        raise BadInput("interface_pattern", pattern, f"repeats more than {_MOST_REPETITIONS} times in all")
