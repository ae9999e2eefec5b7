#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_endpoints
short_description: Make every node of a cluster a Calico HostEndpoint
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Reconciles one HostEndpoint a node, named C(<node>-hostfence), from the cluster's Node objects.
  - Reads two lists, compares in memory and writes only what differs, over parallel connections.
  - Removes HostEndpoints that it made for nodes that are gone or no longer selected. Those that
    others made are reported, never touched.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.reach
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  state:
    description:
      - V(present) gives every selected node its HostEndpoint and removes orphans that Hostfence made.
      - V(absent) removes all HostEndpoints that we made.
    type: str
    choices: [present, absent]
    default: present
  node_selector:
    description: Kubernetes label selector of the nodes to protect; empty for all.
    type: str
    default: kubernetes.io/os!=windows
  labels:
    description: Static labels of every HostEndpoint; policies select hosts by them.
    type: dict
    default:
      host-endpoint: ingress
  node_labels:
    description: Keys of labels that are copied from the Node, where it has them.
    type: list
    elements: str
    default:
      - kubernetes.io/hostname
      - node-role.kubernetes.io/control-plane
      - topology.kubernetes.io/zone
  interface:
    description:
      - V(*) for all interfaces of the node, the name of one, or V(by-ip) for whichever carry the
        node's own addresses.
    type: str
    default: "*"
  profiles:
    description:
      - Calico profiles of every HostEndpoint. Without C(projectcalico-default-allow), traffic that no
        policy allows is dropped as soon as the HostEndpoint exists, on all its interfaces.
    type: list
    elements: str
    default: [projectcalico-default-allow]
  ports:
    description: Ports of the nodes that policy rules can name.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name that rules use.
        type: str
        required: true
      protocol:
        description: Protocol.
        type: str
        choices: [TCP, UDP, SCTP]
        default: TCP
      port:
        description: Port number, 1 to 65535.
        type: int
        required: true
  templates:
    version_added: 0.3.0
    description:
      - Further HostEndpoints of each node, by the networks it is in. They are made as Calico makes those of
        its own templates, and take O(profiles), O(ports), O(labels) and O(node_labels) like the default one.
    type: list
    elements: dict
    default: []
    suboptions:
      generate_name:
        description: >-
          The HostEndpoint is named C(<node>-<generate_name>-hostfence), with the interface's name before the
          last part where it is made by O(templates[].interface_pattern).
        type: str
        required: true
      interface_cidrs:
        description:
          - It stands for the interfaces with those addresses of the node that lie in one of these networks.
            A node without such an address gets none.
        type: list
        elements: str
        default: []
      interface_pattern:
        description:
          - One for each interface that calico-node has reported (3.31 or newer) and in whose name this
            regular expression is found.
        type: str
        default: ""
      labels:
        description: Labels, over those of O(labels).
        type: dict
        default: {}
      node_selector:
        description: Calico selector on the labels of nodes.
        type: str
        default: all()
  create_default:
    version_added: 0.3.0
    description: Whether each node has C(<node>-hostfence) on O(interface) besides those of O(templates).
    type: bool
    default: true
  progress:
    version_added: 0.3.0
    description: >-
      A file for how far the work is. The action plugin fills it in, and shows it every few seconds.
    type: path
seealso:
  - module: hostfence.calico.host_endpoints_info
  - module: hostfence.calico.auto_host_endpoints
"""

EXAMPLES = r"""
- name: Every node is a HostEndpoint on all its interfaces
  hostfence.calico.host_endpoints:
    kubeconfig: ~/.kube/config

- name: Only workers, only their uplink, with a port that policies can name
  hostfence.calico.host_endpoints:
    node_selector: "!node-role.kubernetes.io/control-plane"
    interface: eth0
    ports:
      - name: metrics
        port: 9100

- name: Of each node one for its public and one for its storage network
  hostfence.calico.host_endpoints:
    create_default: false
    templates:
      - generate_name: public
        interface_cidrs: [192.0.2.0/24, "2001:db8::/64"]
        labels:
          host-endpoint: ingress
      - generate_name: storage
        interface_pattern: ^eth1$
        labels:
          host-endpoint: storage

