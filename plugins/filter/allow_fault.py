# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: allow_fault
short_description: What is wrong in a list of ports that are to be reachable
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Reads the list as the filter allow_policies does.
options:
  _input:
    description: Entries as of filter allow_policies.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: The list can be read
  ansible.builtin.assert:
    that: (policies_allow | hostfence.calico.allow_fault) == ''
"""

RETURN = r"""
_value:
  description: The first fault, or nothing.
  type: str
"""

from typing import Any, Callable

from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput


def _filter(entries: object) -> str:
    # Imported here: Ansible loads all filters of a collection in each process that asks for one.
    from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.allow import policies

    try:
        policies(entries, "", "policies_allow")
    except BadInput as refused:
        return str(refused)
    return ""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"allow_fault": _filter}
