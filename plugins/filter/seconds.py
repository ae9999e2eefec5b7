# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: seconds
short_description: A duration in seconds
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Reads durations such as V(10m), V(1d12h) and V(2w); a number is taken for seconds.
options:
  _input:
    description: The duration.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Wait for as long
  ansible.builtin.wait_for:
    timeout: "{{ audit_window | hostfence.calico.seconds }}"
"""

RETURN = r"""
_value:
  description: The number of seconds.
  type: int
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.duration import seconds
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput


def _filter(value: object) -> int:
    try:
        return seconds(value, "duration")
    except BadInput as refused:
        raise AnsibleFilterError(str(refused)) from None


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"seconds": _filter}
