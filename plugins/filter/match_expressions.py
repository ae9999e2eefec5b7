# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: match_expressions
short_description: A label selector as matchExpressions
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Turns a Kubernetes label selector, as C(kubectl -l) takes it, into the list that a node affinity takes.
options:
  _input:
    description: The label selector; empty for all.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: The nodes of one zone that do not run Windows
  ansible.builtin.debug:
    msg: "{{ 'zone=a,kubernetes.io/os!=windows' | hostfence.calico.match_expressions }}"
"""

RETURN = r"""
_value:
  description: One requirement each, with C(key), C(operator) and, for most operators, C(values).
  type: list
  elements: dict
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.node_selector import match_expressions


def _filter(selector: str) -> list[dict[str, Any]]:
    try:
        return match_expressions(selector)
    except BadInput as refused:
        raise AnsibleFilterError(str(refused))


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"match_expressions": _filter}
