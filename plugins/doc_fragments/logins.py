# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

# As of OPTIONS in module_utils/controller/openssh.py.
_LOGIN = r"""
      node:
        description: Name in Kubernetes.
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
"""


class ModuleDocFragment:
    """How nodes are logged in to, for each kind of module that does."""

    # Annotated, because ansible-test takes what is plainly assigned here for a constant, and these are
    # composed. It checks them as part of the modules that they document.

    PLANNED: str = rf"""
options:
  nodes:
    description:
      - The nodes, and how to log in to them, as of M(hostfence.calico.prove). Where the plan changes what is
        enforced, or finds anything enforced, it logs in to all of them, at once, before it judges.
    type: list
    elements: dict
    default: []
    suboptions:{_LOGIN}"""

    PROVED: str = rf"""
options:
  nodes:
    description: The nodes, and how to log in to them.
    type: list
    elements: dict
    required: true
    suboptions:{_LOGIN}      policies:
        description: Names of policies that its kernel must hold before a login counts.
        type: list
        elements: str
        default: []
      absent_policies:
        description: Names of policies that it must hold no longer.
        type: list
        elements: str
        default: []
"""

    PROGRAMS: str = rf"""
options:
  nodes:
    description:
      - How the nodes are logged in to, each time over a new connection of OpenSSH that the module opens
        itself.
      - Without any, no kernel is looked at, and the proof is what the API server tells.
    type: list
    elements: dict
    default: []
    suboptions:{_LOGIN}      python:
        description: Python of the node, 3.9 or later.
        type: str
        default: python3
      become:
        description: Whether to become root with C(sudo -n).
        type: bool
        default: false
"""
