#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Tell whether a cluster is fit for host protection with Calico
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Reads what matters before the hosts of a cluster are protected, and judges it. That takes a dozen
    requests, and one more for every 250 nodes.
  - Says which API group Calico's resources are in, whether Calico works, and what stands in the way.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
options:
  mode:
    description: Who is to make the HostEndpoints. What V(auto) needs is not asked for in the mode V(direct).
    type: str
    choices: [direct, auto]
    default: direct
  hosts:
    description: Names of the hosts that the inventory knows as nodes. Left out, they are not compared.
    type: list
    elements: str
  permissions_for:
    description:
      - Check with the API that this user has every permission that these need, one question a permission.
      - Left out, permissions are not checked.
      - V(access) is what granting all others takes.
    type: list
    elements: str
    choices:
      - access
      - audit_daemonset
      - crds
      - enforce
      - enforce_kubelets
      - enforce_pods
      - felix
      - host_endpoints_auto
      - host_endpoints_daemonset
      - host_endpoints_direct
      - host_endpoints_job
      - policies
      - verdicts
  granted_to:
    version_added: 0.3.0
    description: >-
      Name of the user to whom the others are granted, as RV(user) tells it. This one is not asked
      whether it may do what V(access) takes.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Look at the cluster
  hostfence.calico.cluster_info:
    mode: direct
    hosts: "{{ groups['nodes'] }}"
    permissions_for: [host_endpoints_direct, policies]
  register: cluster

- name: Nothing must stand in the way
  ansible.builtin.assert:
    that: cluster.findings | selectattr('severity', 'equalto', 'error') | length == 0
"""

RETURN = r"""
server_version:
  description: Version of the Kubernetes API server.
  returned: always
  type: str
  sample: v1.34.1
tokens_name_nodes:
  description:
    - Whether the token of a pod names its node and admission policies can ask for it, so that an agent can be
      kept to its own node. Kubernetes 1.30 and newer.
  returned: always
  type: bool
user:
  description: Name of the user of this connection; empty where the API cannot tell (before Kubernetes 1.28).
  returned: always
  type: str
flavour:
  description: V(v1), V(aggregated), V(v3-native), or V(none) where the API knows none of Calico's kinds.
  returned: always
  type: str
api_version:
  description: Group and version to write Calico's resources in.
  returned: always
  type: str
  sample: crd.projectcalico.org/v1
kinds:
  description: All kinds that the API serves there.
  returned: always
  type: list
  elements: str
schema:
  description:
    - Fields that the API knows, by kind. Those of KubeControllersConfiguration are the ones below
      C(spec.controllers.node.hostEndpoint), those of all others the ones below C(spec).
  returned: always
  type: dict
  sample: {Tier: [order, defaultAction], HostEndpoint: [node, interfaceName, expectedIPs, profiles, ports]}
calico_version:
  description: Version that Calico noted; empty if none.
  returned: always
  type: str
datastore_ready:
  description: Whether Calico's datastore is unlocked; null where Calico noted nothing.
  returned: always
  type: bool
migration:
  description: Phase of a running datastore migration, or empty.
  returned: always
  type: str
nodes:
  description: The nodes.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    ready:
      description: Whether it is Ready.
      type: bool
    role:
      description: V(control-plane) or V(worker).
      type: str
    addresses:
      description: Its internal addresses.
      type: list
      elements: str
api_endpoints:
  description: Where the API server itself listens, behind the Service C(kubernetes).
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: Address.
      type: str
    port:
      description: Port.
      type: int
felix:
  description: The DaemonSet that runs Felix; null if there is none.
  returned: always
  type: dict
  contains: &workload
    namespace:
      description: Its namespace.
      type: str
    name:
      description: Its name.
      type: str
    desired:
      description: Pods that should run.
      type: int
    ready:
      description: Pods that are ready.
      type: int
kube_controllers:
  description: The Deployment of Calico's kube-controllers; null if there is none.
  returned: always
  type: dict
  contains: *workload
auto_host_endpoints:
  description: Calico's automatic HostEndpoints.
  returned: always
  type: dict
  contains:
    enabled:
      description: Whether the API says so.
      type: bool
    ours:
      description: Whether this collection switched them on.
      type: bool
    environment:
      description: C(AUTO_HOST_ENDPOINTS) in kube-controllers' environment, which wins; null if not set.
      type: str
