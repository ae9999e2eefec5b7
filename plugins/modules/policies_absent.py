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
  idempotent:
    support: full
options:
  settle:
    description: Seconds to pause between writes of different kinds, which Felix watches separately.
    type: float
    default: 1
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
    done:
      description: Whether it was written; in check mode always V(false).
      type: bool
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
    - Vital flows that are denied afterwards, each with O(accept_denied)'s name of its kind and the verdict.
  returned: always
  type: list
  elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import planner
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.definition import (
    NETWORK_SET,
    TIER,
)
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

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    served = flavour.detect(cluster)
    flavour.refuse_during_migration(cluster)
    if served.kind is flavour.FlavourKind.NONE:
        return {"changed": False, "writes": [], "tiers_kept": []}
    inventory = policies.read(cluster, served)
    planned = leftovers.plan_policy_removal(inventory)
    leaving = {w.name for w in planned.writes if w.kind == TIER and w.action == "delete"}
    in_use = frozenset(t for t in leaving if policies.namespaced_policies(cluster, served, t))
    if in_use:
        planned = leftovers.plan_policy_removal(inventory, in_use)
    ahead = reach.Outlook()
    if planner.changes_enforcement(inventory, planned):
        around = HostView(cluster, served).around()
        now, then = ([*planner.objects_after(inventory, p), *around] for p in (planner.WritePlan(), planned))
        ahead = reach.assess(cluster, served, module.params, "the removal of all sets", now, then)
        ahead.warn(module)
    done, problem = 0, None
    if planned.writes and not module.check_mode:
        with lease.held(cluster) as ours:
            record = inventory.find(NETWORK_SET, transaction.RECORD)
            transaction.refuse_pending(record.stored if record else None)
            done, problem = policies.carry_out(cluster, served, planned, module.params["settle"], ours.renew)
    result = {
        "changed": bool(planned.writes) if problem is None else done > 0,
        "writes": [
            {"action": write.action, "kind": write.kind, "name": write.name, "done": index < done}
            for index, write in enumerate(planned.writes)
        ],
        "tiers_kept": sorted(in_use),
        **ahead.found(),
    }
    if problem is not None:
        raise Unfinished(
            f"{done} of {len(planned.writes)} writes were done, then: {problem}; run again", result
        )
    return result


def main() -> None:
    options = {**reach.OPTIONS, "settle": {"type": "float", "default": 1}}
    run(options, work)


if __name__ == "__main__":
    main()
