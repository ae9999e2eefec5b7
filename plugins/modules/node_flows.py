#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_flows
short_description: Observe which flows a node has
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Tells which connections the node has, as flows that M(hostfence.calico.flow_audit) and
    M(hostfence.calico.flow_verdict) judge - direction, interface, source, destination and port before and
    after DNAT, who listens or opens.
  - O(state=once) reads the kernel's table of connections, the sockets and the routes, and changes nothing.
    It looks back about two minutes.
  - O(state=started) makes one nftables table, C(inet hostfence_flows), in which the kernel keeps each
    distinct flow. The table accepts everything, so it changes no verdict, and no process runs meanwhile.
  - O(state=collected) reads it, O(state=stopped) reads it and removes it. A window that was lost meanwhile -
    by a reboot, or C(nft flush ruleset) - is reported in C(window.gaps).
  - O(state=watched) makes no table, for nodes without nf_tables or where none is wanted. It reads the table
    of connections for O(duration) at half the shortest time after which the kernel forgets what was answered
    (every five seconds by default), or less often where that would take more than a hundredth of a core.
    Refused connections are not seen unless O(refused=true).
  - Reads no packet's content, sets no kernel parameter and leaves Calico's tables alone. Client addresses are
    personal data; they are in the result.
  - What no source can see is listed in C(docs/auditing.md).
extends_documentation_fragment:
  - hostfence.calico.attributes
attributes:
  check_mode:
    support: full
    description: >-
      Tells whether a window would be opened or closed; reads as usual, and O(state=watched) only once.
  diff_mode:
    support: none
options:
  state:
    description: What to do.
    type: str
    choices: [once, started, collected, stopped, watched]
    default: once
  node:
    description: The node's name in Kubernetes, for the records.
    type: str
    required: true
  started:
    description:
      - What O(state=started) returned as RV(started). With it O(state=collected) and O(state=stopped) can
        tell that a window was lost.
    type: dict
  duration:
    description: How long O(state=watched) takes, in seconds. Run the task with C(async) for a longer one.
    type: int
    default: 60
  refused:
    description:
      - With O(state=watched), also take the events that the kernel sends of connections, so that refused
        ones are seen. They cost the node 5 to 7 microseconds for each new connection.
    type: bool
    default: false
  event_buffer:
    description: Bytes that the kernel keeps of events that were not read yet. What finds no place is counted.
    type: int
    default: 16777216
  set_size:
    description:
      - Distinct flows of TCP, and as many of UDP, that the kernel keeps one by one for each direction and
        address family. Beyond, it keeps sources as nets (/16, /48).
    type: int
    default: 65536
  limit:
    description:
      - Distinct flows of the table of connections that are kept one by one. Beyond, sources are kept as nets,
        a quarter as many.
    type: int
    default: 8192
  enable_tracking:
    description:
      - Open a window even on a node whose kernel tracks no connections so far. The table makes it do so while
        the window is open. A node with Calico's iptables or nftables data plane always tracks.
    type: bool
    default: false
seealso:
  - module: hostfence.calico.flow_verdict
requirements:
  - python >= 3.9
"""

EXAMPLES = r"""
- name: Look once
  hostfence.calico.node_flows:
    node: "{{ inventory_hostname }}"
  become: true
  register: observed

- name: Watch for ten minutes without a table
  hostfence.calico.node_flows:
    node: "{{ inventory_hostname }}"
    state: watched
    duration: 600
    refused: true
  become: true
  register: observed

- name: Open a window
  hostfence.calico.node_flows:
    node: "{{ inventory_hostname }}"
    state: started
  become: true
  register: window

- name: Read what it saw, a day later
  hostfence.calico.node_flows:
    node: "{{ inventory_hostname }}"
    state: collected
    started: "{{ window.started }}"
  become: true
  register: observed
"""

RETURN = r"""
started:
  description: The window that is open, to be handed in again as O(started).
  returned: with O(state=started), unless in check mode where none is open
  type: dict
  contains:
    node:
      description: The node's name.
      type: str
    boot_id:
      description: The kernel's number of this start of the node.
      type: str
    handle:
      description: The kernel's number of the table.
      type: int
    start:
      description: When the window began, in seconds since 1970 (UTC).
      type: float
    opened:
      description: Whether this call opened it.
      type: bool
flows:
  description:
    - The document C(hostfence.flows/1), which C(docs/auditing.md) describes, as JSON that gzip packed, in
      base64. Ansible copies every value of a result several times, and a node may have 100,000 flows.
    - P(hostfence.calico.unpacked_flows#filter) makes the JSON of it, which M(hostfence.calico.flow_audit)
      reads.
  returned: unless O(state=started), or O(state=stopped) without a window
  type: str
  sample: H4sIAAAAAAAE...
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import observe
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.packing import pack

STATES = ["once", "started", "collected", "stopped", "watched"]
OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "default": "once"},
    "node": {"type": "str", "required": True},
    "started": {"type": "dict"},
    "duration": {"type": "int", "default": 60},
    "refused": {"type": "bool", "default": False},
    "event_buffer": {"type": "int", "default": observe.EVENT_BUFFER},
    "set_size": {"type": "int", "default": 65536},
    "limit": {"type": "int", "default": observe.LIMIT},
    "enable_tracking": {"type": "bool", "default": False},
}
SIZES = range(64, 4_194_305)
DURATIONS = range(1, 60 * 60 * 24 * 366)
BUFFERS = range(4096, (1 << 30) + 1)


def work(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    limits = {"set_size": SIZES, "limit": SIZES, "duration": DURATIONS, "event_buffer": BUFFERS}
    for name, allowed in limits.items():
        if params[name] not in allowed:
            raise BadInput(name, params[name], f"a number from {allowed[0]} to {allowed[-1]}")
    node, state = params["node"], params["state"]
    if state == "watched" and not check_mode:
        return {"changed": False, "flows": pack(_watched(params))}
    if state in ("once", "watched"):
        return {"changed": False, "flows": pack(observe.once(node, params["limit"]))}
    if state == "started":
        if check_mode and not observe.is_open():
            return {"changed": True}
        started = observe.start(node, size=params["set_size"], enable_tracking=params["enable_tracking"])
        return {"changed": started["opened"], "started": started}
    if state == "stopped" and not params["started"] and not observe.is_open():
        return {"changed": False}
    flows = pack(observe.collect(node, params["started"], params["limit"]))
    closing = state == "stopped" and observe.is_open()
    if closing and not check_mode:
        observe.stop()
    return {"changed": closing, "flows": flows}


def _watched(params: dict[str, Any]) -> dict[str, Any]:
    return observe.watch(
        params["node"],
        params["duration"],
        refused=params["refused"],
        limit=params["limit"],
        event_buffer=params["event_buffer"],
    )


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        result = work(module.params, check_mode=module.check_mode)
    except BadInput as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