environment:
  description: Environment variables of kube-controllers that are known.
  returned: always
  type: dict
  sample: {ENABLED_CONTROLLERS: node, DATASTORE_TYPE: kubernetes}
host_endpoints:
  description: All HostEndpoints.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    node:
      description: Its node.
      type: str
    interface:
      description: V(*), a name, or V(by-ip).
      type: str
    made_by:
      description: V(hostfence), V(calico) or V(someone else).
      type: str
wildcard_collisions:
  description: Nodes with several HostEndpoints on C(*), each with their names; Felix uses the first.
  returned: always
  type: dict
missing_permissions:
  description: What this user may not do, of what O(permissions_for) needs.
  returned: always
  type: list
  elements: str
rules:
  description: Rules of a ClusterRole that allows exactly what O(permissions_for) needs; left out, all of it.
  returned: always
  type: list
  elements: dict
  sample:
    - apiGroups: [crd.projectcalico.org]
      resources: [hostendpoints]
      verbs: [list, get, create, patch, delete]
findings:
  description: What was judged, with what to do.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: What was looked at.
      type: str
    severity:
      description:
        - V(ok), V(info), V(warning), or V(error), which ends the role preflight before anything is written.
      type: str
    message:
      description: What was found.
      type: str
    remedy:
      description:
        - What to do; empty where all is well. The other keys of a finding, C(family), C(table), C(chain),
          C(object) and C(field), are empty here.
      type: str
requests:
  description: How many requests were sent.
  returned: always
  type: int
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.node_object import (
    is_control_plane,
    is_true,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.preflight import (
    AUTO,
    DIRECT,
    PreflightWanted,
    judge,
    wildcard_collisions,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.version import tokens_name_nodes
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import cluster_info, permissions
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {
    "mode": {"type": "str", "choices": [DIRECT, AUTO], "default": DIRECT},
    "hosts": {"type": "list", "elements": "str"},
    "permissions_for": {
        "type": "list",
        "elements": "str",
        "choices": sorted([*permissions.ON_DEMAND, *permissions.TASKS]),
    },
    "granted_to": {"type": "str", "default": ""},
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    tasks = module.params["permissions_for"]
    found = cluster_info.read(cluster, tasks, module.params["granted_to"])
    facts = found.facts
    wanted = PreflightWanted(
        module.params["mode"], module.params["hosts"], permissions_checked=tasks is not None
    )
    needed = permissions.required(found.flavour, permissions.TASKS if tasks is None else tasks)
    return {
        "changed": False,
        "server_version": facts.server_version,
        "tokens_name_nodes": tokens_name_nodes(facts.server_version),
        "user": found.user,
        "flavour": facts.flavour,
        "api_version": facts.api_version,
        "kinds": sorted(found.served),
        "schema": found.schema,
        "calico_version": facts.calico_version,
        "datastore_ready": facts.datastore_ready,
        "migration": facts.migration,
        "nodes": [_shown(node) for node in found.nodes],
        "api_endpoints": list(found.api_endpoints),
        "felix": asdict(facts.felix) if facts.felix else None,
        "kube_controllers": asdict(facts.kube_controllers) if facts.kube_controllers else None,
        "auto_host_endpoints": asdict(facts.auto),
        "environment": found.environment,
        "host_endpoints": [asdict(hep) for hep in facts.host_endpoints],
        "wildcard_collisions": wildcard_collisions(facts.host_endpoints),
        "missing_permissions": list(facts.missing_permissions),
        "rules": permissions.rules(needed),
        "findings": [finding.as_dict() for finding in judge(facts, wanted)],
        "requests": cluster.requests_sent,
    }


def _shown(node: dict[str, Any]) -> dict[str, Any]:
    addresses = (node.get("status") or {}).get("addresses") or []
    return {
        "name": node["metadata"]["name"],
        "ready": is_true(node, "Ready"),
        "role": "control-plane" if is_control_plane(node) else "worker",
        "addresses": [a["address"] for a in addresses if a.get("type") == "InternalIP"],
    }


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
