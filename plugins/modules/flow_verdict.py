#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: flow_verdict
short_description: Tell what Calico does with a packet on a host endpoint, and why
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Judges packets as Felix would have the kernel do it, without touching any node.
  - Open-source Calico does not evaluate staged policy for host endpoints and logs no host flow; this does
    the evaluation.
  - What the objects leave open gives the verdict V(undetermined), with the assumptions that would settle it.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
  - hostfence.calico.judged_objects
options:
  flows:
    description:
      - The packets to judge, each as one node sees it.
      - What is left out is not known; where it matters, the verdict is V(undetermined).
    type: list
    elements: dict
    required: true
    suboptions:
      node:
        description: Name of the node.
        type: str
        required: true
      direction:
        description: Into the node, out of it, or through it.
        type: str
        choices: [ingress, egress, forward]
        required: true
      protocol:
        description: A name such as V(TCP), or a number.
        type: raw
        required: true
      source:
        description: Address of the sender.
        type: str
        required: true
      destination:
        description: Address of the receiver, after DNAT.
        type: str
        required: true
      interface:
        description: Where the packet comes in, or goes out if it is egress.
        type: str
      out_interface:
        description: Where a forwarded packet leaves.
        type: str
      source_port:
        description: Port of the sender.
        type: int
      destination_port:
        description: Port of the receiver, after DNAT.
        type: int
      original_destination:
        description: Address that the packet had before DNAT.
        type: str
      original_destination_port:
        description: Port that the packet had before DNAT.
        type: int
      icmp_type:
        description: Type of an ICMP or ICMPv6 packet.
        type: int
      icmp_code:
        description: Code of an ICMP or ICMPv6 packet.
        type: int
      state:
        description: State of the connection; left out, the packet opens one.
        type: str
        choices: [new, established, related, invalid]
  staged:
    description:
      - V(ignore) staged policies as Felix does, judge them V(as_enforced), or V(compare) both.
      - A staged policy takes the place of the enforced one of its name; one with C(stagedAction=Delete)
        removes it.
    type: str
    choices: [ignore, as_enforced, compare]
    default: ignore
seealso:
  - module: hostfence.calico.policy_lint
  - name: What Calico does with a packet
    description: How a packet is judged, and every reason code.
    link: https://github.com/hostfence/hostfence.calico/blob/main/docs/verdict.md
"""

EXAMPLES = r"""
- name: Would the staged policies let Prometheus reach the kubelet?
  hostfence.calico.flow_verdict:
    staged: compare
    flows:
      - node: worker-1
        direction: ingress
        interface: eth0
        protocol: TCP
        source: 10.0.0.9
        destination: 10.0.0.21
        destination_port: 10250
  register: judged

- name: Show why
  ansible.builtin.debug:
    var: judged.verdicts[0].staged.trace

- name: Judge a NodePort by files alone
  hostfence.calico.flow_verdict:
    src: policies/
    nodes:
      - name: worker-1
        interfaces:
          eth0: [10.0.0.21/24]
    flows:
      - node: worker-1
        direction: forward
        interface: eth0
        out_interface: cali1a2b3c
        protocol: TCP
        source: 203.0.113.9
        destination: 10.244.1.7
        destination_port: 8080
        original_destination: 10.0.0.21
        original_destination_port: 30080
"""

RETURN = r"""
verdicts:
  description: One answer a flow, in the order of the flows.
  returned: always
  type: list
  elements: dict
  contains:
    verdict:
      description: V(allow), V(deny) or V(undetermined).
      type: str
    reason_code:
      description: Why, as one of the codes of the page about verdicts.
      type: str
      sample: end-of-tier
    decided_by:
      description: C(stage), C(tier), C(kind), C(name), C(rule_index) of what decided.
      type: dict
    trace:
      description: The packet's way through the node, in words.
      type: list
      elements: str
      sample:
        - "mangle PREROUTING: preDNAT ingress policy of host endpoint worker-1-hostfence"
        - "tier default: no rule matches, goes on"
        - no policy decides, goes on
        - "filter INPUT: normal ingress policy of host endpoint worker-1-hostfence"
        - "tier hostfence: no rule of GlobalNetworkPolicy inbound matches, the end of the tier denies"
    assumptions:
      description: What an undetermined verdict depends on, or a determined one takes for granted.
      type: list
      elements: str
    staged:
      description: The same with the staged policies enforced.
      returned: with O(staged=compare)
      type: dict
counts:
  description: How many flows got which verdict.
  returned: always
  type: dict
  sample: {allow: 3, deny: 1, undetermined: 0}
dataplane:
  description: The data plane that was judged for; where the flows' nodes differ, all of them.
  returned: always
  type: str
misread:
  description:
    - What Felix does not read as it looks, in any of the objects, by C(object) and C(field). C(meaning) says
      what Felix makes of it.
  returned: always
  type: list
  elements: dict
  sample:
    - object: FelixConfiguration default
      field: spec.FailsafeInboundHostPorts
      meaning: Calico has no such field, and what it says is not in force; write failsafeInboundHostPorts
calico_version:
  description: The version that was judged for; empty for the newest known.
  returned: always
  type: str
origin:
  description: Where the objects came from, V(resources), a path or the API server's address.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import judge_flows
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.flow import DIRECTIONS, STATES
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    STAGED_CHOICES,
    count_verdicts,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import CONNECTION_OPTIONS
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.judged_objects import (
    SOURCE_OPTIONS,
    SOURCE_RULES,
    gather,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import conclude

FLOW: dict[str, Any] = {
    "node": {"type": "str", "required": True},
    "direction": {"type": "str", "choices": list(DIRECTIONS), "required": True},
    "protocol": {"type": "raw", "required": True},
    "source": {"type": "str", "required": True},
    "destination": {"type": "str", "required": True},
    "interface": {"type": "str"},
    "out_interface": {"type": "str"},
    "source_port": {"type": "int"},
    "destination_port": {"type": "int"},
    "original_destination": {"type": "str"},
    "original_destination_port": {"type": "int"},
    "icmp_type": {"type": "int"},
    "icmp_code": {"type": "int"},
    "state": {"type": "str", "choices": list(STATES)},
}
OPTIONS: dict[str, Any] = {
    "flows": {"type": "list", "elements": "dict", "required": True, "options": FLOW},
    "staged": {"type": "str", "choices": list(STAGED_CHOICES), "default": "ignore"},
    **SOURCE_OPTIONS,
}


def work(params: dict[str, Any]) -> dict[str, Any]:
    # Ansible fills in what was left out.
    flows = [{key: value for key, value in flow.items() if value is not None} for flow in params["flows"]]
    forwarded = any(flow["direction"] == "forward" for flow in flows)
    judged = gather(params, params["staged"], with_pods=forwarded)
    found = judge_flows(judged.objects, flows, judged.dataplanes, judged.nodes, judged.options)
    return {
        "changed": False,
        "verdicts": [verdict.as_dict() for verdict in found.verdicts],
        "counts": count_verdicts(found.verdicts),
        "dataplane": ", ".join(found.dataplanes),
        "misread": [
            {"object": str(ref), "field": one.field, "meaning": one.meaning} for ref, one in found.misread
        ],
        "calico_version": judged.options.calico_version,
        "origin": judged.origin,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, **OPTIONS}, supports_check_mode=True, **SOURCE_RULES
    )
    conclude(module, lambda: work(module.params))


if __name__ == "__main__":
    main()
