#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Say what would be written, step by step, and what it means for connections
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - Reads each kind of object once, judges once, and writes nothing, whether in check mode or not.
  - The result is a plan - steps with their writes in order, each object before and after, findings,
    connections at risk, and the reasons why it must not be carried out. Its schema is in C(docs/plan.md).
  - A step whose option is not given is left out.
extends_documentation_fragment:
  - hostfence.calico.connection
  - hostfence.calico.logins.planned
  - hostfence.calico.attributes
  - hostfence.calico.attributes.cluster
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: full
    description: Adds the objects that would be written to RV(screen), as nothing is changed.
options:
  preflight:
    description: Whether the cluster is fit for host protection. A finding that stops ends the plan.
    type: dict
    suboptions:
      mode:
        description: V(auto) where kube-controllers makes the HostEndpoints.
        type: str
        choices: [auto, direct]
        default: direct
      hosts:
        description: Names in the inventory group of nodes.
        type: list
        elements: str
      permissions_for:
        description: Checks the permissions of these steps, as of M(hostfence.calico.cluster_info).
        type: list
        elements: str
      granted_to:
        description: User who need not be able to grant permissions.
        type: str
        default: ""
      ignore:
        description: Checks whose stops do not count.
        type: list
        elements: str
        default: []
  crds:
    description: The definitions of Calico's kinds.
    type: dict
    suboptions:
      api_group:
        description: Their group on a cluster without Calico.
        type: str
        choices: [crd.projectcalico.org, projectcalico.org]
        default: crd.projectcalico.org
  access:
    description: A ServiceAccount for later runs.
    type: dict
    suboptions:
      namespace:
        description: Its namespace.
        type: str
        default: hostfence
      service_account:
        description: Its name.
        type: str
        default: hostfence
      permissions_for:
        description: What it may do, as of M(hostfence.calico.cluster_info).
        type: list
        elements: str
        default: [crds, enforce, felix, host_endpoints_auto, host_endpoints_direct, policies, verdicts]
  felix:
    description: Fields of a FelixConfiguration, as of M(hostfence.calico.felix_configuration).
    type: dict
    suboptions:
      node:
        description: Node whose own configuration it is; empty for all nodes.
        type: str
        default: ""
      failsafe_inbound_host_ports: &failsafes
        description: Failsafe ports as a whole list, each with C(protocol), C(port) and, if you like, C(net).
        type: list
        elements: raw
      failsafe_inbound_add: &some_failsafes
        description: Entries of the list that applies now.
        type: list
        elements: raw
        default: []
      failsafe_inbound_remove: *some_failsafes
      failsafe_outbound_host_ports: *failsafes
      failsafe_outbound_add: *some_failsafes
      failsafe_outbound_remove: *some_failsafes
      dns_trusted_servers:
        description: Name servers that Calico Enterprise trusts.
        type: list
        elements: str
      flow_logs_enable_host_endpoint:
        description: Whether Calico Enterprise logs flows of HostEndpoints.
        type: bool
      reach: &reach
        description: Whether a connection that would be denied refuses the plan.
        type: bool
        default: true
      accept_denied: &accepted
        description: Kinds of vital flows whose loss is accepted in this step, besides O(accept_denied).
        type: list
        elements: str
        default: []
  host_endpoints:
    description: HostEndpoints, as of the role C(host_endpoints).
    type: dict
    suboptions:
      mode:
        description: Who writes them.
        type: str
        choices: [direct, auto, daemonset, job]
        default: direct
      node_selector:
        description: Kubernetes label selector of the nodes.
        type: str
        default: kubernetes.io/os!=windows
      labels:
        description: Labels of all of them.
        type: dict
        default: {host-endpoint: ingress}
      node_labels:
        description: Keys of labels to copy from the Node.
        type: list
        elements: str
        default: [kubernetes.io/hostname, node-role.kubernetes.io/control-plane, topology.kubernetes.io/zone]
      interface:
        description: V(*), an interface's name, or V(by-ip).
        type: str
        default: "*"
      profiles:
        description: Names of profiles.
        type: list
        elements: str
        default: [projectcalico-default-allow]
      ports:
        description: Named ports.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name.
            type: str
            required: true
          protocol:
            description: Protocol.
            type: str
            choices: [TCP, UDP, SCTP]
            default: TCP
          port:
            description: Port.
            type: int
            required: true
      agents:
        description: >-
          The objects of the agents in mode V(daemonset), as of M(hostfence.calico.host_endpoint_agents).
        type: list
        elements: dict
        default: []
      replace_auto:
        description: Whether automatic HostEndpoints that others switched on may be replaced.
        type: bool
        default: false
      templates:
        description: Further HostEndpoints by network, as of M(hostfence.calico.host_endpoints).
        type: list
        elements: dict
        default: []
        suboptions: &templates
          generate_name:
            description: Part of the name.
            type: str
            required: true
          interface_cidrs:
            description: Networks.
            type: list
            elements: str
            default: []
          interface_pattern:
            description: Pattern of interfaces.
            type: str
            default: ""
          labels:
            description: Labels.
            type: dict
            default: {}
          node_selector:
            description: Calico selector of nodes.
            type: str
            default: all()
      create_default:
        description: Whether each node has the default HostEndpoint besides those of the templates.
        type: bool
        default: true
      auto_create_default:
        description: Whether kube-controllers also makes the default HostEndpoint besides those of templates.
        type: bool
      auto_templates:
        description: Templates of automatic HostEndpoints, as of M(hostfence.calico.auto_host_endpoints).
        type: list
        elements: dict
        suboptions: *templates
      reach: *reach
      accept_denied: *accepted
  policies:
    description: Policy sets.
    type: dict
    suboptions:
      sets:
        description:
          - The sets, each with the options C(name), C(state), C(definitions), C(src), C(platform), C(tier),
            C(audit_log) and C(default_action) of M(hostfence.calico.policies).
        type: list
        elements: dict
        default: []
      entries:
        description: >-
          Sets as the role C(policies) names them, a shipped set's name or a path with a C(/); they follow
          O(policies.sets).
        type: list
        elements: str
        default: []
      common:
        description: >-
          What the entries share, C(state), C(tier), C(platform), C(platform_tier), C(default_action),
          C(audit_log) and C(strict); C(inventories), in whose directories a path is looked for.
        type: dict
        default: {}
      lint:
        description: Whether a trap refuses to enforce.
        type: bool
        default: true
      reach: *reach
  enforce:
    description:
      - Options of M(hostfence.calico.enforce), which carries out O(policies). They make no difference to the
        plan; what that module would refuse is refused before anything is written.
    type: dict
    version_added: 0.3.0
    suboptions:
      waves:
        description: Which hosts change together.
        type: list
        elements: str
        default: [canary]
      window:
        description: Seconds after which a wave that nobody confirmed goes back.
        type: int
        default: 120
      bake:
        description: Seconds between waves.
        type: int
        default: 0
      confirm:
        description: Who confirms a wave.
        type: str
        choices: [auto, manual]
        default: auto
      keep:
        description: Hours for which the policy from before is kept.
        type: float
        default: 24
      watchdogs:
        description: How many programs switch back.
        type: int
        default: 2
      watchdog_mode:
        description: Where they run.
        type: str
        choices: [node, pod]
        default: node
      watchdog_image:
        description: Image of pods.
        type: str
        default: ""
      last_resort:
        description: Whether nodes that no API server answers open their own way.
        type: bool
        default: true
      admin_sources:
        description: Networks from which administrators log in.
        type: list
        elements: str
        default: []
      flush_conntrack:
        description: Whether the first wave's hosts forget their connections before the proof.
        type: bool
        default: false
      proofs:
        description: Further connections that must work.
        type: list
        elements: dict
        default: []
        suboptions:
          host:
            description: Address to connect to.
            type: str
            required: true
          port:
            description: TCP port.
            type: int
            required: true
          from:
            description: Node to connect from.
            type: str
      settle:
        description: Seconds within which Felix sees a write.
        type: float
        default: 1
  audit:
    description: Options of M(hostfence.calico.flow_audit), for the same.
    type: dict
    version_added: 0.3.0
    suboptions:
      min_window:
        description: How long each node has to be watched for.
        type: str
        default: 1d
      max_age:
        description: How long ago a node's last window may have ended.
        type: str
        default: 4w
      accepted:
        description: What is known to be denied and accepted.
        type: list
        elements: dict
        default: []
  prove:
    description: Whether nodes that cannot be logged in to refuse a change of what is enforced.
    type: bool
    default: true
  login_timeout:
    description: Seconds for one login.
    type: float
    default: 10
  logins:
    description:
      - Logins that were made already, in place of those to O(nodes), as of M(hostfence.calico.policies). Of
        nodes that were not tried the connection is assumed.
    type: list
    elements: dict
    suboptions:
      node:
        description: Its name in Kubernetes.
        type: str
        required: true
      reached:
        description: Whether it took the login.
        type: bool
        default: true
      ssh_connection:
        description: C(SSH_CONNECTION) of the session.
        type: str
        default: ""
      host:
        description: Where it was tried.
        type: str
        default: ""
      port:
        description: The port there.
        type: int
        default: 22
  uses:
    description: What was seen on nodes, as of M(hostfence.calico.policies).
    type: list
    elements: dict
    default: []
  networks:
    description: Networks that the sets are made of, to be held against the cluster's own.
    type: dict
    default: {}
    suboptions:
      nodes:
        description: Of the nodes' addresses.
        type: list
        elements: str
        default: []
      cluster:
        description: Of pods and services.
        type: list
        elements: str
        default: []
      ssh:
        description: That may log in.
        type: list
        elements: str
        default: []
      ssh_port:
        description: Port of the SSH servers.
        type: int
        default: 22
  accept_denied:
    description: Kinds of vital flows whose loss is accepted, as of M(hostfence.calico.policies).
    type: list
    elements: str
    default: []
  save:
    description: A file for the plan on the machine that runs the module; only its owner may read it.
    type: path
  plan_file:
    description:
      - A file that O(save) wrote. The module fails, saying what moved, where the cluster or the options are
        no longer those of that plan.
    type: path
