#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policies_absent
short_description: Take all policy sets away at once
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Removes every policy, network set and tier that this collection made, whatever sets they belong to.
  - Writes are ordered over all sets together, denies before allows, so that no instant is stricter than the
    state before. Removing one set after the other cannot promise that.
  - Tiers that hold other people's policies stay, with C(defaultAction) Pass.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.reach
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    description: Returns the writes instead.
options:
  settle:
    description: Seconds to pause between writes of different kinds, which Felix watches separately.
    type: float
    default: 1
  patience:
    version_added: 0.3.0
    description: Seconds for which an API server that stops answering during the writes is asked again.
    type: float
    default: 30
seealso:
  - module: hostfence.calico.policies
"""

EXAMPLES = r"""
- name: Take all our policy away
  hostfence.calico.policies_absent:
"""

RETURN = r"""
writes:
  description: All writes in their order, done or, in check mode, to be done.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(update) or V(delete).
      type: str
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name as stored.
      type: str
    interim:
      description: Whether it belongs to the way only, as the update before a delete.
      type: bool
    done:
      description: Whether it was written; in check mode always V(false).
      type: bool
left:
  description: What stands, and decides nothing, because the API refused to delete it, with the command.
  returned: always
  type: list
  elements: str
tiers_kept:
  description: Hostfence tiers that stay because someone else's policies are in them.
  returned: always
  type: list
  elements: str
obstacles:
  description:
    - Connections of this machine that are not plainly allowed afterwards, each with the verdict as
      M(hostfence.calico.flow_verdict) returns it.
  returned: always
  type: list
  elements: dict
losses:
  description:
    - Vital flows that are denied afterwards, or may be (V(undetermined), which is a warning), each with
      O(accept_denied)'s name of its kind and the verdict.
  returned: always
  type: list
  elements: dict
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import planner
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.names import NETWORK_SET, TIER
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction import state as transaction
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (
    flavour,
    lease,
    leftovers,
    policies,
    reach,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import Unfinished, run
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.patience import Patience

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


# How often to plan again where someone else wrote meanwhile.
TRIES = 5


@dataclass(frozen=True)
class Removal:
    """What is to go; ``in_use`` are tiers that stay for the policies of others."""

    planned: planner.WritePlan
    in_use: frozenset[str]
    ahead: reach.Outlook


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    served = flavour.detect(cluster)
    flavour.refuse_during_migration(cluster)
    if served.kind is flavour.FlavourKind.NONE:
        return {"changed": False, "writes": [], "left": [], "tiers_kept": []}

    def look() -> Removal:
        return _removal(module, cluster, served)

    def writes(removal: Removal) -> bool:
        return bool(removal.planned.writes) and not module.check_mode

    patience, changed = Patience(module.params["patience"]), False
    for attempt in range(TRIES):
        with lease.planned(cluster, look, changes=writes) as (removal, ours):
            carried = policies.Carried()
            if ours:
                carried = policies.carry_out(
                    cluster, served, removal.planned, module.params["settle"], ours.renew, patience
                )
                if not carried.problem:
                    ours.needs_no_proof()
        changed = changed or carried.changed
        if not policies.is_conflict(carried.problem) or attempt == TRIES - 1:
            break
    removal.ahead.warn(module)
    result = _result(removal, carried, served)
    for remark in result["left"]:
        module.warn(remark)
    if carried.problem:
        raise Unfinished(
            f"{carried.tried} of {len(removal.planned.writes)} writes were done, then: {carried.problem}; "
            "run again",
            {**result, "changed": changed},
        )
    return {**result, "changed": bool(removal.planned.writes) if module.check_mode else changed}


def _removal(module: AnsibleModule, cluster: Cluster, served: flavour.Flavour) -> Removal:
    """:raises CutOff: what the removal would deny
    :raises BadInput: a transaction is under way
    """
    inventory = policies.read(cluster, served)
    planned = leftovers.plan_policy_removal(inventory)
    if planned.writes and not module.check_mode:
        record = inventory.find(NETWORK_SET, transaction.RECORD)
        transaction.refuse_pending(record.stored if record else None)
    leaving = {w.name for w in planned.writes if w.kind == TIER and w.action == "delete"}
    in_use = frozenset(t for t in leaving if policies.namespaced_policies(cluster, served, t))
    if in_use:
        planned = leftovers.plan_policy_removal(inventory, in_use)
    ahead = reach.Outlook()
    if planner.changes_enforcement(inventory, planned):
        view = HostView(cluster, served)
        around = view.around()
        now, then = ([*planner.objects_after(inventory, p), *around] for p in (planner.WritePlan(), planned))
        ahead = reach.assess(view, module.params, "the removal of all sets", now, then)
    return Removal(planned, in_use, ahead)


def _result(removal: Removal, carried: policies.Carried, served: flavour.Flavour) -> dict[str, Any]:
    return {
        "writes": carried.told(removal.planned),
        "left": carried.left(removal.planned, served),
        "tiers_kept": sorted(removal.in_use),
        **removal.ahead.found(),
    }


def main() -> None:
    options = {
        **reach.OPTIONS,
        "settle": {"type": "float", "default": 1},
        "patience": {"type": "float", "default": 30},
    }
    run(options, work)


if __name__ == "__main__":
    main()
