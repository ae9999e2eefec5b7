# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Hostfence made in a cluster, found by label, and all policy sets taken away as if they were one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..calico import tier_wishes
from ..calico.host_endpoint import OWNER, OWNER_LABEL, effective_labels
from ..calico.host_endpoint_auto import KIND as CONTROLLERS_KIND
from ..calico.host_endpoint_auto import NAME as CONTROLLERS_NAME
from ..calico.host_endpoint_auto import is_enabled_by_us
from ..calico.policy import planner
from ..calico.policy.names import DENY, PASS, POLICY, STAGED_POLICY, TIER
from . import policies
from .client import CONCURRENCY, ApiError, Cluster, Object
from .flavour import V1_GROUP, V3_GROUP, Flavour, list_stored
from .namespaces import inhabitants
from .owned_kinds import COLLECTIONS, is_owned

ALL_SETS = "all-sets"

_CALICO_KINDS = (
    "GlobalNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "GlobalNetworkSet",
    "Tier",
    "HostEndpoint",
)
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Leftover:
    """An object that Hostfence made.

    :ivar kept_by: what someone else has in it, so that it stays; empty for most
    """

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    kept_by: Sequence[str] = ()


def find(cluster: Cluster, flavour: Flavour) -> list[Leftover]:
    """All that Hostfence made but CustomResourceDefinitions: policy, then HostEndpoints, then access."""
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        calico = [pool.submit(_calico, cluster, flavour, kind) for kind in _CALICO_KINDS]
        auto = pool.submit(_auto, cluster, flavour)
        access = [pool.submit(_access, cluster, kind) for kind in COLLECTIONS]
    return [found for part in (*calico, auto, *access) for found in part.result()]


def definitions(cluster: Cluster) -> list[Leftover]:
    """Definitions that the role crds made, and what is stored under each."""
    found = cluster.list(_DEFINITIONS, labelSelector=f"{OWNER_LABEL}={OWNER}")
    ours = [d for d in found if d["spec"]["group"] in (V1_GROUP, V3_GROUP) and not _is_going(d)]
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        kept_by = list(pool.map(lambda definition: _stored(cluster, definition), ours))
    return [
        Leftover("apiextensions.k8s.io/v1", "CustomResourceDefinition", d["metadata"]["name"], "", names)
        for d, names in zip(ours, kept_by)
    ]


def plan_policy_removal(
    inventory: planner.Inventory, tiers_in_use: frozenset[str] = frozenset()
) -> planner.WritePlan:
    """The writes that take all sets away, no instant stricter than now.

    One set after the other would not do: when the allows of one are gone, the denies of the next still
    stand. So they are planned as one set.

    :param tiers_in_use: tiers to keep, because others' policies are in them
    """
    merged = replace(inventory, objects=tuple(_as_one_set(o) for o in inventory.objects))
    wanted = planner.PolicySet(name=ALL_SETS, state=planner.ABSENT)
    return planner.plan(merged, wanted, tiers_in_use)


def _as_one_set(live: planner.Live) -> planner.Live:
    if not live.ours:
        return live
    if live.kind != TIER:
        return replace(live, set_name=ALL_SETS)
    wish = DENY if DENY in tier_wishes.wishes(live.stored).values() else PASS
    others = {
        key: text
        for key, text in (live.stored["metadata"].get("annotations") or {}).items()
        if not key.startswith(tier_wishes.PREFIX)
    }
    annotations = {**others, tier_wishes.PREFIX + ALL_SETS: wish}
    metadata = {**live.stored["metadata"], "annotations": annotations}
    return replace(live, stored={**live.stored, "metadata": metadata})


def _calico(cluster: Cluster, flavour: Flavour, kind: str) -> list[Leftover]:
    ours = [o for o in list_stored(cluster, flavour, kind) if _is_ours(o) and not _is_going(o)]
    names = [str(o["metadata"]["name"]) for o in ours]
    if kind != TIER:
        return [Leftover(flavour.api_version, kind, name) for name in names]
    foreign = _foreign_policies(cluster, flavour) if ours else {}
    return [Leftover(flavour.api_version, kind, n, "", _in_tier(cluster, flavour, n, foreign)) for n in names]


def _foreign_policies(cluster: Cluster, flavour: Flavour) -> dict[str, list[str]]:
    """Names of global policies that Hostfence does not manage, by tier."""
    found: dict[str, list[str]] = {}
    for kind in (POLICY, STAGED_POLICY):
        for obj in list_stored(cluster, flavour, kind):
            if not _is_ours(obj):
                tier = str((obj.get("spec") or {}).get("tier"))
                found.setdefault(tier, []).append(str(obj["metadata"]["name"]))
    return found


def _in_tier(cluster: Cluster, flavour: Flavour, tier: str, foreign: dict[str, list[str]]) -> list[str]:
    namespaced = ["namespaced policies"] if policies.namespaced_policies(cluster, flavour, tier) else []
    return foreign.get(tier, []) + namespaced


def _is_ours(obj: Object) -> bool:
    return effective_labels(obj).get(OWNER_LABEL) == OWNER


def _auto(cluster: Cluster, flavour: Flavour) -> list[Leftover]:
    if not flavour.serves(CONTROLLERS_KIND):
        return []
    configuration = cluster.find(flavour.path(CONTROLLERS_KIND, CONTROLLERS_NAME))
    if not is_enabled_by_us(configuration):
        return []
    return [Leftover(flavour.api_version, CONTROLLERS_KIND, CONTROLLERS_NAME)]


def _access(cluster: Cluster, kind: str) -> list[Leftover]:
    try:
        found = list(cluster.list(COLLECTIONS[kind], labelSelector=f"{OWNER_LABEL}={OWNER}"))
    except ApiError as error:
        # Before Kubernetes 1.30 there are no admission policies.
        if error.not_found:
            return []
        raise
    return [_leftover(cluster, kind, obj) for obj in found if not _is_going(obj)]


def _leftover(cluster: Cluster, kind: str, obj: Object) -> Leftover:
    name = str(obj["metadata"]["name"])
    kept_by = inhabitants(cluster, name, is_owned) if kind == "Namespace" else ()
    namespace = str(obj["metadata"].get("namespace", ""))
    return Leftover(_api_version(kind), kind, name, namespace, kept_by)


def _api_version(kind: str) -> str:
    """For example ``v1`` from ``/api/v1/namespaces``, ``apps/v1`` from ``/apis/apps/v1/daemonsets``."""
    return COLLECTIONS[kind].rpartition("/")[0].partition("/api")[2].removeprefix("s").removeprefix("/")


def _stored(cluster: Cluster, definition: Object) -> list[str]:
    spec = definition["spec"]
    version = next(v["name"] for v in spec["versions"] if v["storage"])
    try:
        found = cluster.list(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
        return [str(obj["metadata"]["name"]) for obj in found]
    except ApiError as error:
        if not error.not_found:
            raise
        # Not to be seen is not the same as empty, and removing a definition removes what it holds.
        return ["what the API does not serve at the moment"]


def _is_going(obj: Optional[Any]) -> bool:
    return bool(obj and obj["metadata"].get("deletionTimestamp"))
