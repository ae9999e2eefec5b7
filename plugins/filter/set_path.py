# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: set_path
short_description: Where the file or directory of a policy set is
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Looks beside the inventories, then in the working directory.
options:
  _input:
    description: The path as it was given.
    type: str
    required: true
  inventories:
    description: Files or directories of inventories.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Find a set
  ansible.builtin.debug:
    msg: "{{ 'policies/edge' | hostfence.calico.set_path(ansible_inventory_sources) }}"
"""

RETURN = r"""
_value:
  description: An absolute path.
  type: str
"""

import os
from collections.abc import Sequence
from typing import Any, Callable

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.variables import set_path


def _filter(path: str, inventories: Sequence[str]) -> str:
    return set_path(path, inventories, os.getcwd())


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"set_path": _filter}
