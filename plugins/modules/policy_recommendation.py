#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_recommendation
short_description: Make a policy set from what nodes were seen to do
version_added: 0.2.0
author: The Hostfence founders (@hostfence)
description:
  - Makes a set of Calico policies - one tier that ends in Deny - that allows what
    M(hostfence.calico.node_flows) observed, and what the platform needs whether it was seen or not.
  - Every rule carries its evidence. A rule allows what was seen on any host that O(selector) selects.
  - The set is judged against the same flows before it is returned; RV(denied) is how many it denies.
  - Forwarded traffic is left to the policy of pods.
  - Writes nothing. Put RV(yaml) into a file and read it before you stage it.
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
  tier:
    description: Name of the set's tier.
    type: str
    default: observed
  selector:
    description: Which HostEndpoints the set selects.
    type: str
    default: host-endpoint == 'ingress'
  control_plane_selector:
    description: Which of them are control-plane hosts.
    type: str
    default: has(node-role.kubernetes.io/control-plane)
  directions:
    description: What the set governs. A direction that is left out stays open.
    type: list
    elements: str
    choices: [Ingress, Egress]
    default: [Ingress]
  generalise:
    description: >-
      How much wider than what was seen a rule may be - V(none), V(subnet) for /24 and /64, or V(label) for a
      selector where HostEndpoints, pods or network sets have all the addresses, and as V(subnet) elsewhere.
    type: str
    choices: [none, subnet, label]
    default: none
  platform:
    description: Whose required flows the set allows in any case.
    type: str
    choices: [aks, eks, gardener, gke, k3s, kubeadm, openshift, rke2]
    default: kubeadm
  node_cidrs:
    description: Networks of the nodes. By default the addresses of the Nodes.
    type: list
    elements: str
  cluster_cidrs:
    description: Networks of pods. By default those of the address pools and the Nodes.
    type: list
    elements: str
  ssh_sources:
    description: Networks that may log in, seen or not.
    type: list
    elements: str
    default: []
  ssh_port:
    description: Port of the SSH servers.
    type: int
    default: 22
  anonymise:
    description: Replace addresses in RV(message) by hashes. The set itself names them.
    type: bool
    default: false
seealso:
  - module: hostfence.calico.flow_audit
"""

EXAMPLES = r"""
- name: Make a set of what was seen in a week
  hostfence.calico.policy_recommendation:
    flows: audit/flows
    ssh_sources: [10.0.9.0/24]
  register: recommended
  failed_when: recommended.denied > 0

- name: Keep it
  ansible.builtin.copy:
    content: "{{ recommended.yaml }}"
    dest: policies/observed.yml
    mode: "0644"
"""

RETURN = r"""
yaml:
  description: The set as YAML documents.
  returned: always
  type: str
objects:
  description: The same as a list.
  returned: always
  type: list
  elements: dict
denied:
  description: How many of the observed flows the set would deny. 0 unless something was left out.
  returned: always
  type: int
left_out:
  description: What was seen and is in no rule, and why.
  returned: always
  type: list
  elements: str
message:
  description: What the set would do to the same flows, in words.
  returned: always
  type: list
  elements: str
"""

import datetime
import math
import secrets
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import with_candidate
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import Enough
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.labelled import Labelled
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.peers import GENERALISE, NONE
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.recommend import (
    Recommendation,
    WantedSet,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.remedy import RemedyOptions
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.report import Asked, conclude
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PLATFORMS,
    PlatformNetworks,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
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
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_files import as_yaml
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.surroundings import (
    node_networks,
    pod_networks,
)

LIST: dict[str, Any] = {"type": "list", "elements": "str"}
OPTIONS: dict[str, Any] = {
    "flows": {"type": "path", "required": True},
    "tier": {"type": "str", "default": "observed"},
    "selector": {"type": "str", "default": "host-endpoint == 'ingress'"},
    "control_plane_selector": {"type": "str", "default": "has(node-role.kubernetes.io/control-plane)"},
    "directions": {**LIST, "choices": ["Ingress", "Egress"], "default": ["Ingress"]},
    "generalise": {"type": "str", "choices": list(GENERALISE), "default": NONE},
    "platform": {"type": "str", "choices": sorted(PLATFORMS), "default": "kubeadm"},
    "node_cidrs": LIST,
    "cluster_cidrs": LIST,
    "ssh_sources": {**LIST, "default": []},
    "ssh_port": {"type": "int", "default": 22},
    "anonymise": {"type": "bool", "default": False},
    **SOURCE_OPTIONS,
}
ROWS = 1000


def work(params: dict[str, Any]) -> dict[str, Any]:
    paths = flow_documents.files(params["flows"])
    judged = gather(params, "compare", with_pods=True)
    around = PlatformNetworks(
        nodes=tuple(params["node_cidrs"] or node_networks(judged.objects)),
        cluster=tuple(params["cluster_cidrs"] or pod_networks(judged.objects)),
        ssh=tuple(params["ssh_sources"]),
        ssh_port=params["ssh_port"],
    )
    recommendation = Recommendation(
        WantedSet(
            params["tier"],
            params["selector"],
            params["control_plane_selector"],
            params["generalise"],
            tuple(params["directions"]),
            params["platform"],
            around,
        ),
        Labelled(read(judged.objects, judged.options.native_v3)),
    )
    for document in flow_documents.documents(paths):
        recommendation.add(document)
    objects = recommendation.objects()
    audit = Audit(with_candidate(judged.objects, objects), judged.options, judged.dataplanes, judged.nodes)
    flow_judging.judge(audit, paths)
    # What is proposed is proved on what there is, however little and old.
    whatever = Enough(0, math.inf, datetime.datetime.now(tz=datetime.timezone.utc))
    wishes, salt = RemedyOptions(params["generalise"], {}), secrets.token_hex(8)
    proof = conclude(audit, Asked(wishes, (), whatever, ROWS, params["anonymise"], salt))
    return {
        "changed": False,
        "objects": objects,
        "yaml": as_yaml(objects),
        "denied": proof["counts"]["would_deny"] + proof["counts"]["established_only"],
        "left_out": recommendation.left_out,
        "message": proof["message"],
    }


def main() -> None:
    ansible = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, **OPTIONS}, supports_check_mode=True, **SOURCE_RULES
    )
    module.conclude(ansible, lambda: work(ansible.params))


if __name__ == "__main__":
    main()