- name: Take all of them away
  hostfence.calico.host_endpoints:
    state: absent
"""

RETURN = r"""
nodes:
  description: Names of the selected nodes.
  returned: always
  type: list
  elements: str
  sample: [node1, node2]
changes:
  description: What was written, or would be in check mode; nothing for what was right already.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(update) or V(delete).
      type: str
    node:
      description: Node of the HostEndpoint.
      type: str
    name:
      description: Name of the HostEndpoint.
      type: str
    error:
      description: Why it was not done, empty where it was.
      type: str
  sample: [{action: create, node: worker-1, name: worker-1-hostfence, error: ""}]
unchanged:
  description: How many HostEndpoints were right already.
  returned: always
  type: int
foreign:
  description: HostEndpoints that others made.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    node:
      description: Its node.
      type: str
    interface:
      description: V(*), a name, or V(by-ip).
      type: str
    made_by:
      description: V(calico) for kube-controllers' own, else V(someone else).
      type: str
    node_exists:
      description: Whether its node is in the cluster.
      type: bool
    active_instead_of_ours:
      description: Whether Felix uses this one and not Hostfence's, because its name sorts first.
      type: bool
summary:
  description: How many of the selected nodes have their HostEndpoint.
  returned: always
  type: str
  sample: 3 of 3 nodes have their HostEndpoint
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
api:
  description: API flavour and how many requests were sent.
  returned: always
  type: dict
  sample: {flavour: v1, group: crd.projectcalico.org, requests: 5}
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (
    DEFAULT_ALLOW_PROFILE,
    HostEndpointTemplate,
    NamedPort,
    effective_labels,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_auto import (
    AutoHostEndpoints,
    desired_by_templates,
    refuse_names_of_two,
    templates_of,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_plan import (
    HostEndpointChange,
    HostEndpointPlan,
    plan,
    plan_removal,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.judgement import (
    open_without_policy,
    with_host_endpoints,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (
    flavour,
    host_endpoints,
    lease,
    reach,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.bulk import WriteOutcome
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import Unfinished, run
from ansible_collections.hostfence.calico.plugins.module_utils.controller import progress

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **host_endpoints.OPTIONS,
    **reach.OPTIONS,
    **progress.OPTION,
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    params = module.params
    template = HostEndpointTemplate(
        labels=params["labels"],
        node_labels=params["node_labels"],
        interface=params["interface"],
        profiles=params["profiles"],
        ports=[NamedPort(**port) for port in params["ports"]],
    )
    absent = params["state"] == "absent"
    # Where there is no Calico yet, check mode tells what would be made, and nothing is to be removed.
    served = flavour.detect(cluster) if module.check_mode or absent else flavour.require(cluster)

    def look() -> tuple[HostEndpointPlan, reach.Outlook]:
        if absent:
            planned = plan_removal(flavour.list_stored(cluster, served, "HostEndpoint"))
        else:
            planned = _plan(cluster, served, params, template)
        return planned, _look_ahead(module, cluster, served, planned)

    def writes(found: tuple[HostEndpointPlan, reach.Outlook]) -> bool:
        return bool(found[0].changes) and not module.check_mode

    with lease.planned(cluster, look, changes=writes) as ((planned, ahead), ours):
        if not absent:
            _warn(module, template, planned)
        ahead.warn(module)
        outcomes = [WriteOutcome(c) for c in planned.changes]
        if ours:
            outcomes = host_endpoints.carry_out(cluster, served, planned, _begun(module, planned, ours))
    return _result(module, cluster, served, planned, outcomes, ahead)


def _begun(module: AnsibleModule, planned: HostEndpointPlan, ours: lease.Lease) -> Callable[[], None]:
    """What is done as each write begins."""
    shown = progress.Progress(module.params["progress"], "HostEndpoints", len(planned.changes))

    def begun() -> None:
        ours.renew()
        shown.step()

    return begun


def _plan(
    cluster: Cluster, served: flavour.Flavour, params: dict[str, Any], template: HostEndpointTemplate
) -> HostEndpointPlan:
    networks = AutoHostEndpoints(
        enabled=True,
        create_default=params["create_default"],
        templates=tuple(templates_of(params["templates"])),
    )

    def of(node: dict[str, Any]) -> list[dict[str, Any]]:
        return desired_by_templates(
            node, template, networks.templates, served.api_version, create_default=networks.create_default
        )

    by_node, names, heps = host_endpoints.read(cluster, served, params["node_selector"], of)
    if not by_node:
        raise BadInput("node_selector", params["node_selector"], "selects no node of this cluster")
    wanted = [hep for of_one in by_node for hep in of_one]
    refuse_names_of_two(wanted)
    return plan(wanted, names, heps)


def _look_ahead(
    module: AnsibleModule, cluster: Cluster, served: flavour.Flavour, planned: HostEndpointPlan
) -> reach.Outlook:
    """A HostEndpoint puts a node under all policy that is enforced, from the moment it is written.

    :raises CutOff: before anything is written
    """
    written = [change.wanted for change in planned.changes if change.wanted]
    shuts = reach.enforces(cluster, served) if planned.changes else False
    if not shuts and all(map(open_without_policy, written)):
        return reach.Outlook()
    return reach.outlook(
        HostView(cluster, served),
        module.params,
        "the change of HostEndpoints",
        lambda objects: with_host_endpoints(objects, planned.changes),
    )


def _warn(module: AnsibleModule, template: HostEndpointTemplate, planned: HostEndpointPlan) -> None:
    if DEFAULT_ALLOW_PROFILE not in template.profiles:
        module.warn(
            f"profiles: without {DEFAULT_ALLOW_PROFILE} a HostEndpoint drops, from the moment it exists, all "
            "that no policy and no failsafe allows, in both directions and on the loopback interface too"
        )
    for hep in planned.foreign:
        if hep.active_instead_of_ours:
            module.warn(
                f"node {hep.node}: Felix uses the HostEndpoint {hep.name} of {hep.made_by} and not "
                "Hostfence's, because its name sorts first; delete one of the two"
            )


def _result(
    module: AnsibleModule,
    cluster: Cluster,
    served: flavour.Flavour,
    planned: HostEndpointPlan,
    outcomes: list[WriteOutcome[HostEndpointChange]],
    ahead: reach.Outlook,
) -> dict[str, Any]:
    failed = [o for o in outcomes if not o.done]
    missing = {o.item.node for o in failed if o.item.action == "create"}
    total = len(planned.selected)
    result = {
        "changed": len(failed) < len(outcomes),
        "nodes": list(planned.selected),
        "changes": [
            {"action": o.item.action, "node": o.item.node, "name": o.item.name, "error": o.error}
            for o in outcomes
        ],
        "unchanged": planned.unchanged,
        "foreign": [asdict(f) for f in planned.foreign],
        **ahead.result(),
        "summary": f"{total - len(missing)} of {total} nodes have their HostEndpoint",
        "api": {"flavour": served.kind.value, "group": served.group, "requests": cluster.requests_sent},
    }
    if module._diff:
        result["diff"] = [_diff(o.item) for o in outcomes if o.done]
    if failed:
        first = failed[0]
        raise Unfinished(
            f"{len(failed)} of {len(outcomes)} writes were not done, the first: {first.item.action} "
            f"HostEndpoint {first.item.name}: {first.error}; 'changes' tells what was done, "
            "and a second run does the rest",
            result,
        )
    return result


def _diff(change: HostEndpointChange) -> dict[str, Any]:
    return {
        "before_header": f"HostEndpoint {change.name}",
        "after_header": f"HostEndpoint {change.name}",
        "before": _shown(change.live),
        "after": _shown(change.wanted),
    }


def _shown(hep: dict[str, Any] | None) -> dict[str, Any]:
    """The fields that are ours to decide."""
    return {"labels": effective_labels(hep), "spec": hep["spec"]} if hep else {}


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
