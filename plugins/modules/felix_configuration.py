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
  - Writes the fields of a FelixConfiguration that concern host protection, and no other. A list is
    replaced as a whole.
  - Refuses, before anything is written, an entry that the API would take and that Felix would not start with.
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
  idempotent:
    support: full
options:
  node:
    description: Name of the node to set them for. Empty for all nodes (the FelixConfiguration C(default)).
    type: str
    default: ""
  failsafe_inbound_host_ports:
    description:
      - Ports of the node that stay open whatever any policy says. Left as they are unless given.
      - An empty list means none at all.
    type: list
    elements: dict
    suboptions: &entry
      protocol:
        description: V(TCP) or V(UDP), in any case of letters. Felix does not start with another one.
        type: str
        required: true
      port:
        description: 1 to 65535.
        type: int
        required: true
      net:
        description: Only from (outbound - to) this network, for example V(192.0.2.0/24).
        type: str
  failsafe_outbound_host_ports:
    description: Ports elsewhere that the node can always reach, as O(failsafe_inbound_host_ports).
    type: list
    elements: dict
    suboptions: *entry
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
- name: Keep SSH open to the bastion hosts only
  hostfence.calico.felix_configuration:
    failsafe_inbound_host_ports:
      - {protocol: TCP, port: 22, net: 192.0.2.0/28}
      - {protocol: TCP, port: 6443}
      - {protocol: UDP, port: 68}
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
    - Vital flows that are denied afterwards, each with O(accept_denied)'s name of its kind and the verdict.
  returned: always
  type: list
  elements: dict
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.felix.configuration import (
    Wanted,
    wanted_spec,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import felix_configuration, reach
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_ENTRY: dict[str, Any] = {
    "protocol": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "net": {"type": "str"},
}
OPTIONS: dict[str, Any] = {
    "node": {"type": "str", "default": ""},
    "failsafe_inbound_host_ports": {"type": "list", "elements": "dict", "options": _ENTRY},
    "failsafe_outbound_host_ports": {"type": "list", "elements": "dict", "options": _ENTRY},
    "dns_trusted_servers": {"type": "list", "elements": "str"},
    "flow_logs_enable_host_endpoint": {"type": "bool"},
    **reach.OPTIONS,
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    params = module.params
    wanted = Wanted(
        params["node"],
        _given(params["failsafe_inbound_host_ports"]),
        _given(params["failsafe_outbound_host_ports"]),
        params["dns_trusted_servers"],
        params["flow_logs_enable_host_endpoint"],
    )
    spec = wanted_spec(wanted)
    outcome = felix_configuration.write(cluster, wanted.name, spec, module.params, module.check_mode)
    outcome.ahead.warn(module)
    for field in outcome.unknown_fields:
        module.warn(f"this cluster's API does not know FelixConfiguration.spec.{field}; it was left out")
    for field, value in spec.items():
        if value == []:
            module.warn(f"{field} is empty: no port stays open when a policy is wrong")
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


def _given(entries: Any) -> Any:
    """Entries without the options that were not set."""
    if entries is None:
        return None
    return [{name: value for name, value in entry.items() if value is not None} for entry in entries]


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
