#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: enforce
short_description: Change what is enforced as a transaction
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Brings the policy that is enforced from what it is to what it shall be. The new policy stands in the
    kernel of every node before it decides, becomes live by one write for each wave of hosts, is proved over
    new connections, and goes back by one write if nobody confirms it in time. See C(docs/enforcing.md).
  - What is to be comes from M(hostfence.calico.plan), or from dry runs of M(hostfence.calico.policies), which
    have judged it.
  - A run that was ended anywhere is taken up by the next one.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.logins.programs
  - hostfence.calico.transaction
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  writes:
    description:
      - RV(hostfence.calico.plan#module:policy_writes), or RV(hostfence.calico.policies#module:rehearsal) of
        every set in its order.
    type: list
    elements: dict
    required: true
  sets:
    description: Names of the sets, shown to those who ask what is under way.
    type: list
    elements: str
    default: []
  waves:
    description:
      - Which hosts change together. V(canary) is one worker, then one of each zone and role, a tenth, half
        and the rest, and control-plane nodes singly and last. V(all) is all at once.
      - Or selectors of HostEndpoints, one a wave; hosts that none matches come last.
    type: list
    elements: str
    default: [canary]
  window:
    description: Seconds, 30 to 240, after which a wave that nobody confirmed goes back.
    type: int
    default: 120
  bake:
    description: Seconds to wait between waves.
    type: int
    default: 0
  confirm:
    description:
      - V(auto) confirms a wave once it is proved. V(manual) leaves that to M(hostfence.calico.confirm).
    type: str
    choices: [auto, manual]
    default: auto
  keep:
    description:
      - Hours for which the policy from before is kept, for M(hostfence.calico.rollback); V(0) forgets it.
    type: float
    default: 24
  watchdogs:
    description:
      - How many programs on nodes switch back at the end of the window. All of them must have seen a wave
        armed before it is switched.
    type: int
    default: 2
  watchdog_mode:
    description:
      - V(node) starts them on nodes that can be logged in to, control-plane nodes first.
      - V(pod) starts each as a Deployment with host network in C(kube-system), on control-plane nodes where
        there are any, and removes it in the end.
    type: str
    choices: [node, pod]
    default: node
  watchdog_image:
    description: Image of the pods, with Python 3.9 or later; best by digest.
    type: str
    default: ""
  last_resort:
    description:
      - Whether each node of a wave opens its own way to the API, Typha, name servers and for administrators'
        SSH if, at the end of a window, no API server answers it. On nodes that can be logged in to, with
        Calico's iptables or nftables, and with C(nft); the others are named in RV(remarks).
    type: bool
    default: true
  admin_sources:
    description:
      - Networks from which administrators log in, such as jump hosts, in addition to this machine. The last
        resort lets them in as well.
    type: list
    elements: str
    default: []
  flush_conntrack:
    description:
      - Whether the hosts of the first wave forget their connections once they are switched, before the proof.
        Established connections are accepted whatever policy says; so what breaks only on reconnect breaks
        while the wave can still go back.
      - Connections of Felix itself are spared where no last resort runs, as it hears the way back by them;
        so are those that the host only forwards.
    type: bool
    default: false
  proofs:
    description: Further connections that must work after a switch if they did before.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Address to connect to.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        required: true
      from:
        description: Node to connect from; every node of the wave without it.
        type: str
seealso:
  - module: hostfence.calico.confirm
  - module: hostfence.calico.rollback
  - module: hostfence.calico.policies
"""

EXAMPLES = r"""
- name: Judge a set, and write nothing
  hostfence.calico.policies:
    name: edge
    state: enforced
    src: policies/edge
  check_mode: true
  register: edge

- name: Enforce it
  hostfence.calico.enforce:
    writes: "{{ edge.rehearsal }}"
    sets: [edge]
    nodes:
      - node: node1
        host: 192.0.2.11
        user: root
      - node: node2
        host: 192.0.2.12
        user: root
"""

RETURN = r"""
phase:
  description: V(settled), V(running) where waves wait, or empty where nothing was to change.
  returned: always
  type: str
transaction:
  description: Its name.
  returned: always
  type: str
waves:
  description: The waves, each with name, selector and nodes.
  returned: always
  type: list
  elements: dict
timeline:
  description: What happened when, C(at) which time and C(seconds) after the module began.
  returned: always
  type: list
  elements: dict
  sample: [{event: switched, wave: all, seconds: 4.2, at: "2026-11-28T16:20:10Z"}]
remarks:
  description: What else there is to say.
  returned: always
  type: list
  elements: str
without_switch:
  description: Why no switch can make the change, or empty; nothing was written then.
  returned: always
  type: str
writes:
  description: How many writes were sent.
  returned: always
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import enforcement
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run
from ansible_collections.hostfence.calico.plugins.module_utils.controller.node_programs import (
    OPTIONS as NODES,
)

OPTIONS: dict[str, Any] = {
    "writes": {"type": "list", "elements": "dict", "required": True},
    "sets": {"type": "list", "elements": "str", "default": []},
    **enforcement.OPTIONS,
    **NODES,
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    return enforcement.enforce(cluster, module.params, check=module.check_mode)


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
