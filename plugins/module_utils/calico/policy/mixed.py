# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A folder as its users have it: what a set can hold, taken out of everything else that lies there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..bad_input import BadInput
from ..mapping import mapping_of
from ..metadata_annotation import METADATA_ANNOTATION
from ..stored.items import items_of
from ..stored.known_fields import OTHER_KINDS, SPEC_FIELDS
from .names import API_VERSION, DEFAULT_TIER, EGRESS, INGRESS, NETWORK_SET, POLICY, STAGED_POLICY, TIER
from .reader import Document

CALICO_GROUPS = ("projectcalico.org", "crd.projectcalico.org")
STORED_VERSION = "crd.projectcalico.org/v1"
HOST_ENDPOINT = "HostEndpoint"
_OF_A_SET = (POLICY, STAGED_POLICY, NETWORK_SET, TIER)
# A kind of one of Calico's groups that is not among them is misspelt.
_OTHER_KINDS = (OTHER_KINDS | SPEC_FIELDS.keys()) - set(_OF_A_SET)
# What the API server or a client notes in what it gives out.
_NOTED = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_NOTED_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration", METADATA_ANNOTATION)
# Of one interface: '*' is all of them.
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}\Z")

Object = dict[str, Any]


@dataclass(frozen=True)
class Mixed:
    """What was found in a folder.

    :ivar documents: those of a set, in the form that sets have
    :ivar remarks: one line for each kind that was left alone, and for each object that was rewritten
    :ivar host_endpoints: HostEndpoints that lie with the policies
    """

    documents: Sequence[Document] = ()
    remarks: Sequence[str] = ()
    host_endpoints: Sequence[Object] = ()


def sort_out(documents: Iterable[Document], *, strict: bool) -> Mixed:
    """Take what a set can hold; leave alone, and name, what belongs to others.

    Nothing that could be meant as policy of a set is left out: an unknown kind of Calico's group, and what is
    no object at all, stay in and are refused by who reads the set.

    :param strict: refuse what a set cannot hold
    :raises BadInput: such a kind, if it is strict
    """
    kept: list[Document] = []
    left: dict[str, list[str]] = {}
    remarks: list[str] = []
    host_endpoints: list[Object] = []
    for document in _unpacked(documents):
        kind = _left_alone(document.value)
        if kind and strict:
            raise BadInput(
                "kind",
                kind,
                "a set cannot hold it, and policies_strict refuses what else lies there",
                document.place,
            )
        if kind:
            left.setdefault(kind, []).append(_name(document.value))
            if kind == HOST_ENDPOINT:
                host_endpoints.append(dict(document.value))  # type: ignore[call-overload]
            continue
        rewritten, remark = _rewritten(document)
        kept.append(rewritten)
        remarks += [remark] if remark else []
    alone = [
        f"left alone: {len(names)} {kind} ({_some(names)}){_why(kind)}"
        for kind, names in sorted(left.items())
    ]
    return Mixed(kept, [*alone, *remarks], host_endpoints)


