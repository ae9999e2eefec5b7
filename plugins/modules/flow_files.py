#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: flow_files
short_description: Keep in a file what node_flows observed
version_added: 0.3.0
author: The Hostfence founders (@hostfence)
description:
  - Writes the flows of a node, which M(hostfence.calico.node_flows) returns packed, to a file that
    M(hostfence.calico.flow_audit) reads.
  - Runs on the controller, and needs no connection.
  - Client addresses are personal data; only their owner can read the file, and the directories that are made
    for it.
extends_documentation_fragment:
  - hostfence.calico.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  flows:
    description: The RV(hostfence.calico.node_flows#module:flows).
    type: str
    required: true
  dest:
    description: The file, on the controller. Directories that are missing are made.
    type: path
    required: true
seealso:
  - module: hostfence.calico.node_flows
  - module: hostfence.calico.flow_audit
"""

EXAMPLES = r"""
- name: What does the node know of its connections?
  hostfence.calico.node_flows:
  register: observed

- name: Keep it
  hostfence.calico.flow_files:
    flows: "{{ observed.flows }}"
    dest: "audit/flows/{{ inventory_hostname }}.json"
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: audit/flows/worker-1.json
"""
