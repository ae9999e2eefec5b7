# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: misspelt
short_description: Variables that look like one of this collection and are none
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Looks for names that are nearly those of a variable of one of its roles.
options:
  _input:
    description: Names of variables.
    type: list
    required: true
"""

EXAMPLES = r"""
- name: Name what is misspelt in the inventory
  ansible.builtin.debug:
    msg: "{{ query('ansible.builtin.varnames', '^(host|felix|polic)') | hostfence.calico.misspelt }}"
"""

RETURN = r"""
_value:
  description: One message for each, with the name that was probably meant.
  type: list
  elements: str
"""

from collections.abc import Iterable
from typing import Any, Callable


def _filter(names: Iterable[str]) -> list[str]:
    # Imported here: Ansible loads all filters of a collection in each process that asks for one.
    from ansible_collections.hostfence.calico.plugins.module_utils.cluster.variables import misspelt

    return misspelt(names)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"misspelt": _filter}
