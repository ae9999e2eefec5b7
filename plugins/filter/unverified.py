# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: unverified
short_description: Nodes that policy governs and whose failsafes were not seen in their kernels
version_added: 0.3.0
author: The Hostfence founders (@hostfence)
description:
  - Goes by what was seen of each node, never by which hosts Ansible still counts as alive.
options:
  _input:
    description: Names of the nodes that policy is going to govern, C(governed) of module plan.
    type: list
    elements: str
    required: true
  verified:
    description: Names of the nodes whose failsafes were seen in this run.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Every node's failsafes must have been seen in its kernel
  ansible.builtin.assert:
    that: plan_made.governed | hostfence.calico.unverified(plan_verified) | length == 0
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

from collections.abc import Iterable
from typing import Any, Callable

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.gates import unverified


def _filter(governed: Iterable[str], verified: Iterable[str]) -> list[str]:
    return list(unverified(governed, frozenset(verified)))


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unverified": _filter}