seealso:
  - module: hostfence.calico.policies
"""

EXAMPLES = r"""
- name: What would staging a set write?
  hostfence.calico.plan:
    policies:
      sets:
        - name: edge
          src: policies/edge
  register: planned

- name: Show it
  ansible.builtin.debug:
    msg: "{{ planned.screen }}"
"""

RETURN = r"""
plan:
  description: The plan, by the schema C(hostfence.plan/1).
  returned: always
  type: dict
screen:
  description: The plan for people, line by line.
  returned: always
  type: list
  elements: str
refusals:
  description: Why it must not be carried out; empty where it may.
  returned: always
  type: list
  elements: str
changes_enforcement:
  description: Whether it changes what is enforced.
  returned: always
  type: bool
steps_with_writes:
  description: Names of the steps that write anything.
  returned: always
  type: list
  elements: str
protection:
  description:
    - What is protected before the plan is carried out, C(nodes) and C(summary) as of
      M(hostfence.calico.host_endpoints_info), the rest as of M(hostfence.calico.policies_info).
    - Empty without O(host_endpoints).
  returned: always
  type: dict
drift:
  description: What differs from what is wanted, one line a step.
  returned: always
  type: list
  elements: str
deciding_steps:
  description: Names of the steps that change what is enforced.
  returned: always
  type: list
  elements: str
