#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_flows
short_description: Keep in files what the agents of audit_mode daemonset published
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Reads the ConfigMaps in which agents publish the flows of their nodes, and writes each to a file of its
    own, which M(hostfence.calico.flow_audit) reads.
  - What cannot be read, is too large, or says that it is of another node, is left out and named.
  - Client addresses are personal data; only their owner can read the files.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  namespace:
    description: Where the agents publish.
    type: str
    default: hostfence-audit
  dest:
    description: The directory of the files, which has to be there.
    type: path
    required: true
seealso:
  - module: hostfence.calico.node_flows
  - module: hostfence.calico.flow_audit
"""

EXAMPLES = r"""
- name: What did the agents see?
  hostfence.calico.audit_flows:
    dest: audit/flows
"""

RETURN = r"""
nodes:
  description: How many nodes published flows that can be read.
  returned: always
  type: int
left_out:
  description: What cannot be used, and why.
  returned: always
  type: list
  elements: str
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.cluster import published_flows
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {
    "namespace": {"type": "str", "default": "hostfence-audit"},
    "dest": {"type": "path", "required": True},
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    left_out: list[str] = []
    nodes, changed = 0, False
    for node, document in published_flows.read(cluster, module.params["namespace"], left_out):
        nodes += 1
        path = Path(module.params["dest"], f"{node}.json")
        changed |= published_flows.keep(path, json.dumps(document), dry_run=module.check_mode)
    for reason in left_out:
        module.warn(reason)
    return {"changed": changed, "nodes": nodes, "left_out": left_out}


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
