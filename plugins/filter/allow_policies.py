# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: allow_policies
short_description: Ports that are to be reachable, as policies
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Makes of each entry a policy that lets it past every shipped set of role policies.
options:
  _input:
    description: Entries with C(name), C(ports), C(sources), and if need be C(protocol) and C(nodes).
    type: list
    required: true
  selector:
    description: Selector of the HostEndpoints that the shipped sets select.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: What lets the monitoring in
  ansible.builtin.debug:
    msg: "{{ [{'name': 'metrics', 'ports': [9100], 'sources': ['192.0.2.0/24']}]
             | hostfence.calico.allow_policies('all()') }}"
"""

RETURN = r"""
_value:
  description: GlobalNetworkPolicies.
  type: list
  elements: dict
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput


def _filter(entries: object, selector: str) -> list[dict[str, Any]]:
    # Imported here: Ansible loads all filters of a collection in each process that asks for one.
    from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.allow import policies

    try:
        return policies(entries, selector, "policies_allow")
    except BadInput as refused:
        raise AnsibleFilterError(str(refused))


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"allow_policies": _filter}
