# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading and writing the policy of a cluster."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ..calico.policy.names import STAGED_POLICY, TIER
from ..calico.policy.planner import KINDS, Inventory, WritePlan, inventory_of, written_by_us
from ..calico.policy.write import PolicyWrite
from .client import ApiError, Cluster, ClusterError, Object
from .flavour import Flavour, calico_version, list_stored
from .patience import Patience, is_passing


def read(cluster: Cluster, flavour: Flavour) -> Inventory:
    """All policy of the cluster: one list a kind."""
    return inventory_of(
        {kind: list_stored(cluster, flavour, kind) for kind in KINDS},
        frozenset(k for k in KINDS if flavour.serves(k)),
        flavour.api_version,
        raw_v1=flavour.raw_v1,
        calico_version=calico_version(cluster, flavour) if flavour.raw_v1 else "",
    )


# Seconds for which a run that takes back what is enforced asks again while the API server does not answer.
AT_LEAST = 30.0


@dataclass
class Carried:
    """How far the writes of a plan came.

    :ivar tried: how many of them, from the first
    :ivar refused: of those the deletes that the API refused, with its words; what they were to delete decides
        nothing any more
    :ivar problem: why the next one was not done
    """

    tried: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    problem: Optional[ClusterError] = None

    @property
    def changed(self) -> bool:
        return self.tried > len(self.refused)

    def told(self, planned: WritePlan) -> list[dict[str, Any]]:
        """The writes in their order, as modules return them."""
        return [
            {
                "action": write.action,
                "kind": write.kind,
                "name": write.name,
                "interim": write.interim,
                "done": index < self.tried and index not in self.refused,
            }
            for index, write in enumerate(planned.writes)
        ]

    def left(self, planned: WritePlan, flavour: Flavour) -> list[str]:
        """What stands because it could not be deleted: which, why, and the command by hand."""
        writes = ((planned.writes[index], why) for index, why in self.refused.items())
        return [
            f"{write.kind} {write.name} stands, and decides nothing: the API refuses to delete it "
            f"({why}); once it does not, run this again, or: kubectl delete {flavour.resource(write.kind)} "
            f"{write.name}"
            for write, why in writes
        ]


def carry_out(
    cluster: Cluster,
    flavour: Flavour,
    planned: WritePlan,
    settle: float,
    renew: Callable[[], None],
    patience: Patience,
) -> Carried:
    """Write, strictly in order, and stop at the first write that cannot be done.

    A delete that the API refuses stops nothing: what it is to delete was made to decide nothing before.

    Each object is only written in the version that the plan was made from: one that someone else wrote
    meanwhile is a conflict (:func:`is_conflict`), and then the plan is to be made again.

    :param settle: seconds to pause between writes of different kinds, which Felix watches separately
    :param renew: called before each write, to go on holding the Lease
    :param patience: with an API server that does not answer
    """
    written: dict[tuple[str, str], Object] = {}
    carried = Carried()
    for index, write in enumerate(planned.writes):
        kinds = {write.kind, planned.writes[max(index - 1, 0)].kind}
        if len(kinds) > 1 and STAGED_POLICY not in kinds:
            time.sleep(settle)
        try:
            patience.persist(lambda: _renewed(cluster, flavour, write, written, renew))  # noqa: B023
        except ClusterError as error:
            if not isinstance(error, ApiError) or not _is_refused_delete(write, error):
                carried.problem = error
                return carried
            carried.refused[index] = error.message
        carried.tried = index + 1
    return carried


def _renewed(
    cluster: Cluster,
    flavour: Flavour,
    write: PolicyWrite,
    written: dict[tuple[str, str], Object],
    renew: Callable[[], None],
) -> None:
    renew()
    _carry_out(cluster, flavour, write, written)


def _is_refused_delete(write: PolicyWrite, error: ApiError) -> bool:
    return write.action == "delete" and not (error.conflict or is_passing(error))


def is_conflict(problem: Optional[ClusterError]) -> bool:
    """Whether someone else wrote an object after the plan was made."""
    return isinstance(problem, ApiError) and problem.conflict


def namespaced_policies(cluster: Cluster, flavour: Flavour, tier: str) -> bool:
    """Whether namespaced policies stand in a tier, or that is unknown."""
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
    cluster: Cluster, flavour: Flavour, write: PolicyWrite, written: dict[tuple[str, str], Object]
) -> None:
    """:param written: what earlier writes of the same plan stored; the new one is added"""
    path, key = flavour.path(write.kind, write.name), (write.kind, write.name)
    live = written.get(key) or write.live
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
