#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: felix_configuration
short_description: Set Felix's failsafe ports, for all nodes or for one
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Writes the fields of a FelixConfiguration that concern host protection, and no other. Of a list of
    failsafes, single entries can be added, narrowed and removed.
  - Refuses, before anything is written, an entry that the API would take and that Felix would not start with.
  - A change of the lists holds the Lease C(kube-system/hostfence); a run that finds another one at work says
    who it is, and writes nothing.
  - A change makes every Felix it reaches restart, which takes a few seconds; the kernel's rules stay
    meanwhile.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.reach
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
    description: The API checks the change in a dry run.
  diff_mode:
    support: full
    description: Shows the fields of these options only.
options:
  node:
    description: Name of the node to set them for. Empty for all nodes (the FelixConfiguration C(default)).
    type: str
    default: ""
  failsafe_inbound_host_ports:
    description:
      - Ports of the node that stay open whatever any policy says, as a whole list. Left as they are
        unless given.
      - Each entry is a dictionary with C(protocol) (V(TCP) or V(UDP) in any case of letters, since Felix does
        not start with another one), C(port) (1 to 65535) and, if only some may come in, C(net), for example
        V(192.0.2.0/24). The net is read by the rules of Go's C(net.ParseCIDR).
      - An empty list means none at all, which leaves SSH, the API server and Typha to policy alone.
      - The list replaces Felix's built-in one. Ports of that which it leaves out are warned of.
    type: list
    elements: raw
  failsafe_inbound_add:
    version_added: 0.3.0
    description:
      - Entries to put into the list that applies now, which otherwise stays as it is. Without a list in the
        API that is Felix's built-in one.
      - To narrow a port to a network, add it with its C(net) and name it in O(failsafe_inbound_remove) too.
    type: list
    elements: raw
    default: []
  failsafe_inbound_remove:
    version_added: 0.3.0
    description:
      - Entries to take out of the list that applies now. One without C(net) takes out all entries of its
        port, except those that O(failsafe_inbound_add) names.
    type: list
    elements: raw
    default: []
  failsafe_outbound_host_ports:
    description: Ports elsewhere that the node can always reach, as O(failsafe_inbound_host_ports).
    type: list
    elements: raw
  failsafe_outbound_add:
    version_added: 0.3.0
    description: As O(failsafe_inbound_add), of O(failsafe_outbound_host_ports).
    type: list
    elements: raw
    default: []
  failsafe_outbound_remove:
    version_added: 0.3.0
    description: As O(failsafe_inbound_remove), of O(failsafe_outbound_host_ports).
    type: list
    elements: raw
    default: []
  dns_trusted_servers:
    description:
      - DNS servers whose answers Felix trusts. Left out with a warning where the API does not know the
        field.
    type: list
    elements: str
  flow_logs_enable_host_endpoint:
    description:
      - Whether flows of host endpoints are logged. Left out with a warning where the API does not know
        the field.
    type: bool
"""

EXAMPLES = r"""
- name: Keep SSH open to the bastion hosts only, and all other failsafes as they are
  hostfence.calico.felix_configuration:
    failsafe_inbound_add:
      - {protocol: TCP, port: 22, net: 192.0.2.0/28}
    failsafe_inbound_remove:
      - {protocol: TCP, port: 22}

- name: Keep SSH open on another port, too, on one node
  hostfence.calico.felix_configuration:
    node: worker-17
    failsafe_inbound_add:
      - {protocol: TCP, port: 2222}
"""

RETURN = r"""
name:
  description: Name of the FelixConfiguration.
  returned: always
  type: str
fields:
  description: What was, or in check mode would be, written.
  returned: always
  type: dict
unknown_fields:
  description: Fields that this cluster's API does not know, and that were left out.
  returned: always
  type: list
  elements: str
decides:
  description: Whether the change has a part in what is enforced, so that it was judged.
  returned: always
  type: bool
obstacles:
  description:
    - Connections that are not plainly allowed afterwards, each with the verdict as
      M(hostfence.calico.flow_verdict) returns it. Empty where the change decides nothing.
  returned: always
  type: list
  elements: dict
losses:
  description:
    - Vital flows that are denied afterwards, or may be (V(undetermined), which is a warning), each with
      O(accept_denied)'s name of its kind and the verdict.
  returned: always
  type: list
  elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.cluster import felix_configuration, reach
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {**felix_configuration.OPTIONS, **reach.OPTIONS}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    wanted = felix_configuration.wanted_of(module.params)
    outcome = felix_configuration.write(cluster, wanted, module.params, module.check_mode)
    outcome.ahead.warn(module)
    for field in outcome.unknown_fields:
        module.warn(f"this cluster's API does not know FelixConfiguration.spec.{field}; it was left out")
    for remark in outcome.remarks:
        module.warn(remark)
    result: dict[str, Any] = {
        "changed": bool(outcome.fields),
        "name": wanted.name,
        "fields": outcome.fields,
        "unknown_fields": outcome.unknown_fields,
        **outcome.ahead.result(),
    }
    if module._diff:
        result["diff"] = {
            "before": {field: outcome.before.get(field) for field in outcome.fields},
            "after": outcome.fields,
        }
    return result


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
