# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds of host protection, and what is to be written so that the API serves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..version import parse_version
from .model import CREATE, Object, Write

VERSIONS = {"crd.projectcalico.org": "v1", "projectcalico.org": "v3"}


@dataclass(frozen=True)
class KnownKind:
    """:ivar since: the Calico version that began to know it"""

    kind: str
    plural: str
    since: tuple[int, int] = (3, 0)


KNOWN_KINDS = (
    KnownKind("HostEndpoint", "hostendpoints"),
    KnownKind("GlobalNetworkPolicy", "globalnetworkpolicies"),
    KnownKind("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", (3, 30)),
    KnownKind("Tier", "tiers", (3, 29)),
    KnownKind("GlobalNetworkSet", "globalnetworksets"),
    KnownKind("NetworkSet", "networksets"),
    KnownKind("FelixConfiguration", "felixconfigurations"),
    KnownKind("KubeControllersConfiguration", "kubecontrollersconfigurations"),
    KnownKind("ClusterInformation", "clusterinformations"),
)


def absent_kinds(served: frozenset[str], calico_version: str) -> list[KnownKind]:
    """Kinds that the API does not serve and this Calico knows; before Calico has run it may be any."""
    version = parse_version(calico_version) or (999, 0)
    return [known for known in KNOWN_KINDS if known.kind not in served and known.since <= version]


def definition_writes(absent: Sequence[KnownKind], group: str, existing: Sequence[Object]) -> list[Write]:
    """The definitions to create; those that exist are never changed."""
    there = {str(obj["metadata"]["name"]) for obj in existing}
    names = {known: f"{known.plural}.{group}" for known in absent}
    return [
        Write(CREATE, "CustomResourceDefinition", name, None, _outline(known, name, group))
        for known, name in names.items()
        if name not in there
    ]


def refused_definitions(absent: Sequence[KnownKind], group: str, existing: Sequence[Object]) -> list[str]:
    """Names of definitions that exist although the API does not serve the version that Hostfence knows."""
    names = {f"{known.plural}.{group}" for known in absent}
    return [
        str(obj["metadata"]["name"])
        for obj in existing
        if obj["metadata"]["name"] in names
        and VERSIONS[group] not in ((obj.get("status") or {}).get("storedVersions") or ())
    ]


def _outline(known: KnownKind, name: str, group: str) -> Object:
    """Without the schema, which is long and the same in every run."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {"group": group, "names": {"kind": known.kind, "plural": known.plural}},
    }
