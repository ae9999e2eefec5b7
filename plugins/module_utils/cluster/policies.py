# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading and writing the policy of a cluster."""

from __future__ import annotations

import time
from typing import Callable, Optional

from ..calico.policy.definition import STAGED_POLICY, TIER
from ..calico.policy.planner import KINDS, Inventory, Write, WritePlan, inventory_of, written_by_us
from .client import ApiError, Cluster, ClusterError, Object
from .flavour import Flavour, calico_version, list_stored


def read(cluster: Cluster, flavour: Flavour) -> Inventory:
    """All policy of the cluster: one list a kind."""
    return inventory_of(
        {kind: list_stored(cluster, flavour, kind) for kind in KINDS},
        frozenset(k for k in KINDS if flavour.serves(k)),
        flavour.api_version,
        raw_v1=flavour.raw_v1,
        calico_version=calico_version(cluster, flavour) if flavour.raw_v1 else "",
    )


def carry_out(
    cluster: Cluster, flavour: Flavour, planned: WritePlan, settle: float, renew: Callable[[], None]
) -> tuple[int, Optional[ClusterError]]:
    """Write, strictly in order, and stop at the first write that cannot be done.

    Each object is only written in the version that the plan was made from: one that somebody else wrote
    meanwhile is a conflict (:func:`is_conflict`), and then the plan is to be made again.

    :param settle: seconds to wait where Felix must have seen one kind before the next: it watches each
        kind on its own, and sees them in no order
    :param renew: called before each write, to go on holding the Lease
    :returns: how many writes were done, and why the next was not
    """
    written: dict[tuple[str, str], Object] = {}
    for index, write in enumerate(planned.writes):
        kinds = {write.kind, planned.writes[max(index - 1, 0)].kind}
        if len(kinds) > 1 and STAGED_POLICY not in kinds:
            time.sleep(settle)
        try:
            renew()
            _carry_out(cluster, flavour, write, written)
        except ClusterError as error:
            return index, error
    return len(planned.writes), None


def is_conflict(problem: Optional[ClusterError]) -> bool:
    """Whether somebody else wrote an object after the plan was made."""
    return isinstance(problem, ApiError) and problem.conflict


def namespaced_policies(cluster: Cluster, flavour: Flavour, tier: str) -> bool:
    """Whether namespaced policies stand in a tier, or it cannot be told."""
    for plural in ("networkpolicies", "stagednetworkpolicies"):
        try:
            found = cluster.list(f"/apis/{flavour.group}/{flavour.version}/{plural}")
            if any((o.get("spec") or {}).get("tier") == tier for o in found):
                return True
        except ApiError as error:
            if not error.not_found:
                return True
    return False


def _carry_out(
    cluster: Cluster, flavour: Flavour, write: Write, written: dict[tuple[str, str], Object]
) -> None:
    """:param written: what earlier writes of the same plan stored; the new one is added"""
    path, key = flavour.path(write.kind, write.name), (write.kind, write.name)
    live = written.pop(key, None) or write.live
    if write.wanted is None:
        cluster.delete(path, live["metadata"]["uid"] if live else None, _version_to_delete(write.kind, live))
    elif live is None:
        written[key] = cluster.create(flavour.path(write.kind), write.wanted)
    else:
        written[key] = cluster.replace(path, _replacement(live, write.wanted))


def _version_to_delete(kind: str, live: Optional[Object]) -> str:
    """A tier goes only in the version in which nobody used it: a set that joins it writes to it first."""
    return str(live["metadata"]["resourceVersion"]) if live and kind == TIER else ""


def _replacement(live: Object, wanted: Object) -> Object:
    metadata = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
    for what in ("labels", "annotations"):
        stale = written_by_us(live, what)
        kept = {k: v for k, v in (metadata.get(what) or {}).items() if k not in stale}
        metadata[what] = {**kept, **(wanted["metadata"].get(what) or {})}
    return {**wanted, "metadata": metadata}
