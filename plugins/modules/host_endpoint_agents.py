#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_endpoint_agents
short_description: Pods that make HostEndpoints or observe flows, and their rights
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Puts the objects of the modes C(daemonset) and C(job) of the role C(hostfence.calico.host_endpoints), and
    of the agents that observe flows for the role C(hostfence.calico.audit), into a cluster, by server-side
    apply. A namespace that Hostfence did not make is used as it is.
  - Removes what these modes put into a cluster, found by label - rights first, then pods, then what
    restricted them. The HostEndpoints stay.
  - The roles C(hostfence.calico.host_endpoints) and C(hostfence.calico.audit) use it; for others it has no
    purpose.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  state:
    description: Whether the objects are to be there.
    type: str
    choices: [present, absent]
    default: present
  definitions:
    description: The objects that are to be there, in the order in which they are applied.
    type: list
    elements: dict
    default: []
  modes:
    description:
      - Whose objects to remove, with O(state=absent). With both V(daemonset) and V(job), and with V(audit),
        also their namespace, if nothing else is in it.
    type: list
    elements: str
    choices: [daemonset, job, audit]
    default: [daemonset, job]
  wait_timeout:
    description: Seconds to wait until pods have ended. They have no rights any more by then.
    type: int
    default: 60
seealso:
  - module: hostfence.calico.host_endpoint_agents_info
"""

EXAMPLES = r"""
- name: No agent is to write HostEndpoints any more
  hostfence.calico.host_endpoint_agents:
    state: absent
"""

RETURN = r"""
objects:
  description: What was changed or removed, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [ClusterRoleBinding hep-crb, DaemonSet hostfence-agents/hep-ds]
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import DAEMONSET
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import agent_objects
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MODES = [DAEMONSET, agent_objects.JOB, agent_objects.AUDIT]
OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "definitions": {"type": "list", "elements": "dict", "default": []},
    "modes": {"type": "list", "elements": "str", "choices": MODES, "default": MODES[:2]},
    "wait_timeout": {"type": "int", "default": 60},
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    titles, diff = _remove(module, cluster) if module.params["state"] == "absent" else _apply(module, cluster)
    result = {"changed": bool(titles), "objects": titles}
    return {**result, "diff": diff} if module._diff else result


def _apply(module: AnsibleModule, cluster: Cluster) -> tuple[list[str], list[dict[str, Any]]]:
    applied = agent_objects.apply(cluster, module.params["definitions"], module.check_mode)
    changed = [one for one in applied if one.changed]
    diff = [
        {
            "before_header": one.title,
            "after_header": one.title,
            "before": agent_objects.meaning(one.before) if one.before else {},
            "after": agent_objects.meaning(one.after),
        }
        for one in changed
    ]
    return [one.title for one in changed], diff


def _remove(module: AnsibleModule, cluster: Cluster) -> tuple[list[str], list[dict[str, Any]]]:
    modes, patience = module.params["modes"], module.params["wait_timeout"]
    parts = agent_objects.find(cluster, modes)
    namespaces = []
    if {DAEMONSET, agent_objects.JOB} <= set(modes):
        namespaces += agent_objects.find_namespaces(cluster)
    if agent_objects.AUDIT in modes:
        namespaces += agent_objects.find_namespaces(cluster, agent_objects.AUDIT_NAMESPACE_MODE)
    if not module.check_mode:
        agent_objects.remove(cluster, parts, patience)
        agent_objects.remove_namespaces(cluster, namespaces, patience)
    titles = [part.title for part in (*parts, *namespaces)]
    return titles, [{"before": f"{title}\n", "after": ""} for title in titles]


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
