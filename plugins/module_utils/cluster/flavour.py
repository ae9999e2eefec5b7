# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of Calico's API groups a cluster stores host protection in.

Calico's own rule is ``v3 present and not v1 present`` (libcalico-go/lib/backend/k8s/discovery.go); an
aggregated calico-apiserver serves v3 over v1 storage, and then v3 is the one to write to, because it
defaults and validates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

from ..calico.version import noted_version
from .client import Cluster, ClusterError, Object

V1_GROUP, V1_VERSION = "crd.projectcalico.org", "v1"
V3_GROUP, V3_VERSION = "projectcalico.org", "v3"

PLURALS = {
    "HostEndpoint": "hostendpoints",
    "GlobalNetworkPolicy": "globalnetworkpolicies",
    "StagedGlobalNetworkPolicy": "stagedglobalnetworkpolicies",
    "GlobalNetworkSet": "globalnetworksets",
    "Tier": "tiers",
    "FelixConfiguration": "felixconfigurations",
    "KubeControllersConfiguration": "kubecontrollersconfigurations",
    "ClusterInformation": "clusterinformations",
}

# An API server (1.36) has the first page in its memory, but those that follow, once nothing of the kind was
# written for some minutes, it reads from etcd and decodes again: 5,000 HostEndpoints in three times the time.
# They are small enough to come at once.
_OBJECTS_A_PAGE = "10000"

MIGRATION_PATH = "/apis/migration.projectcalico.org/v1beta1/datastoremigrations"


class FlavourKind(str, Enum):
    """How Calico's resources are served."""

    NONE = "none"
    V1 = "v1"
    AGGREGATED = "aggregated"
    V3_NATIVE = "v3-native"


@dataclass(frozen=True)
class Flavour:
    """The API group to talk to, and the kinds it serves there.

    :ivar kinds: kinds of host protection that the API serves in this group
    :ivar all_kinds: all kinds that it serves there
    """

    kind: FlavourKind
    group: str
    version: str
    kinds: frozenset[str] = field(default_factory=frozenset)
    all_kinds: frozenset[str] = field(default_factory=frozenset)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    @property
    def raw_v1(self) -> bool:
        """Whether nothing stands between us and the storage form (no defaulting, no validation)."""
        return self.kind is FlavourKind.V1

    def serves(self, kind: str) -> bool:
        return kind in self.kinds

    def resource(self, kind: str) -> str:
        """A kind as kubectl takes it."""
        return f"{PLURALS[kind]}.{self.group}"

    def path(self, kind: str, name: Optional[str] = None) -> str:
        """URL path of a cluster-scoped kind's collection, or of one object in it."""
        base = f"/apis/{self.group}/{self.version}/{PLURALS[kind]}"
        return f"{base}/{name}" if name else base


def detect(cluster: Cluster) -> Flavour:
    """Look which group serves Calico's resources: at most four requests.

    :raises ClusterError: no answer from the API
    """
    v3 = _served_kinds(cluster, V3_GROUP, V3_VERSION)
    v1 = _served_kinds(cluster, V1_GROUP, V1_VERSION)
    ours_v3, ours_v1 = (found & PLURALS.keys() for found in (v3, v1))
    if ours_v3 and (not ours_v1 or _is_aggregated(cluster)):
        kind = FlavourKind.AGGREGATED if ours_v1 else FlavourKind.V3_NATIVE
        return Flavour(kind, V3_GROUP, V3_VERSION, ours_v3, v3)
    kind = FlavourKind.V1 if ours_v1 else FlavourKind.NONE
    return Flavour(kind, V1_GROUP, V1_VERSION, ours_v1, v1)


def require(cluster: Cluster) -> Flavour:
    """The flavour of a cluster that must have Calico's API.

    :raises ClusterError: Calico's API is absent, or its datastore is being migrated
    """
    flavour = detect(cluster)
    if flavour.kind is FlavourKind.NONE or not flavour.serves("HostEndpoint"):
        raise ClusterError(
            "this cluster does not serve Calico's HostEndpoint in a version that we know: install Calico, or "
            "let the role hostfence.calico.crds install what is missing; preflight says what is there"
        )
    refuse_during_migration(cluster)
    return flavour


def list_stored(cluster: Cluster, flavour: Flavour, kind: str) -> list[Object]:
    """All objects of a kind of Calico's; none where the API does not serve it."""
    if not flavour.serves(kind):
        return []
    return list(cluster.list(flavour.path(kind), limit=_OBJECTS_A_PAGE))


def calico_version(cluster: Cluster, flavour: Flavour) -> str:
    """The version that Calico noted; empty if none."""
    if not flavour.serves("ClusterInformation"):
        return ""
    return noted_version(cluster.find(flavour.path("ClusterInformation", "default")) or {})


def refuse_during_migration(cluster: Cluster) -> None:
    """Stop while Calico moves its data from v1 to v3 storage: what is written then may be lost.

    :raises ClusterError: a migration has begun and has not ended
    """
    refuse_migration(migration_phase(cluster))


def refuse_migration(running: str) -> None:
    """:raises ClusterError: a phase of a migration that has begun and has not ended"""
    if running:
        raise ClusterError(
            f"Calico's datastore migration is in phase {running}: wait until it is Complete, then run again"
        )


def migration_phase(cluster: Cluster) -> str:
    """Phase of a running DatastoreMigration, or empty."""
    migrations = cluster.list_if_readable(MIGRATION_PATH) or []
    phases = [str(m.get("status", {}).get("phase") or "Pending") for m in migrations]
    return next((p for p in phases if p not in ("Complete", "Completed")), "")


def _served_kinds(cluster: Cluster, group: str, version: str) -> frozenset[str]:
    document: dict[str, Any] = cluster.find(f"/apis/{group}/{version}") or {}
    return frozenset(str(resource["kind"]) for resource in document.get("resources") or [])


def _is_aggregated(cluster: Cluster) -> bool:
    """Whether v3 is served by calico-apiserver rather than by CRDs that were installed next to v1's."""
    service = cluster.find(f"/apis/apiregistration.k8s.io/v1/apiservices/{V3_VERSION}.{V3_GROUP}")
    return bool(service and service.get("spec", {}).get("service"))
