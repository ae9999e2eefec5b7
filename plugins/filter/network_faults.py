# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: network_faults
short_description: What in lists of networks is none
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Looks at every entry of lists of networks, as a rule of a Calico policy takes them.
options:
  _input:
    description: Lists by their names.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: No list holds a bare address
  ansible.builtin.assert:
    that: "{'sources': sources} | hostfence.calico.network_faults | length == 0"
"""

RETURN = r"""
_value:
  description: One message for each, with name, place, value and what to write.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any, Callable


def _filter(lists: Mapping[str, object]) -> list[str]:
    # Imported here: Ansible loads all filters of a collection in each process that asks for one.
    from ansible_collections.hostfence.calico.plugins.module_utils.cluster.variables import network_faults

    return network_faults(lists)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"network_faults": _filter}
