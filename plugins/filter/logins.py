# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: logins
short_description: How hosts are logged in to, for the modules that log in themselves
version_added: 0.3.0
author: The Hostfence founders (@hostfence)
description:
  - Reads the variables of each host that Ansible's ssh connection reads, and its configuration.
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Variables of all hosts.
    type: dict
    required: true
  programs:
    description: Whether Python programs are to be run there, as M(hostfence.calico.enforce) does.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Every node still takes new logins
  hostfence.calico.prove:
    nodes: "{{ groups['nodes'] | hostfence.calico.logins(hostvars) }}"
"""

RETURN = r"""
_value:
  description: >-
    What M(hostfence.calico.prove) takes as C(nodes); with O(programs) what M(hostfence.calico.enforce) does.
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible import constants
from ansible_collections.hostfence.calico.plugins.module_utils.controller.inventory_logins import logins_of


def _filter(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], programs: bool = False
) -> list[dict[str, Any]]:
    return logins_of(hosts, hostvars, _configured(), programs=programs)


def _configured() -> dict[str, str]:
    named = {
        name: constants.config.get_config_value(name, plugin_type="connection", plugin_name="ssh")
        for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")
    }
    return {**named, "remote_user": constants.config.get_config_value("DEFAULT_REMOTE_USER") or ""}


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"logins": _filter}
