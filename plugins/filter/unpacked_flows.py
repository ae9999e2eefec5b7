# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: unpacked_flows
short_description: The flows of a node as JSON
version_added: 0.3.0
author: The Hostfence founders (@hostfence)
description:
  - Makes the JSON of RV(hostfence.calico.node_flows#module:flows), the document that
    M(hostfence.calico.flow_files) keeps in a file.
options:
  _input:
    description: What M(hostfence.calico.node_flows) returned as C(flows).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Which gaps has the window?
  ansible.builtin.debug:
    msg: "{{ (observed.flows | hostfence.calico.unpacked_flows | from_json).window.gaps }}"
"""

RETURN = r"""
_value:
  description: The document C(hostfence.flows/1) as JSON.
  type: str
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.packing import unpack


def _filter(value: object) -> str:
    try:
        return unpack(str(value))
    except ValueError as refused:
        raise AnsibleFilterError(f"flows: {refused}") from None


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unpacked_flows": _filter}
