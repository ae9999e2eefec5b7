#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: leftovers_info
short_description: List everything of this collection that is in a cluster
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Finds objects by the label C(app.kubernetes.io/managed-by=hostfence), and Calico's automatic
    HostEndpoints if this collection switched them on. Objects that are being deleted are left out.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
seealso:
  - module: hostfence.calico.policies_absent
"""

EXAMPLES = r"""
- name: See what is there
  hostfence.calico.leftovers_info:
  register: left

- name: Show what a teardown would take away
  ansible.builtin.debug:
    msg: "{{ left.objects | rejectattr('kept_by') | map(attribute='name') | list }}"

- name: Show what it leaves, and for whose sake
  ansible.builtin.debug:
    msg: "{{ left.objects | selectattr('kept_by') | items2dict(key_name='name', value_name='kept_by') }}"
"""

RETURN = r"""
objects:
  description: Objects that Hostfence made - policy first, then HostEndpoints, then access.
  returned: always
  type: list
  elements: dict
  contains: &object
    api_version:
      description: Group and version.
      type: str
    kind:
      description: Kind.
      type: str
    name:
      description: Name.
      type: str
    namespace:
      description: Namespace; empty for a cluster-wide kind.
      type: str
    kept_by:
      description: What others have in it - in a namespace, or under a definition - so that it should stay.
      type: list
      elements: str
definitions:
  description: CustomResourceDefinitions that the role crds made.
  returned: always
  type: list
  elements: dict
  contains: *object
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.cluster import flavour, leftovers
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def work(_module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    return {
        "changed": False,
        "objects": [asdict(found) for found in leftovers.find(cluster, flavour.detect(cluster))],
        "definitions": [asdict(found) for found in leftovers.definitions(cluster)],
    }


def main() -> None:
    run({}, work)


if __name__ == "__main__":
    main()
