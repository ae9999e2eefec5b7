#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_counters
short_description: Read what the kernel counted at audited policies
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Where policies are audited, copies of them stand in the kernel that decide nothing. This reads their
    counters - for each rule of the original policy the packets of new connections that it would have decided,
    and those that the end of the tier would have denied.
  - A SYN that is sent again counts again. Packets of established connections and those that a failsafe lets
    pass do not reach the rules.
  - Changes nothing on the node. Needs C(iptables-save) or C(nft) there, and root, to read the rules.
extends_documentation_fragment:
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
options:
  previous:
    description:
      - What an earlier call returned as RV(state). Felix starts a counter again when it writes a chain again;
        with this the totals go on.
    type: dict
requirements:
  - python >= 3.9
"""

EXAMPLES = r"""
- name: Read the counters
  hostfence.calico.audit_counters:
  become: true
  register: counted

- name: Read them again an hour later
  hostfence.calico.audit_counters:
    previous: "{{ counted.state }}"
  become: true
  register: counted
"""

RETURN = r"""
counters:
  description: Packets by rule of the original policies.
  returned: always
  type: list
  elements: dict
  contains:
    policy:
      description: The policy's name, with its tier.
      type: str
    direction:
      description: V(ingress) or V(egress).
      type: str
    rule:
      description: The rule's place, from 0, or V(end-of-tier).
      type: raw
    packets:
      description: How many packets it would have decided.
      type: int
state:
  description: To be handed in again as O(previous).
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.node import audit_counters, kernel
from ansible_collections.hostfence.calico.plugins.module_utils.node.boot import boot_id

OPTIONS: dict[str, Any] = {"previous": {"type": "dict"}}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        counted = audit_counters.read()
        state = audit_counters.since(counted, boot_id(), module.params["previous"])
    except kernel.NodeError as refused:
        module.fail_json(msg=str(refused))
    module.exit_json(changed=False, counters=audit_counters.rows(state["totals"]), state=state)


if __name__ == "__main__":
    main()
