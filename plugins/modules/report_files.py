#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: report_files
short_description: Write what a run found as HTML, JSON, JUnit, SARIF, Markdown or Prometheus text
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Puts what other modules returned into one JSON document, and writes that document in other forms.
  - Runs on the controller, and needs no connection.
  - A part that is left out counts as not looked at, and the report says so.
extends_documentation_fragment:
  - hostfence.calico.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    description: The files are written as a whole.
  idempotent:
    support: full
    description: The same input gives the same bytes. O(generated_at) is part of the input.
options:
  generated_at:
    description: Time of the report, in UTC, such as V(2026-11-28T16:30:00Z).
    type: str
    required: true
  directory:
    description: Where the files go, on the controller. Left out, nothing is written.
    type: path
  formats:
    description: Which forms to write.
    type: list
    elements: str
    choices: [html, json, junit, sarif, markdown, prometheus]
    default: [html, json]
  nodes:
    description: The RV(hostfence.calico.host_endpoints_info#module:nodes).
    type: list
    elements: dict
  failsafes:
    description:
      - For each node by its name, what M(hostfence.calico.failsafe_info) returned.
      - A node that could not be checked has C(msg) alone, which says why.
    type: dict
  probes:
    description: For each node by its name, C(ok) and C(summary) of new connections to it.
    type: dict
    default: {}
  sets:
    description: The RV(hostfence.calico.policies_info#module:sets).
    type: list
    elements: dict
  foreign:
    description: The RV(hostfence.calico.policies_info#module:foreign).
    type: list
    elements: dict
    default: []
  lint:
    description: The RV(hostfence.calico.policy_lint#module:findings).
    type: list
    elements: dict
  flows:
    description: Packets as M(hostfence.calico.flow_verdict) takes them.
    type: list
    elements: dict
  verdicts:
    description: The RV(hostfence.calico.flow_verdict#module:verdicts) of O(flows), in their order.
    type: list
    elements: dict
  audit:
    description: What M(hostfence.calico.flow_audit) returned.
    type: dict
  transaction:
    description: The RV(hostfence.calico.policies_info#module:transaction), empty where there is none.
    type: dict
  timeline:
    description:
      - The RV(hostfence.calico.enforce#module:timeline) of the same run. Left out, the timeline has the steps
        whose time O(transaction) has kept.
    type: list
    elements: dict
    default: []
  pending:
    description: The RV(hostfence.calico.policies_info#module:pending).
    type: list
    elements: dict
  unseen:
    description: The RV(hostfence.calico.plan#module:unseen) of the same run.
    type: list
    elements: str
    default: []
  cluster:
    description: What is known of the cluster, C(server), C(calico_version) and C(dataplane).
    type: dict
    default: {}
seealso:
  - module: hostfence.calico.host_endpoints_info
  - module: hostfence.calico.failsafe_info
"""

EXAMPLES = r"""
- name: See which nodes are covered
  hostfence.calico.host_endpoints_info:
  register: found

- name: Write the report
  hostfence.calico.report_files:
    generated_at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
    directory: report
    formats: [html, junit]
    nodes: "{{ found.nodes }}"
"""

RETURN = r"""
files:
  description: The files, each with C(format), C(path), and whether it C(changed).
  returned: always
  type: list
  elements: dict
verdict:
  description: The run in one sentence.
  returned: always
  type: dict
  contains:
    status:
      description: V(ok), V(attention), or V(failed).
      type: str
    sentence:
      description: What was found.
      type: str
    next:
      description: What to do next.
      type: list
      elements: str
counts:
  description: The counters of the report.
  returned: always
  type: dict
  sample: {nodes: 3, covered: 3, failsafes_verified: 3}
"""