judged_steps:
  description: Names of the steps that were judged - what is enforced changes, or stands.
  returned: always
  type: list
  elements: str
enforces:
  description: Whether policy governs nodes once all is done, so that failsafes are to be verified first.
  returned: always
  type: bool
by_switch:
  description:
    - Whether M(hostfence.calico.enforce) is to carry out the policy sets - what is enforced changes on nodes
      that policy goes on to govern, or a run of it did not come to its end.
    - A run that only takes sets back goes by an order of writes, as it must work on nodes that are cut off.
  returned: always
  type: bool
governed:
  description: Names of the nodes that have a HostEndpoint once all is done.
  returned: always
  type: list
  elements: str
logins:
  description: By which connections the nodes are reached; empty where no login was made.
  returned: always
  type: list
  elements: dict
to_prove:
  description:
    - The nodes that took a login and have a HostEndpoint once all is done, as
      O(hostfence.calico.prove#module:nodes) with the policies that their kernels hold by then.
  returned: always
  type: list
  elements: dict
to_prove_prepared:
  description: The same as it is before the policy sets are written.
  returned: always
  type: list
  elements: dict
policy_sets:
  description: Names of the policy sets, in the order in which they are written.
  returned: always
  type: list
  elements: str
sets_to_write:
  description: >-
    Options of M(hostfence.calico.policies) for every set that has something to write, in the order in which
    they are written.
  returned: always
  type: list
  elements: dict
policy_writes:
  description: The writes of the policy sets in their order, for M(hostfence.calico.enforce).
  returned: always
  type: list
  elements: dict
unproved:
  description: Names of the policy sets that an earlier run left enforced without a proof.
  returned: always
  type: list
  elements: str
unseen:
  description:
    - What should be looked at and is not, because it was switched off, and which vital flows cannot be judged
      for sure, with what would settle it. One sentence each.
  returned: always
  type: list
  elements: str
way_back:
  description: How policy is brought back where nodes take no new login after the policy sets were written.
  returned: always
  type: dict
  contains: &way_back
    sets:
      description: Options of M(hostfence.calico.policies), in their order.
      type: list
      elements: dict
    message:
      description: What is then said, before the names of the nodes.
      type: str
stage_all:
  description: The way back where they take none after failsafes or HostEndpoints were changed.
  returned: always
  type: dict
  contains: *way_back
requests:
  description: How many requests were sent.
  returned: always
  type: int
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan import document, gates
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import (
    POLICIES,
    STEPS,
    Plan,
    Programmed,
    WayBack,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.screen import (
    drift,
    objects,
    screen,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import (
    enforcement,
    felix_configuration,
    host_endpoints,
    permissions,
    planning,
    reach,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import run
from ansible_collections.hostfence.calico.plugins.module_utils.controller import openssh, targets
from ansible_collections.hostfence.calico.plugins.module_utils.controller.logins import Target, Wanted, prove

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_REACH: dict[str, Any] = {"type": "bool", "default": True}
_ACCEPTED: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
OPTIONS: dict[str, Any] = {
    "preflight": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "choices": ["auto", "direct"], "default": "direct"},
            "hosts": {"type": "list", "elements": "str"},
            "permissions_for": {"type": "list", "elements": "str"},
            "granted_to": {"type": "str", "default": ""},
            "ignore": {"type": "list", "elements": "str", "default": []},
        },
    },
    "crds": {
        "type": "dict",
        "options": {
            "api_group": {
                "type": "str",
                "choices": ["crd.projectcalico.org", "projectcalico.org"],
                "default": "crd.projectcalico.org",
            },
        },
    },
    "access": {
        "type": "dict",
        "options": {
            "namespace": {"type": "str", "default": "hostfence"},
            "service_account": {"type": "str", "default": "hostfence"},
            "permissions_for": {"type": "list", "elements": "str", "default": sorted(permissions.TASKS)},
        },
    },
    "felix": {
        "type": "dict",
        "options": {
            **felix_configuration.OPTIONS,
            "reach": _REACH,
            "accept_denied": _ACCEPTED,
        },
    },
    "host_endpoints": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "choices": ["direct", "auto", "daemonset", "job"], "default": "direct"},
            **host_endpoints.OPTIONS,
            "agents": {"type": "list", "elements": "dict", "default": []},
            "replace_auto": {"type": "bool", "default": False},
            "auto_create_default": {"type": "bool"},
            "auto_templates": {
                "type": "list",
                "elements": "dict",
                "options": host_endpoints.TEMPLATE_OPTIONS,
            },
            "reach": _REACH,
            "accept_denied": _ACCEPTED,
        },
    },
    "policies": {
        "type": "dict",
        "options": {
            "sets": {"type": "list", "elements": "dict", "default": []},
            "entries": {"type": "list", "elements": "str", "default": []},
            "common": {"type": "dict", "default": {}},
            "lint": {"type": "bool", "default": True},
            "reach": _REACH,
        },
    },
    "enforce": {"type": "dict", "options": enforcement.OPTIONS},
    "audit": {
        "type": "dict",
        "options": {
            "min_window": {"type": "str", "default": "1d"},
            "max_age": {"type": "str", "default": "4w"},
            "accepted": {"type": "list", "elements": "dict", "default": []},
        },
    },
    "prove": {"type": "bool", "default": True},
    "nodes": {"type": "list", "elements": "dict", "default": [], "options": openssh.OPTIONS},
    "login_timeout": {"type": "float", "default": 10},
    "logins": {k: v for k, v in reach.OPTIONS["logins"].items() if k != "default"},
    **{name: reach.OPTIONS[name] for name in ("uses", "networks", "accept_denied")},
    "save": {"type": "path"},
    "plan_file": {"type": "path"},
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    params = module.params
    saved = _saved(params["plan_file"]) if params["plan_file"] else None
    logins = params["logins"] or []

    def log_in() -> list[dict[str, Any]]:
        logins.extend(_log_in(params["nodes"], params["login_timeout"]))
        return logins

    made = planning.plan(cluster, params, (lambda: logins) if logins else log_in)
    planned = made.plan
    wishes = {name: params[name] for name in (*STEPS, "prove")}
    if saved:
        _refuse_moved(saved, planned, wishes, params["plan_file"])
    found = document.to_document(planned, wishes)
    if params["save"]:
        _save(params["save"], found)
    return {
        "changed": False,
        "plan": found,
        "screen": [*screen(planned), *(["", *objects(planned)] if module._diff else [])],
        "refusals": planned.all_refusals,
        "changes_enforcement": planned.changes_enforcement,
        "steps_with_writes": [name for name in STEPS if planned.has_writes(name)],
        "governed": list(planned.governed),
        "logins": logins,
        "to_prove": _to_prove(params["nodes"], planned, logins, planned.programmed),
        "to_prove_prepared": _to_prove(params["nodes"], planned, logins, planned.prepared),
        "policy_writes": [
            {"kind": write.kind, "name": write.name, "object": write.after}
            for step in planned.steps
            if step.name == POLICIES
            for write in step.writes
        ],
        "policy_sets": [step.subject for step in planned.steps if step.name == POLICIES],
        "sets_to_write": list(made.sets_to_write),
        "drift": drift(planned),
        "protection": dict(planned.protection),
        "deciding_steps": sorted({step.name for step in planned.steps if step.changes_enforcement}),
        "judged_steps": sorted({step.name for step in planned.steps if step.judged}),
        "enforces": planned.enforces,
        "unproved": list(planned.unproved),
        "unseen": planned.unseen,
        "by_switch": planned.by_switch,
        "way_back": _way_back(planned.way_back),
        "stage_all": _way_back(planned.stage_all),
        "requests": cluster.requests_sent,
    }


