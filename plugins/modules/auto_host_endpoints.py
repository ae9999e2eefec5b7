#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: auto_host_endpoints
short_description: Let Calico's kube-controllers make every node a HostEndpoint
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Configures automatic HostEndpoints in C(KubeControllersConfiguration default), writing only what
    differs, and waits until kube-controllers says that it runs with that and every node has its
    HostEndpoints.
  - Says why it does not happen, where it does not - an environment variable that wins over the
    configuration, a Deployment that is down, the policy-name migrator of Calico 3.32 that waits for
    calico-node.
  - Refuses, before anything is written, what Calico would accept and misread.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.reach
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
    details: The API is asked for what it would store, and nothing is waited for.
  diff_mode:
    support: full
options:
  state:
    description:
      - V(enabled) makes them.
      - V(disabled) takes them away. Calico then deletes every HostEndpoint that carries its label
        C(projectcalico.org/created-by), also one made by hand.
      - V(absent) does so only where this module enabled them, and else takes away O(node_labels) alone.
    type: str
    choices: [enabled, disabled, absent]
    default: enabled
  create_default:
    description:
      - Whether each node gets C(<node>-auto-hep) on all its interfaces. Switching it off takes Calico
        3.30 or newer.
      - Not given, it stays as it is; Calico's own default is V(true).
    type: bool
  templates:
    description:
      - HostEndpoints in addition to, or instead of, the default one; takes Calico 3.30 or newer.
      - The list is replaced as a whole. Not given, it stays as it is.
    type: list
    elements: dict
    suboptions:
      generate_name:
        description: The HostEndpoint is named C(<node>-<generate_name>-auto-hep).
        type: str
        required: true
      interface_cidrs:
        description:
          - The HostEndpoint stands for the interfaces with those addresses of the node that lie in one
            of these networks. A node without such an address gets none.
        type: list
        elements: str
        default: []
      interface_pattern:
        description:
          - One HostEndpoint, C(<node>-<generate_name>-<interface>-auto-hep), for each interface whose
            name this regular expression is found in (C(^eth0$) for exactly one). Takes Calico 3.31 or newer.
        type: str
        default: ""
      labels:
        description: Labels put over the node's own.
        type: dict
        default: {}
      node_selector:
        description: Calico selector on the node's labels.
        type: str
        default: all()
  node_labels:
    description:
      - Labels put on the Node objects, because automatic HostEndpoints take over their node's labels and
        the default one gets them in no other way. Policies select hosts by them.
      - Those that this module put there and that are no longer named are taken off again, others never.
    type: dict
    default: {}
  node_selector:
    description: Kubernetes label selector of the nodes that get O(node_labels); empty for all.
    type: str
    default: ""
  allow_uncovered:
    description: Disable them even where a node is then left without any HostEndpoint.
    type: bool
    default: false
  wait:
    description: Wait until kube-controllers has followed.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds without any progress after which waiting ends. While HostEndpoints keep coming, it waits
        on; for nodes that join while it runs, kube-controllers makes about two a second.
    type: int
    default: 300
  progress:
    version_added: 0.3.0
    description: >-
      A file for how far the work is. The action plugin fills it in, and shows it every few seconds.
    type: path
seealso:
  - module: hostfence.calico.host_endpoints
  - name: Automatic HostEndpoints
    description: How this mode works, what can go wrong, and how to change to it and back.
    link: https://github.com/hostfence/hostfence.calico/blob/main/docs/auto-host-endpoints.md
"""

EXAMPLES = r"""
- name: Every node is a HostEndpoint that policies can select
  hostfence.calico.auto_host_endpoints:
    node_labels:
      host-endpoint: ingress

- name: Only the storage network of the storage nodes
  hostfence.calico.auto_host_endpoints:
    create_default: false
    templates:
      - generate_name: storage
        interface_cidrs: [10.20.0.0/16]
        labels:
          host-endpoint: storage
        node_selector: has(example.com/storage)

- name: No longer, now that the nodes have HostEndpoints of another kind
  hostfence.calico.auto_host_endpoints:
    state: disabled
"""

RETURN = r"""
enabled:
  description: Whether automatic HostEndpoints are configured now.
  returned: always
  type: bool
enabled_by_us:
  description: Whether this module enabled them.
  returned: always
  type: bool
nodes:
  description: Names of the cluster's nodes.
  returned: always
  type: list
  elements: str
  sample: [node1, node2]
host_endpoints:
  description: Names of the HostEndpoints that kube-controllers holds for its own.
  returned: always
  type: list
  elements: str
  sample: [node1-auto-hep, node2-auto-hep]
summary:
  description: How it stands, in one line.
  returned: always
  type: str
  sample: 2 of 2 nodes have an active HostEndpoint
findings:
  description: What the user should know.
  returned: always
  type: list
  elements: dict
  contains:
    message:
      description: What was seen.
      type: str
    remedy:
      description: What to do about it.
      type: str
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
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_auto import (
    Template,
    templates_of,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import reach
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.auto_host_endpoints import (
    Report,
    Request,
    Stalled,
    reconcile,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import Unfinished, run
from ansible_collections.hostfence.calico.plugins.module_utils.controller import progress

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["enabled", "disabled", "absent"], "default": "enabled"},
    "create_default": {"type": "bool"},
    "templates": {
        "type": "list",
        "elements": "dict",
        "options": {
            "generate_name": {"type": "str", "required": True},
            "interface_cidrs": {"type": "list", "elements": "str", "default": []},
            "interface_pattern": {"type": "str", "default": ""},
            "labels": {"type": "dict", "default": {}},
            "node_selector": {"type": "str", "default": "all()"},
        },
    },
    "node_labels": {"type": "dict", "default": {}},
    "node_selector": {"type": "str", "default": ""},
    "allow_uncovered": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    **reach.OPTIONS,
    **progress.OPTION,
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    given = {name: module.params[name] for name in OPTIONS if name not in progress.OPTION}
    request = Request(**{**given, "templates": _templates(module)})
    show = progress.Line(module.params["progress"]).show
    try:
        return _result(module, reconcile(cluster, request, dry_run=module.check_mode, show=show))
    except Stalled as stalled:
        raise Unfinished(str(stalled), _result(module, stalled.report))


def _templates(module: AnsibleModule) -> list[Template] | None:
    given = module.params["templates"]
    return None if given is None else templates_of(given)


def _result(module: AnsibleModule, report: Report) -> dict[str, Any]:
    report.ahead.warn(module)
    for finding in report.findings:
        module.warn(f"{finding.message}: {finding.remedy}")
    diff = {"diff": report.diff()} if module._diff else {}
    return {**report.result(), **diff}


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
