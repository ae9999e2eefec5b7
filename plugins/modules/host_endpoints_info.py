#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_endpoints_info
short_description: Tell which nodes are Calico HostEndpoints, and who made them
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Lists the HostEndpoints of a cluster and its nodes, in a few requests.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
options:
  node_selector:
    description: Kubernetes label selector of the nodes that should be covered; empty for all.
    type: str
    default: kubernetes.io/os!=windows
seealso:
  - module: hostfence.calico.host_endpoints
"""

EXAMPLES = r"""
- name: See who covers which node
  hostfence.calico.host_endpoints_info:
  register: found

- name: Every node must be covered
  ansible.builtin.assert:
    that: not found.uncovered
"""

RETURN = r"""
nodes:
  description: The selected nodes.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the Node.
      type: str
    host_endpoint:
      description: The HostEndpoint that covers it, the active wildcard one first; empty if none does.
      type: str
    made_by:
      description: V(hostfence), V(calico) for kube-controllers' own, or V(someone else); empty if none.
      type: str
uncovered:
  description: Names of selected nodes without a HostEndpoint.
  returned: always
  type: list
  elements: str
host_endpoints:
  description: All HostEndpoints, of whatever node.
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
    expected_ips:
      description: Addresses that it stands for.
      type: list
      elements: str
    profiles:
      description: Names of its profiles.
      type: list
      elements: str
    labels:
      description: Labels that Felix evaluates, those of Calico's metadata annotation over the object's own.
      type: dict
    made_by:
      description: V(hostfence), V(calico) or V(someone else).
      type: str
resources:
  description: The HostEndpoints as stored, for modules that judge offline.
  returned: always
  type: list
  elements: dict
auto:
  description: Calico's automatic HostEndpoints, as configured in the API.
  returned: always
  type: dict
  contains:
    enabled:
      description: Whether they are switched on.
      type: bool
    ours:
      description: Whether this collection switched them on.
      type: bool
summary:
  description: How many of the selected nodes are covered.
  returned: always
  type: str
  sample: 3 of 3 nodes have a HostEndpoint
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import effective_labels
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_auto import (
    is_enabled,
    is_enabled_by_us,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_plan import (
    made_by,
    node_table,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import flavour, host_endpoints
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {"node_selector": {"type": "str", "default": "kubernetes.io/os!=windows"}}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    served = flavour.detect(cluster)
    names, _all_names, heps = host_endpoints.read(
        cluster, served, module.params["node_selector"], lambda node: str(node["metadata"]["name"])
    )
    nodes, summary = node_table(names, heps)
    return {
        "changed": False,
        "nodes": nodes,
        "uncovered": [node["name"] for node in nodes if not node["host_endpoint"]],
        "host_endpoints": [_shown(h) for h in heps],
        "resources": [_stored(h, served) for h in heps],
        "auto": _auto(cluster, served),
        "summary": summary,
    }


def _auto(cluster: Cluster, served: flavour.Flavour) -> dict[str, bool]:
    kind = "KubeControllersConfiguration"
    config = cluster.find(served.path(kind, "default")) if served.serves(kind) else None
    return {"enabled": is_enabled(config), "ours": is_enabled_by_us(config)}


def _shown(hep: dict[str, Any]) -> dict[str, Any]:
    spec = hep["spec"]
    return {
        "name": hep["metadata"]["name"],
        "node": spec.get("node", ""),
        "interface": spec.get("interfaceName") or "by-ip",
        "expected_ips": spec.get("expectedIPs", []),
        "profiles": spec.get("profiles", []),
        "labels": effective_labels(hep),
        "made_by": made_by(hep),
    }


def _stored(hep: dict[str, Any], served: flavour.Flavour) -> dict[str, Any]:
    metadata = {k: v for k, v in hep["metadata"].items() if k != "managedFields"}
    return {"apiVersion": served.api_version, "kind": "HostEndpoint", **hep, "metadata": metadata}


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
