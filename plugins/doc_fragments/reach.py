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
        the one to the API that this module itself uses. They are judged as new connections, under the
        policy that is enforced then.
      - What cannot be told for sure is a warning that says the assumption.
    type: bool
    default: true
  logins:
    description: How this machine logs in to nodes.
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
"""
