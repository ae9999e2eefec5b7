# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: network
short_description: Whether Calico reads a text as a network
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - True for an address or a CIDR, IPv4 or IPv6. What Calico cannot read it leaves out, and a rule with such
    sources only would fit everybody.
options:
  _input:
    description: The text.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: All sources are networks
  ansible.builtin.assert:
    that: sources | reject('hostfence.calico.network') | length == 0
"""

RETURN = r"""
_value:
  description: Whether it is one.
  type: bool
"""

from typing import Callable

from ansible_collections.hostfence.calico.plugins.module_utils.calico.address import parse_net


def _is_network(value: object) -> bool:
    return parse_net(value) is not None


class TestModule:
    """Tests of this file."""

    def tests(self) -> dict[str, Callable[[object], bool]]:
        return {"network": _is_network}
