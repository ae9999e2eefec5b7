#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: failsafe_resources_info
short_description: Collect what every node needs to check its own failsafes
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - A node's check (M(hostfence.calico.failsafe_info)) does not talk to the API. This module reads, in a
    few requests
    for all nodes together, the objects that it compares the node with, trimmed to what matters.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
seealso:
  - module: hostfence.calico.failsafe_info
"""

EXAMPLES = r"""
- name: Collect once, on the controller
  hostfence.calico.failsafe_resources_info:
  delegate_to: localhost
  run_once: true
  register: collected

- name: Check on each node
  hostfence.calico.failsafe_info:
    node: "{{ inventory_hostname }}"
    resources: "{{ collected.shared + collected.by_node[inventory_hostname] | default([]) }}"
  become: true
"""

RETURN = r"""
shared:
  description:
    - Objects that every node needs - policies (without rules those that govern no host endpoint), Tiers,
      FelixConfigurations, the control plane's Nodes.
  returned: always
  type: list
  elements: dict
by_node:
  description:
    - Objects of one node only, by the node's name - its Node, unless it is shared, and its HostEndpoints.
  returned: always
  type: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.cluster import failsafe_resources, flavour
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(_module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    shared, by_node = failsafe_resources.collect(cluster, flavour.require(cluster))
    return {"changed": False, "shared": shared, "by_node": by_node}


def main() -> None:
    run({}, work)


if __name__ == "__main__":
    main()
