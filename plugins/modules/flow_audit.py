#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: flow_audit
short_description: Tell what staged policies would do to the traffic that nodes really have
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Judges the flows that M(hostfence.calico.node_flows) observed, now and with the staged policies enforced,
    and groups what changes - what would be denied, from where, at which nodes, by which rule, and the
    smallest rule that would allow it.
  - Files are read one at a time, by as many processes as there are cores, and rows are kept, not flows.
  - RV(gate) says whether the policies may be enforced - V(pass), V(fail), or V(inconclusive) where too little
    was seen to say so.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.attributes
  - hostfence.calico.attributes.reads
  - hostfence.calico.attributes.cluster
  - hostfence.calico.judged_objects
options:
  flows:
    description: A file with RV(hostfence.calico.node_flows#module:flows) as JSON, or a directory of them.
    type: path
    required: true
  candidate:
    description:
      - A YAML file or directory of policies that are not in the cluster yet. They are judged as if they were
        staged.
    type: path
  writes:
    description:
      - Writes that are to be judged in place of what is staged, each with C(kind), C(name) and the whole
        C(object), or none where it is deleted - RV(hostfence.calico.plan#module:policy_writes), for example.
      - Where they change nothing that is enforced, the gate passes.
    type: list
    elements: dict
  generalise:
    description:
      - How much wider than what was seen a remedy may be - V(none), V(subnet) for /24 and /64, or
        V(label) for a selector where HostEndpoints, pods or network sets have all the addresses, and as
        V(subnet) elsewhere.
    type: str
    choices: [none, subnet, label]
    default: none
  variables:
    description:
      - Values of the variables of role P(hostfence.calico.policies#role), so that remedies can name what to
        add to them.
    type: dict
    default: {}
  min_window:
    description: >-
      How long each node has to be watched for - V(10m), V(12h), V(1d), V(2w), or seconds. A shorter window
      makes the gate inconclusive.
    type: str
    default: 1d
  max_age:
    description:
      - How long ago a node's last window may have ended, as O(min_window). An older one makes the gate
        inconclusive, as the traffic of today may be another.
    type: str
    default: 4w
    version_added: 0.3.0
  accepted:
    description:
      - What is known to be denied and accepted. Each entry has C(reason) and C(until) (YYYY-MM-DD, that day
        included), and at least one of C(direction), C(protocol), C(port), C(peer) (a CIDR) and C(node);
        C(group) limits it to one group of RV(rows), or to V(unseen), what O(platform) needs.
    type: list
    elements: dict
    default: []
  platform:
    description:
      - Also judge what hosts of this platform need, whether it was seen or not. What would be denied fails
        the gate.
    type: str
    choices: [aks, eks, gardener, gke, k3s, kubeadm, openshift, rke2]
  max_rows:
    description: The most rows that are returned, worst first. All are counted.
    type: int
    default: 1000
  anonymise:
    description:
      - Replace addresses in the result by hashes, which are the same throughout one result.
        Remedies are of no use then.
    type: bool
    default: false
seealso:
  - module: hostfence.calico.node_flows
  - module: hostfence.calico.flow_verdict
"""

EXAMPLES = r"""
- name: What would the staged policies deny?
  hostfence.calico.flow_audit:
    flows: audit/flows
  register: audited

- name: Show it
  ansible.builtin.debug:
    var: audited.message

- name: Judge a directory that is in no cluster yet, and accept what is known
  hostfence.calico.flow_audit:
    flows: audit/flows
    candidate: policies/
    min_window: 1w
    accepted:
      - protocol: tcp
        port: 9999
        reason: The old backup agent, which is switched off at the end of the year.
        until: "2026-12-31"
"""

RETURN = r"""
gate:
  description: V(pass), V(fail) or V(inconclusive).
  returned: always
  type: str
reasons:
  description: >-
    Why it fails or is inconclusive; of what would be denied the three biggest, and in any case the nodes
    of which O(flows) has only what an earlier audit left.
  returned: always
  type: list
  elements: str
message:
  description: The whole in words.
  returned: always
  type: list
  elements: str
counts:
  description: Distinct flows of each group; C(allow) and C(deny) are those that nothing changes for.
  returned: always
  type: dict
rows:
  description: Flows that get the same answers for the same reasons, worst first.
  returned: always
  type: list
  elements: dict
  contains:
    group:
      description: >-
        V(would_deny), V(established_only), V(unknown), V(allowed_only_by_failsafe) or V(would_allow).
      type: str
    text:
      description: The row in words.
      type: str
    peers:
      description: Networks that hold the peers.
      type: list
      elements: str
    peer_names:
      description: Names of some of the peers - nodes, pods, services, network sets, the API, DNS, NTP.
      type: list
      elements: str
    services:
      description: Services by whose address or NodePort connections came, before DNAT.
      type: list
      elements: str
    assumptions:
      description: Of what is V(unknown), what it depends on and what would tell.
      type: list
      elements: str
    now:
      description: C(verdict), C(reason_code) and C(decided_by) of today.
      type: dict
    then:
      description: The same with the candidate enforced.
      type: dict
    remedy:
      description: >-
        C(text), and C(variable) with C(add) (networks, or for C(policies_allow) an entry), or C(policies) and
        the same as C(yaml).
      type: dict
unseen:
  description: >-
    Flows that O(platform) needs and that the candidate would deny, seen or not, without those in O(accepted).
  returned: always
  type: list
  elements: str
rows_left_out:
  description: How many rows O(max_rows) left out.
  returned: always
  type: int
nodes:
  description: How many nodes gave data.
  returned: always
  type: int
accepted:
  description: How many rows, and flows that O(platform) needs, O(accepted) covers.
  returned: always
  type: int
expired:
  description: Entries of O(accepted) that have ended.
  returned: always
  type: list
  elements: str
origin:
  description: Where the objects came from.
  returned: always
  type: str
"""

import datetime
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import (
    is_change,
    with_candidate,
    with_writes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.duration import seconds
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import (
    Enough,
    parse_accepted,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.peers import GENERALISE
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import RemedyOptions
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import Asked, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.required import (
    RequiredPacket,
    packets,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PLATFORMS,
    PlatformNetworks,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (
    flow_documents,
    flow_judging,
    module,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import CONNECTION_OPTIONS
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.judged_objects import (
    SOURCE_OPTIONS,
    SOURCE_RULES,
    gather,
    objects_of,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_files import as_yaml
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.surroundings import (
    node_networks,
    pod_networks,
)

OPTIONS: dict[str, Any] = {
    "flows": {"type": "path", "required": True},
    "candidate": {"type": "path"},
    "writes": {"type": "list", "elements": "dict"},
    "generalise": {"type": "str", "choices": list(GENERALISE), "default": "none"},
    "variables": {"type": "dict", "default": {}},
    "min_window": {"type": "str", "default": "1d"},
    "max_age": {"type": "str", "default": "4w"},
    "accepted": {"type": "list", "elements": "dict", "default": []},
    "platform": {"type": "str", "choices": sorted(PLATFORMS)},
    "max_rows": {"type": "int", "default": 1000},
    "anonymise": {"type": "bool", "default": False},
    **SOURCE_OPTIONS,
}


def _candidate(
    objects: Iterable[Mapping[str, Any]], params: dict[str, Any]
) -> list[Mapping[str, Any]] | None:
    """The objects once what is asked about is enforced, or None where only what is staged changes."""
    if params["writes"] is not None:
        for index, write in enumerate(params["writes"]):
            if not {"kind", "name", "object"} <= write.keys():
                raise BadInput(f"writes[{index}]", write, "a write has kind, name and object")
        return with_writes(objects, params["writes"])
    if params["candidate"]:
        return with_candidate(objects, objects_of(params["candidate"]))
    return None


def work(params: dict[str, Any]) -> dict[str, Any]:
    accepted = parse_accepted(params["accepted"])
    paths = flow_documents.files(params["flows"])
    judged = gather(params, "compare", with_pods=True, with_services=True)
    then = _candidate(judged.objects, params)
    audit = Audit(judged.objects, judged.options, judged.dataplanes, judged.nodes, then)
    flow_judging.judge(audit, paths)
    asked = Asked(
        RemedyOptions(params["generalise"], params["variables"]),
        accepted,
        Enough(
            seconds(params["min_window"], "min_window"),
            seconds(params["max_age"], "max_age"),
            datetime.datetime.now(tz=datetime.timezone.utc),
        ),
        max(params["max_rows"], 0),
        params["anonymise"],
        secrets.token_hex(8) if params["anonymise"] else "",
        params["writes"] is not None and not is_change(judged.objects, then or ()),
    )
    needed: Iterable[RequiredPacket] = ()
    if params["platform"]:
        around = PlatformNetworks(
            nodes=tuple(node_networks(judged.objects)), cluster=tuple(pod_networks(judged.objects))
        )
        needed = packets(params["platform"], around, audit.store)
    result = conclude(audit, asked, needed)
    for row in result["rows"]:
        if row["remedy"] and row["remedy"]["policies"]:
            row["remedy"]["yaml"] = as_yaml(row["remedy"]["policies"])
    return {"changed": False, **result, "origin": judged.origin}


def main() -> None:
    ansible = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, **OPTIONS}, supports_check_mode=True, **SOURCE_RULES
    )
    module.conclude(ansible, lambda: work(ansible.params))


if __name__ == "__main__":
    main()
