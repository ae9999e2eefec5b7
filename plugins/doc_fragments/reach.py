# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    # Of every module whose change may decide who comes in.
    DOCUMENTATION = r"""
options:
  reach:
    description:
      - Whether to refuse, before anything is written, a change that would deny a connection of O(logins), or
        the one to the API that this module itself uses, or what nodes and their cluster live by, such as the
        kubelet's port. All are judged as new connections, under the policy that is enforced then and with the
        failsafes that each node has.
      - What was denied before, or is not certain, is a warning.
    type: bool
    default: true
  logins:
    description:
      - How this machine logs in to nodes. For others that have a HostEndpoint, port 22 of their addresses is
        judged, and a warning says so.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description: Name of the node.
        type: str
        required: true
      reached:
        description: Whether it could be logged in to just now. It makes no difference here.
        type: bool
        default: true
      ssh_connection:
        description:
          - What C(SSH_CONNECTION) holds in a session there - the addresses and ports of both ends as the node
            sees them.
          - If empty, the node is taken to see the address that others see, else the one that this machine has
            towards O(logins[].host).
        type: str
        default: ""
      host:
        description: Address or name that is connected to.
        type: str
        default: ""
      port:
        description: Port that is connected to.
        type: int
        default: 22
  uses:
    description:
      - What was found out on nodes, as RV(hostfence.calico.failsafe_info#module:uses) returns it. For nodes
        that were not looked at, the cluster's objects say what they depend on.
    type: list
    elements: dict
    default: []
  networks:
    description:
      - Networks that policy is made of. It is refused where those of O(networks.nodes) hold no Node of the
        cluster, or those of O(networks.cluster) no pods.
    type: dict
    default: {}
    suboptions:
      nodes:
        description: Networks of nodes.
        type: list
        elements: str
        default: []
      cluster:
        description: Networks of pods and services.
        type: list
        elements: str
        default: []
      ssh:
        description: Networks from which administrators log in, judged like O(logins).
        type: list
        elements: str
        default: []
      ssh_port:
        description: Port on which they do.
        type: int
        default: 22
  accept_denied:
    description:
      - Kinds of vital flows that may be denied - V(ssh) from O(networks.ssh), V(api), V(kubelet), V(etcd),
        V(typha), V(overlay), V(bgp), V(dns), V(ntp), V(pods), V(neighbour-discovery), V(loopback), and
        V(controller) for this machine's own way out where it is a node.
    type: list
    elements: str
    default: []
"""