def templates_like(host_endpoints: Iterable[Object]) -> list[Object]:
    """Entries of ``host_endpoints_templates`` that make HostEndpoints like these, one for an interface.

    Of labels those that all of its HostEndpoints have. What selects by an address alone has no template: the
    network that it is meant for nobody can tell.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for hep in host_endpoints:
        metadata, spec = mapping_of(hep.get("metadata")), mapping_of(hep.get("spec"))
        interface = spec.get("interfaceName")
        if isinstance(interface, str) and _INTERFACE.match(interface):
            found.setdefault(interface, []).append(mapping_of(metadata.get("labels")))
    return [_template(interface, labels) for interface, labels in found.items()]


def _template(interface: str, labels: Sequence[Mapping[str, Any]]) -> Object:
    pattern = interface.replace(".", r"\.")
    entry: Object = {"generate_name": interface.lower(), "interface_pattern": f"^{pattern}$"}
    shared = {
        key: value for key, value in labels[0].items() if all(other.get(key) == value for other in labels)
    }
    return {**entry, "labels": shared} if shared else entry


def _unpacked(documents: Iterable[Document]) -> Iterable[Document]:
    """The documents, with the items of lists: those that kubectl prints, and those that calicoctl takes."""
    for document in documents:
        value = document.value
        items = items_of(value)
        if items is not None:
            yield from _items(document, items, "items")
            continue
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            yield from _items(document, value, "")
            continue
        yield document


def _items(document: Document, items: Sequence[object], field: str) -> Iterable[Document]:
    place = f"{document.place}, {field}" if field else document.place
    return _unpacked(Document(item, f"{place}[{number}]") for number, item in enumerate(items))


def _left_alone(value: object) -> str:
    """The kind, if it is another's than a set's; empty where the set's reader is to judge."""
    if not isinstance(value, Mapping):
        return ""
    kind, version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version, str) or not kind or not version:
        return ""
    if version.partition("/")[0] in CALICO_GROUPS:
        return kind if kind in _OTHER_KINDS else ""
    # Under another group a set's kind is a slip of the pen, and no kind of someone else's.
    return "" if kind in _OF_A_SET else kind


def _rewritten(document: Document) -> tuple[Document, str]:
    """An object of v1 storage as a user would write it, and what was done to it."""
    value = document.value
    if not isinstance(value, Mapping) or value.get("apiVersion") != STORED_VERSION:
        return document, ""
    kind = value.get("kind")
    metadata, done = _plain_metadata(mapping_of(value.get("metadata")))
    spec = dict(mapping_of(value.get("spec")))
    if kind in (POLICY, STAGED_POLICY):
        name = metadata.get("name")
        if isinstance(name, str) and name.startswith(f"{DEFAULT_TIER}.") and not spec.get("tier"):
            metadata["name"] = name[len(DEFAULT_TIER) + 1 :]
            done.append(f"name {metadata['name']}")
        if not spec.get("types"):
            # Nobody fills it in there, and Felix reads none as both.
            spec["types"] = [INGRESS, EGRESS]
            done.append("types Ingress and Egress, as Felix reads none there")
        if not spec.get("tier"):
            done.append("no tier, so it goes into that of the set")
        if spec.get("order") is None:
            done.append("no order, so it comes last")
    rewritten = {key: item for key, item in value.items() if key != "status"}
    rewritten.update(apiVersion=API_VERSION, metadata=metadata)
    if "spec" in value:
        rewritten["spec"] = spec
    details = f": {'; '.join(done)}" if done else ""
    return (
        replace(document, value=rewritten),
        f"{document.place}, {kind} {_name(value)}: {STORED_VERSION} read as {API_VERSION}{details}",
    )


def _plain_metadata(metadata: Mapping[str, Any]) -> tuple[Object, list[str]]:
    annotations = mapping_of(metadata.get("annotations"))
    noted = [key for key in _NOTED if key in metadata]
    noted += [key for key in _NOTED_ANNOTATIONS if key in annotations]
    plain = {key: value for key, value in metadata.items() if key not in _NOTED}
    if annotations:
        plain["annotations"] = {k: v for k, v in annotations.items() if k not in _NOTED_ANNOTATIONS}
    return plain, [f"without {', '.join(noted)}"] if noted else []


def _why(kind: str) -> str:
    if kind == HOST_ENDPOINT:
        return ": the role host_endpoints makes them (host_endpoints_interface, host_endpoints_templates)"
    if kind == "FelixConfiguration":
        return ": the role felix writes it"
    if kind in ("NetworkPolicy", "NetworkSet", "StagedNetworkPolicy", "StagedKubernetesNetworkPolicy"):
        return ": of a namespace, it selects no host"
    return ": a set cannot hold it"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _name(value: object) -> str:
    return str(mapping_of(mapping_of(value).get("metadata")).get("name", "without a name"))