def _to_prove(
    nodes: list[dict[str, Any]], planned: Plan, logins: list[dict[str, Any]], programmed: Programmed
) -> list[dict[str, Any]]:
    """The option ``nodes`` of the module prove."""
    names = gates.provable(planned.governed, {one["node"] for one in logins if one["reached"]})
    return [{**node, **programmed.of(node["node"])} for node in nodes if node["node"] in names]


def _way_back(way: WayBack) -> dict[str, Any]:
    return {"sets": list(way.sets), "message": way.message}


def _log_in(nodes: list[dict[str, Any]], timeout: float) -> list[dict[str, Any]]:
    """New logins to all nodes at once; how each went."""
    found = [Target(**openssh.login_fields(raw, f"nodes[{index}]")) for index, raw in enumerate(nodes)]
    return [targets.login_of(proof) for proof in prove(found, Wanted(timeout=timeout))]


def _saved(path: str) -> document.Saved:
    try:
        return document.read_document(json.loads(Path(path).read_text(encoding="utf-8")), path)
    except (OSError, ValueError) as error:
        raise BadInput("plan_file", path, f"cannot be read as a plan: {error}")


def _refuse_moved(saved: document.Saved, planned: Plan, wishes: dict[str, Any], path: str) -> None:
    reasons = document.difference(saved, planned, wishes)
    if reasons:
        raise BadInput(
            "plan_file", path, f"Nothing was written. {'; '.join(reasons)} - make the plan again and read it"
        )


def _save(path: str, found: dict[str, Any]) -> None:
    """Only for its owner: it holds what protects the hosts, and what does not."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(found, file, indent=1)
    except OSError as error:
        raise BadInput("save", path, f"cannot be written: {error.strerror}")


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
