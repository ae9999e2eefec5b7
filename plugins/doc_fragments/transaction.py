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
        description: Address or name to log in to.
        type: str
        required: true
      port:
        description: Port of its SSH server.
        type: int
      user:
        description: User to log in as.
        type: str
      args:
        description: Further arguments of C(ssh), as one text.
        type: str
        default: ""
      key:
        description: File of the private key.
        type: path
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
