# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    """What all modules of a transaction take."""

    DOCUMENTATION = r"""
options:
  nodes:
    description:
      - How the nodes are logged in to, each time over a new connection of OpenSSH that the module opens
        itself.
      - Without any, no kernel is looked at, and the proof is what the API server tells.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description: Name of the Node.
        type: str
        required: true
      host:
        description: Address or name to connect to; by default O(nodes[].node).
        type: str
        default: ""
      port:
        description: Port; by default OpenSSH's.
        type: int
      user:
        description: User; by default OpenSSH's.
        type: str
        default: ""
      private_key_file:
        description: File with the private key.
        type: str
        default: ""
      connection:
        description: Ansible's name of the connection that the node is used with.
        type: str
        default: ssh
      executable:
        description: The program.
        type: str
        default: ssh
      ssh_args:
        description: >-
          Further arguments of the program, as C(ansible_ssh_args), C(ansible_ssh_common_args) and
          C(ansible_ssh_extra_args) have them.
        type: str
        default: ""
      python:
        description: Python of the node, 3.9 or later.
        type: str
        default: python3
      become:
        description: Whether to become root with C(sudo -n).
        type: bool
        default: false
  settle:
    description: Seconds within which Felix sees a write, where no node can be looked at.
    type: float
    default: 1
"""
