#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: failsafe_info
short_description: Prove that Calico's failsafe ports are in force on a node
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Reads the rules of the node it runs on, of every back end and both address families, and compares them
    with
    what the API's objects ask for - hooks, dispatch, endpoint chains, failsafe chains, their order, and the
    hashes with which Felix signs each rule.
  - Changes nothing on the node and needs nothing there but Python; root, to read the kernel's rules.
  - With O(dump) it checks recorded output instead, on any machine.
extends_documentation_fragment:
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
options:
  resources:
    description:
      - Objects as stored in the cluster - HostEndpoints, policies, Tiers, FelixConfigurations, the Node,
        ClusterInformation, and for the vital paths the Endpoints C(kubernetes) and the control plane's Nodes.
      - Of several thousand nodes only what is this node's is needed; others are passed over.
      - M(hostfence.calico.failsafe_resources_info) reads them from a cluster. Either these or O(src) are
        needed, unless probing; no node gets what reads the API.
    type: list
    elements: dict
  src:
    description:
      - File or directory of such objects, as JSON, or as YAML where PyYAML is installed. In a directory,
        files that end in
        C(.json), C(.yaml) or C(.yml) are read.
    type: path
  node:
    description:
      - The node's name in Calico. By default as the running Felix is configured, else the kernel's host
        name.
    type: str
  interfaces:
    description: Interface names and their addresses. Read from the kernel unless given.
    type: dict
  dump:
    description: Files to check instead of this machine's kernel.
    type: dict
    suboptions:
      iptables_save:
        description: Output of C(iptables-save).
        type: path
      ip6tables_save:
        description: Output of C(ip6tables-save).
        type: path
      nft_ruleset:
        description: Output of C(nft -j list ruleset).
        type: path
      bpf_failsafes_v4:
        description: Output of C(bpftool -j map dump) of the map C(cali_v4_fsafes2).
        type: path
      bpf_failsafes_v6:
        description: Output of C(bpftool -j map dump) of the map C(cali_v6_fsafes2).
        type: path
      bpf_net:
        version_added: 0.3.0
        description: Output of C(bpftool -j net show), version 7.3 or newer.
        type: path
  felix_environment:
    version_added: 0.3.0
    description:
      - Environment variables of this node's Felix that set its configuration, such as
        C(FELIX_FAILSAFEINBOUNDHOSTPORTS). They win over FelixConfiguration.
      - On the node they are read from the running Felix, and so is its configuration file. A O(dump) has
        neither.
    type: dict
  probe:
    description:
      - Open a new TCP connection to each of O(probe_targets) from the machine that this runs on, and
        close it.
      - Without O(probe_targets), only RV(probe_targets) is returned - run it again elsewhere with those.
    type: bool
    default: false
  probe_targets:
    description:
      - Where to connect to, as C(address:port) or C([address]:port). With it nothing else is checked.
    type: list
    elements: str
seealso:
  - name: What the failsafe check proves, and what it cannot
    description: All findings, and the limits of the check.
    link: https://github.com/hostfence/hostfence.calico/blob/main/docs/failsafes.md
requirements:
  - python >= 3.9
"""

EXAMPLES = r"""
- name: Read what the nodes must hold, once for all of them
  hostfence.calico.failsafe_resources_info:
  delegate_to: localhost
  run_once: true
  register: wanted

- name: Prove the failsafes of this node
  hostfence.calico.failsafe_info:
    resources: "{{ wanted.shared + wanted.by_node[inventory_hostname] }}"
    node: "{{ inventory_hostname }}"
  become: true
  register: failsafes
  failed_when: not failsafes.ok

- name: Check a support bundle on the controller
  hostfence.calico.failsafe_info:
    src: bundle/objects.yaml
    node: worker-17
    dump:
      iptables_save: bundle/iptables-save.txt
      ip6tables_save: bundle/ip6tables-save.txt
  delegate_to: localhost
"""

RETURN = r"""
ok:
  description: Whether no finding is an error.
  returned: always
  type: bool
protected:
  description:
    - Whether a host endpoint is active on the node, and no other program accepts everything before Calico's
      rules. Where not, nothing is filtered.
  returned: unless probing
  type: bool
dataplane:
  description:
    - V(iptables-nft), V(iptables-legacy), V(iptables), V(nftables), V(bpf), V(none), or several joined by
      C(+).
  returned: unless probing
  type: str
