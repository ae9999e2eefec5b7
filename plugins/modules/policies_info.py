#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policies_info
short_description: Tell which policy sets a cluster has, and who else decides about its hosts
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Lists the sets that M(hostfence.calico.policies) made, the tiers they use, and the global policies of
    others that select a HostEndpoint.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
options: {}
seealso:
  - module: hostfence.calico.policies
"""

EXAMPLES = r"""
- name: See what is enforced
  hostfence.calico.policies_info:
  register: found

- name: Nothing may be left half done
  ansible.builtin.assert:
    that: found.sets | map(attribute='bridges') | flatten | length == 0
"""

RETURN = r"""
sets:
  description: The sets, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the set.
      type: str
    state:
      description:
        - V(staged), V(audited), V(enforced), V(mixed) where a run was interrupted, or V(not stored) where the
          set has no policy in the cluster (staged before Calico 3.30).
      type: str
    objects:
      description: Its objects, each with C(kind) and C(name) as stored.
      type: list
      elements: dict
    definitions:
      description: What M(hostfence.calico.policies) takes as C(definitions) to make the set as it is.
      type: list
      elements: dict
    tiers:
      description: >-
        Tiers it uses, each with C(name) and what the set wants at its end, C(wants) - V(Pass), V(Deny), or
        V(DenyOnceEnforced), which counts as V(Pass) until the set is enforced.
      type: list
      elements: dict
    left_out:
      description: What of an audited set the kernel does not count, and why.
      type: list
      elements: str
    unproved:
      description: >-
        Since when, and by whom, it is enforced without a proof by new logins to the nodes, in words; empty
        where it is proved or not enforced. The playbooks C(policies) and C(site) prove it.
      type: str
    bridges:
      description: Policies that an interrupted run left, which allow all that they select. Run again.
      type: list
      elements: str
tiers:
  description: All tiers with C(name), C(order), C(default_action) and whether they are C(ours).
  returned: always
  type: list
  elements: dict
foreign:
  description: Enforced global policies of others that select at least one HostEndpoint.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name as stored.
      type: str
    tier:
      description: Its tier.
      type: str
    order:
      description: Its place in the tier, or none for the last.
      type: float
    host_endpoints:
      description: How many HostEndpoints it selects.
      type: int
pending:
  description:
    - What enforcing the staged policies of the sets changes, object by object and rule by rule. Empty where
      what is enforced is the same.
    - What a set wants at the end of a tier is only stored once it is enforced, so it is not among this.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: V(added), V(removed) or V(changed).
      type: str
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Its name, as Calico knows it.
      type: str
    namespace:
      description: Its namespace, empty where it has none.
      type: str
    fields:
      description: Fields that differ, each with C(field), and C(before) and C(after) as JSON.
      type: list
      elements: dict
    rules:
      description:
        - Rules that are V(added), V(removed) or V(moved), each with C(action), C(direction), its index
          C(before) and C(after), and the C(rule) as JSON.
      type: list
      elements: dict
transaction:
  description:
    - The transaction of M(hostfence.calico.enforce) that is under way, or the last one. Empty if there is
      none.
  returned: always
  type: dict
  contains:
    phase:
      description: V(preparing), V(running), V(settling), V(undoing) or V(settled).
      type: str
    who:
      description: Who began it.
      type: str
    since:
      description: When it began, in UTC.
      type: str
    finished:
      description: When it was settled, or empty.
      type: str
    sets:
      description: Names of its sets.
      type: list
      elements: str
    waves:
      description: Each wave with C(name), C(nodes), C(phase), C(deadline), and C(by), C(at), C(reason) of its
        last write.
      type: list
      elements: dict
    changes:
      description: What it changes of policy, in the form of RV(pending).
      type: list
      elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import overview
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (
    enforcement,
    flavour,
    lease,
    policies,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(_module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    served = flavour.detect(cluster)
    if served.kind is flavour.FlavourKind.NONE:
        nothing: dict[str, Any] = {name: [] for name in ("sets", "tiers", "foreign", "pending")}
        return {"changed": False, **nothing, "transaction": {}}
    inventory = policies.read(cluster, served)
    host_endpoints = flavour.list_stored(cluster, served, "HostEndpoint")
    enforced = any(o.enforces and o.ours for o in inventory.objects)
    unproved = lease.unproved(cluster) if enforced else {}
    native = served.kind is flavour.FlavourKind.V3_NATIVE
    return {
        "changed": False,
        "sets": overview.sets(inventory, unproved),
        "tiers": overview.tiers(inventory),
        "foreign": overview.foreign(inventory, host_endpoints),
        "pending": overview.pending(inventory, native=native),
        "transaction": enforcement.description(cluster, served),
    }


def main() -> None:
    run({}, work)


if __name__ == "__main__":
    main()
