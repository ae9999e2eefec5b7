#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_endpoint_agents_info
short_description: Wait for the pods that make HostEndpoints
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Waits until the rollout of the agents' DaemonSet has made progress, or until the Job has ended.
  - Fails where neither happens in time, with what the pods themselves say - an image that cannot be pulled, a
    crash, a permission or an admission policy that stands in the way.
  - The role C(hostfence.calico.host_endpoints) uses it; for others it has no purpose.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
options:
  kind:
    description: What runs the pods.
    type: str
    required: true
    choices: [DaemonSet, Job]
  namespace:
    description: Its namespace.
    type: str
    required: true
  name:
    description: Its name.
    type: str
    required: true
  seen:
    description: How many nodes were ready when this was asked last. More than that is progress.
    type: int
    default: 0
  wait_timeout:
    description: Seconds without progress after which it gives up.
    type: int
    default: 300
seealso:
  - module: hostfence.calico.host_endpoint_agents
"""

EXAMPLES = r"""
- name: Wait until some more agents are ready
  hostfence.calico.host_endpoint_agents_info:
    kind: DaemonSet
    namespace: hostfence-agents
    name: hep-ds
  register: agents
"""

RETURN = r"""
ready:
  description: Nodes whose agent is ready; for a Job, pods that succeeded.
  returned: always
  type: int
total:
  description: Nodes that are to have an agent; for a Job, 1.
  returned: always
  type: int
finished:
  description: Whether there is nothing left to wait for.
  returned: always
  type: bool
summary:
  description: How far it is.
  returned: always
  type: str
  sample: 2 of 3 nodes
left_out:
  description: Nodes that are not Ready, and so are not waited for.
  returned: always
  type: list
  elements: str
waiting:
  description: Pods that are not where they should be.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Node; empty where the pod has none.
      type: str
    pod:
      description: Name of the pod.
      type: str
    reason:
      description: What the kubelet, the scheduler or the agent says.
      type: str
log:
  description: Lines that a Job that has ended wrote.
  returned: always
  type: list
  elements: str
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.cluster import agent_pods
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {
    "kind": {"type": "str", "required": True, "choices": [agent_pods.DAEMONSET_KIND, agent_pods.JOB_KIND]},
    "namespace": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "seen": {"type": "int", "default": 0},
    "wait_timeout": {"type": "int", "default": 300},
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    params = module.params
    workload = agent_pods.AgentWorkload(params["kind"], params["namespace"], params["name"])
    found = agent_pods.wait(cluster, workload, params["seen"], params["wait_timeout"])
    return {"changed": False, **asdict(found), "summary": found.summary}


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