families:
  description: Address families in which Calico's chains were found.
  returned: unless probing
  type: list
  elements: str
expected:
  description: What must be there.
  returned: unless probing
  type: dict
  contains:
    node:
      description: Name of the node.
      type: str
    inbound:
      description: Inbound failsafe ports.
      type: list
      elements: str
    inbound_source:
      description: What set them.
      type: str
    outbound:
      description: Outbound failsafe ports.
      type: list
      elements: str
    outbound_source:
      description: What set them.
      type: str
    endpoints:
      description: Active host endpoints with interface, name and classes of policy.
      type: list
      elements: dict
observed:
  description:
    - What was read, by back end and family - tables, number of Calico's chains, the failsafe chains'
      rules.
  returned: unless probing
  type: list
  elements: dict
findings:
  description: What is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Stable name of the kind of finding.
      type: str
    severity:
      description: V(error), V(warning) or V(info).
      type: str
    family:
      description: V(ipv4), V(ipv6) or empty.
      type: str
    table:
      description: Table, or empty.
      type: str
    chain:
      description: Chain, or empty.
      type: str
    message:
      description: What was found.
      type: str
    remedy:
      description: What to do.
      type: str
    object:
      description: Empty; what all findings of the collection have.
      type: str
    field:
      description: Empty; what all findings of the collection have.
      type: str
vital_paths:
  description: Flows that this node depends on, and whether failsafes cover them.
  returned: unless probing
  type: list
  elements: dict
  contains:
    name:
      description: What it is, for example V(ssh).
      type: str
    direction:
      description: V(in) or V(out).
      type: str
    protocol:
      description: V(tcp) or V(udp).
      type: str
    port:
      description: The port.
      type: int
    peer:
      description: Address of the other side, or empty for everybody.
      type: str
    status:
      description:
        - V(covered) by a failsafe, V(partly) where it covers some addresses only, V(uncovered) where
          policy alone decides,
          V(unfiltered) where no host endpoint is active.
      type: str
    failsafe:
      description: The failsafe entries that cover it.
      type: list
      elements: str
    open_to_everybody:
      description: Whether a failsafe keeps it open to everybody although a policy restricts what comes in.
      type: bool
lifeline:
  description: What M(hostfence.calico.lifeline) keeps open here, as it returns it; empty without one.
  returned: unless probing
  type: dict
uses:
  description:
    - What this node was found to use, for O(hostfence.calico.policies#module:uses) - API servers, Typha,
      etcd, name and time servers, addresses by interface, settings that its Felix has by environment or file,
      and the data plane in the kernel.
  returned: unless probing
  type: dict
probe_targets:
  description: Addresses and ports of this node that a failsafe covers and something listens on.
  returned: unless probing
  type: list
  elements: str
probes:
  description: Result of each probe.
  returned: when probing
  type: list
  elements: dict
  contains:
    target:
      description: Where to.
      type: str
    ok:
      description: Whether the connection was set up.
      type: bool
    message:
      description: What happened.
      type: str
summary:
  description: One line.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node import failsafe_check, probe
from ansible_collections.hostfence.calico.plugins.module_utils.node.kernel import NodeError

DUMPS = ("iptables_save", "ip6tables_save", "nft_ruleset", "bpf_failsafes_v4", "bpf_failsafes_v6", "bpf_net")

OPTIONS: dict[str, Any] = {
    "resources": {"type": "list", "elements": "dict"},
    "src": {"type": "path"},
    "node": {"type": "str"},
    "interfaces": {"type": "dict"},
    "dump": {"type": "dict", "options": {name: {"type": "path"} for name in DUMPS}},
    "felix_environment": {"type": "dict"},
    "probe": {"type": "bool", "default": False},
    "probe_targets": {"type": "list", "elements": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=OPTIONS, supports_check_mode=True, mutually_exclusive=[("resources", "src")]
    )
    params = module.params
    try:
        if params["probe"] and params["probe_targets"]:
            result = probe.result(params["probe_targets"])
        else:
            result = failsafe_check.check(
                params["resources"],
                params["src"],
                params["node"],
                params["interfaces"],
                params["dump"],
                params["felix_environment"],
            )
    except (BadInput, NodeError) as refused:
        module.fail_json(msg=str(refused))
    else:
        module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
