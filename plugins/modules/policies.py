#!/usr/bin/python
# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: policies
short_description: Stage, audit, enforce or remove a set of Calico host policies
version_added: 0.1.0
author: The Hostfence founders (@hostfence)
description:
  - A set is a list of ordinary Calico objects (C(projectcalico.org/v3)) under one name. This module
    brings the whole set into one state, and removes from the cluster what is no longer in it.
  - Definitions are read strictly. What Calico would reject, and what its API accepts and Felix then
    misreads, is refused before anything is written.
  - Writes are ordered so that no instant is stricter than both the old and the new state. A flow that is
    allowed before and after is allowed all the way.
  - What goes is first made to select nothing, by an update, and deleted at the end. Where the API refuses a
    delete, the object stands and decides nothing; RV(left) says which, why, and how to delete it.
  - Touches only objects that it labelled C(app.kubernetes.io/managed-by=hostfence) and
    C(hostfence.io/set=<name>).
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
  name:
    description: Name of the set; a DNS label.
    type: str
    required: true
  state:
    description:
      - V(kept) leaves a set that is enforced or audited as it is, and stages another.
      - V(staged) stores the policies as StagedGlobalNetworkPolicy, which decides nothing. If the set was
        enforced, that is taken back first.
      - V(audited) stages them and adds a copy of each in a tier before all others, C(audited-<tier>), in
        which every rule only passes on. It decides nothing, and the kernel counts what the policy would
        decide, which M(hostfence.calico.audit_counters) reads. RV(left_out) names what cannot be counted
        without deciding. Needs tiers (Calico 3.29).
      - V(enforced) stores them as GlobalNetworkPolicy and removes the staged ones.
      - V(absent) removes the set.
    type: str
    choices: [kept, staged, audited, enforced, absent]
    default: staged
  definitions:
    description:
      - The objects, as mappings or as YAML text of one or more documents. Kinds are GlobalNetworkPolicy,
        StagedGlobalNetworkPolicy (taken as the former), GlobalNetworkSet and Tier.
      - A policy that names no tier goes into O(tier).
      - In a mapping, quote port ranges. YAML reads a bare 20:22 as a number.
    type: list
    elements: raw
    default: []
  src:
    description:
      - A file of such objects, or a directory of files, where the module runs.
      - What else lies there, a HostEndpoint or a pod's policy for example, is left alone and named in
        RV(remarks). Objects of C(crd.projectcalico.org/v1) are taken as they would be written in C(v3).
    type: path
  strict:
    version_added: 0.3.0
    description: Whether to refuse O(src) if anything lies there that a set cannot hold.
    type: bool
    default: false
  platform:
    description:
      - Adds policies that allow what the hosts of a platform need to live, in the cluster described here.
    type: dict
    suboptions:
      preset:
        description: The platform.
        type: str
        required: true
        choices: [aks, eks, gardener, gke, k3s, kubeadm, openshift, rke2]
      selector:
        description: Which HostEndpoints.
        type: str
        default: host-endpoint == 'ingress'
      control_plane_selector:
        description: Which of them are control-plane hosts.
        type: str
        default: has(node-role.kubernetes.io/control-plane)
      directions:
        description: Which directions the policies speak of.
        type: list
        elements: str
        choices: [Ingress, Egress]
        default: [Ingress, Egress]
      set:
        version_added: 0.3.0
        description:
          - Which of the shipped sets. V(platform-flows) and V(platform-tier) allow what the platform's hosts
            need; V(ingress-lockdown) and V(nodeport) deny, too.
        type: str
        choices: [ingress-lockdown, nodeport, platform-flows, platform-tier]
        default: platform-flows
      nodeport_ports:
        version_added: 0.3.0
        description: Of V(nodeport), ports of NodePort services.
        type: list
        elements: str
        default: ["30000:32767"]
      nodeport_sources:
        version_added: 0.3.0
        description: Networks that may use them, besides the cluster itself.
        type: list
        elements: str
        default: []
      nodeport_source_selector:
        version_added: 0.3.0
        description: Selector of GlobalNetworkSets whose networks may use them, too.
        type: str
        default: ""
      pre_dnat:
        description: Whether to allow what comes in before DNAT too, past a preDNAT deny of another set.
        type: bool
        default: false
      nodes:
        description: Networks of the nodes' addresses.
        type: list
        elements: str
        default: []
      cluster:
        description: Networks of pods and services.
        type: list
        elements: str
        default: []
      api:
        description:
          - Networks where nodes reach the API servers. By default those of the service C(kubernetes) and of
            the connection's server, or anywhere if that is a name.
        type: list
        elements: str
        default: []
      api_ports:
        description: Their ports. By default as found in the same places, and the preset's.
        type: list
        elements: int
        default: []
      control_plane:
        description: Networks from which API servers reach kubelets; by default the nodes'.
        type: list
        elements: str
        default: []
      dns:
        description: Networks of name servers; by default anywhere.
        type: list
        elements: str
        default: []
      ntp:
        description: Networks of time servers; by default anywhere.
        type: list
        elements: str
        default: []
      local:
        description: Addresses that never leave a node.
        type: list
        elements: str
        default: [127.0.0.0/8, "::1/128", 169.254.20.10/32]
      ssh:
        description: Networks that may log in; by default none.
        type: list
        elements: str
        default: []
      ssh_port:
        description: Port of the SSH servers.
        type: int
        default: 22
  tier:
    description:
      - Tier of policies that name none. It is made where it is used, and goes when nothing uses it.
      - Before Calico 3.29 there are no tiers, and policies go into C(default).
    type: dict
    default: {}
    suboptions:
      name:
        description: Name of the tier.
        type: str
        default: hostfence
      order:
        description: Its place among the tiers; lower ones come first.
        type: float
        default: 100
  default_action:
    description:
      - What ends O(tier) once the set is enforced. While it is staged, that is always V(Pass).
      - V(Deny) drops what the policies select and do not allow. A tier that several sets share denies as
        long as one of them wants it.
    type: str
    choices: [Deny, Pass]
    default: Deny
  audit_log:
    version_added: 0.3.0
    description:
      - With O(state=audited), also let the kernel log what would be denied, the first packet of each
        connection, with Felix's C(logPrefix). It decides nothing.
      - Refused unless FelixConfiguration C(default) has C(logActionRateLimit), which keeps the log from
        being flooded.
    type: bool
    default: false
  lint:
    description:
      - Whether to look for traps when something is to be written.
      - An error among RV(findings) refuses to enforce, before anything is written. Where nothing can bite,
        because the set is staged or the cluster has no HostEndpoint yet, it is a warning.
    type: bool
    default: true
  settle:
    description:
      - Seconds to pause between writes of different kinds, which Felix watches separately.
    type: float
    default: 1
  without_switch:
    description:
      - Whether a change of what is enforced may open hosts for a moment. M(hostfence.calico.enforce) makes
        it without that.
      - Where several enforced policies change, an order of writes puts a policy before them that allows all
        that they select, until all are written. Without this option such a change is refused.
    type: bool
    default: false
    version_added: 0.2.0
  patience:
    version_added: 0.3.0
    description:
      - Seconds for which an API server that does not answer is asked again, from the first request on.
      - A run that takes back what is enforced does so for 30 seconds at least, once it has read the cluster.
    type: float
    default: 0
seealso:
  - module: hostfence.calico.policies_info
  - module: hostfence.calico.audit_counters
"""

EXAMPLES = r"""
- name: Stage a directory of Calico YAML
  hostfence.calico.policies:
    name: edge
    src: "{{ playbook_dir }}/policies/edge"

- name: Enforce a policy written here
  hostfence.calico.policies:
    name: ssh
    state: enforced
    definitions:
      - apiVersion: projectcalico.org/v3
        kind: GlobalNetworkPolicy
        metadata:
          name: from-the-office
        spec:
          order: 10
          selector: host-endpoint == 'ingress'
          ingress:
            - action: Allow
              protocol: TCP
              source:
                nets: [192.0.2.0/24]
              destination:
                ports: [22]

- name: Stage what the hosts of a kubeadm cluster need
  hostfence.calico.policies:
    name: platform-flows
    platform:
      preset: kubeadm
      nodes: [10.0.0.0/24, "fd00::/64"]
      cluster: [10.244.0.0/16, 10.96.0.0/12]
    default_action: Pass

- name: Take a set away
  hostfence.calico.policies:
    name: edge
    state: absent
"""

RETURN = r"""
name:
  description: Name of the set.
  returned: always
  type: str
state:
  description: State that was asked for; of V(kept), what that is.
  returned: always
  type: str
writes:
  description: All writes in their order, done or, in check mode, to be done; empty when nothing differs.
  returned: always
  type: list
  elements: dict
  contains:
    action:
      description: V(create), V(update) or V(delete).
      type: str
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name as stored.
      type: str
    interim:
      description: Whether it belongs to the way only, as a bridge does that allows all meanwhile.
      type: bool
    done:
      description: Whether it was written; in check mode always V(false).
      type: bool
left:
  description:
    - What stands, and decides nothing, because the API refused to delete it; with the reason and the command
      that deletes it by hand.
  returned: always
  type: list
  elements: str
findings:
  description:
    - Traps in the set once it is enforced, as M(hostfence.calico.policy_lint) tells them. Empty when nothing
      is to be written.
  returned: always
  type: list
  elements: dict
decides:
  description: Whether the writes change what is enforced. What is only staged decides nothing.
  returned: always
  type: bool
obstacles:
  description:
    - Connections that the policy to be does not plainly allow, each with the verdict as
      M(hostfence.calico.flow_verdict) returns it. Empty where the writes decide nothing, or no node is a
      HostEndpoint.
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
enforced:
  description: Whether the set is enforced, or was until now.
  returned: always
  type: bool
before:
  description: Options of this module that bring the set back to the state in which it was found.
  returned: always
  type: dict
rehearsal:
  description: The writes with the whole objects, for M(hostfence.calico.enforce).
  returned: in check mode
  type: list
  elements: dict
remarks:
  description: What in O(src) was left alone, one line a kind, and what was rewritten, one line an object.
  returned: always
  type: list
  elements: str
host_endpoints_templates:
  description: Entries of C(host_endpoints_templates) that make HostEndpoints like those that lie in O(src).
  returned: always
  type: list
  elements: dict
not_stored:
  description: Policies that this version of Calico cannot stage; they are stored once enforced.
  returned: always
  type: list
  elements: str
left_out:
  description: What of an audited set the kernel does not count, and why.
  returned: always
  type: list
  elements: str
tiers_kept:
  description: Hostfence tiers kept because someone else's namespaced policies still use them.
  returned: always
  type: list
  elements: str
api:
  description: API flavour and how many requests were sent.
  returned: always
  type: dict
  sample: {flavour: v1, group: crd.projectcalico.org, requests: 9}
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import Finding
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import (
    as_dicts,
    errors_of,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.judgement import traps
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import planner
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.mixed import templates_like
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.names import NETWORK_SET, TIER
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.neutral import selects_nothing
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.write import PolicyWrite
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction import state as transaction
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import flavour, lease, policies, reach
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.api_endpoints import read_slices
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster, ClusterError
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.module import Unfinished, run
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.patience import Patience
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policy_sets import (
    SET_OPTIONS,
    in_source,
    policy_set,
    refuse_unlimited_log,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# How often to plan again where someone else wrote meanwhile.
TRIES = 5

OPTIONS: dict[str, Any] = {
    **SET_OPTIONS,
    "lint": {"type": "bool", "default": True},
    **reach.OPTIONS,
    "settle": {"type": "float", "default": 1},
    "without_switch": {"type": "bool", "default": False},
    "patience": {"type": "float", "default": 0},
}


def work(module: AnsibleModule, cluster: Cluster) -> dict[str, Any]:
    patience = Patience(module.params["patience"])
    wrote = False

    def once() -> dict[str, Any]:
        nonlocal wrote
        try:
            return _work(module, cluster, patience)
        except Conflict as conflict:
            wrote = wrote or conflict.result["changed"]
            raise

    for attempt in range(TRIES):
        try:
            result = patience.persist(once)
        except Conflict:
            if attempt == TRIES - 1:
                raise
        else:
            if patience.asked_again:
                module.warn(
                    f"the API server did not answer, and was asked again {patience.asked_again} times"
                )
            return {**result, "changed": wrote or result["changed"]}
    raise AssertionError("unreachable")


def _work(module: AnsibleModule, cluster: Cluster, patience: Patience) -> dict[str, Any]:
    """One try: from reading the cluster to the last write."""
    params = module.params
    asked = policy_set(params, lambda: read_slices(cluster) or [], cluster.host)
    absent = asked.state == planner.ABSENT
    # Where there is no Calico yet, check mode tells what would be made, and nothing is to be removed.
    served = flavour.detect(cluster) if module.check_mode or absent else flavour.require(cluster)
    if module.check_mode:
        missing = served.kind is flavour.FlavourKind.NONE
        inventory = planner.assumed(served.api_version) if missing else policies.read(cluster, served)
        return _run(module, cluster, served, inventory, planner.settled(inventory, asked), None, patience)
    inventory = policies.read(cluster, served)
    wanted = planner.settled(inventory, asked)
    if wanted.audit_log:
        refuse_unlimited_log(wanted, HostView(cluster, served).of("FelixConfiguration"))
    if not _plan(cluster, served, inventory, wanted)[0].writes:
        return _run(module, cluster, served, inventory, wanted, None, patience)
    if wanted.state != planner.ENFORCED and any(o.enforces for o in inventory.of_set(wanted.name)):
        patience.seconds = max(patience.seconds, policies.AT_LEAST)
    decides = planner.changes_enforcement(inventory, _plan(cluster, served, inventory, wanted)[0])
    enforcing = wanted.name if decides and wanted.state == planner.ENFORCED else ""
    with lease.held(cluster, enforcing) as ours:
        # Another run may have written until it gave the Lease back.
        inventory = policies.read(cluster, served)
        try:
            result = _run(
                module, cluster, served, inventory, planner.settled(inventory, asked), ours, patience
            )
        except Unfinished:
            raise
        except (BadInput, ClusterError):
            ours.wrote_nothing()
            raise
        if wanted.state != planner.ENFORCED:
            ours.needs_no_proof(wanted.name)
        return result


class Conflict(Unfinished):
    """Someone else wrote an object after the plan was made."""


def _run(
    module: AnsibleModule,
    cluster: Cluster,
    served: flavour.Flavour,
    inventory: planner.Inventory,
    wanted: planner.PolicySet,
    ours: lease.Lease | None,
    patience: Patience,
) -> dict[str, Any]:
    """Plan, look ahead, and write where this process holds the Lease.

    :raises Conflict: it is to be planned again
    """
    planned, kept = _plan(cluster, served, inventory, wanted)
    for warning in planned.warnings:
        module.warn(warning)
    for tier in kept:
        module.warn(f"tier {tier} stays: others' namespaced policies are in it, and would deny without it")
    findings, ahead = _look(module, cluster, served, inventory, wanted, planned)
    carried = policies.Carried()
    if ours and planned.writes:
        record = inventory.find(NETWORK_SET, transaction.RECORD)
        transaction.refuse_pending(record.stored if record else None)
        _refuse_bridge(module, wanted, planned)
    if ours:
        carried = policies.carry_out(cluster, served, planned, module.params["settle"], ours.renew, patience)
    result = _result(module, cluster, served, wanted, planned, kept, carried)
    for remark in result["left"]:
        module.warn(remark)
    beside = in_source(module.params)
    result["remarks"] = list(beside.remarks)
    result["host_endpoints_templates"] = templates_like(beside.host_endpoints)
    result["findings"] = as_dicts(findings)
    result.update(ahead.found())
    result["decides"] = planner.changes_enforcement(inventory, planned)
    result["enforced"] = wanted.state == planner.ENFORCED or any(
        o.enforces for o in inventory.of_set(wanted.name)
    )
    # Going back is never refused for what it opens on the way.
    result["before"] = {**planner.restore_options(inventory, wanted.name), "without_switch": True}
    if module.check_mode:
        result["rehearsal"] = planner.told(planned)
    if carried.problem:
        unfinished = Conflict if policies.is_conflict(carried.problem) else Unfinished
        told = _unfinished(wanted, planned.writes, carried.tried, carried.problem)
        if patience.asked_again:
            told += f" (asked again {patience.asked_again} times, in all for {patience.seconds:g} s)"
        raise unfinished(told, result)
    return result


def _refuse_bridge(module: AnsibleModule, wanted: planner.PolicySet, planned: planner.WritePlan) -> None:
    """:raises BadInput: what stays enforced would be opened for a moment, and nobody asked for that"""
    if module.params["without_switch"] or wanted.state != planner.ENFORCED:
        return
    bridge = planner.bridge_of(planned, wanted.name)
    if bridge:
        raise BadInput(
            "state",
            wanted.state,
            f"while several policies of set {wanted.name} change, {bridge} would allow all that they select: "
            "change it with hostfence.calico.enforce, which needs no such policy, or set without_switch",
        )


def _look(
    module: AnsibleModule,
    cluster: Cluster,
    served: flavour.Flavour,
    inventory: planner.Inventory,
    wanted: planner.PolicySet,
    planned: planner.WritePlan,
) -> tuple[list[Finding], reach.Outlook]:
    """Look for traps, and for what would be cut off, before anything is written.

    What is enforced already is judged as well: whoever wrote it may have been interrupted, and nodes join.

    :raises BadInput: a trap that bites
    :raises CutOff: what would be denied
    """
    params = module.params
    linted = params["lint"] and planned.writes and wanted.state != planner.ABSENT
    judged = planner.changes_enforcement(inventory, planned) or wanted.state == planner.ENFORCED
    if not (linted or judged):
        return [], reach.Outlook()
    view = HostView(cluster, served)
    around = view.around()
    hosts = sum(obj["kind"] == "HostEndpoint" for obj in around)
    options = reach.options_of(view)
    findings = _lint(inventory, wanted, around, options) if linted else []
    _heed(module, wanted.state == planner.ENFORCED and hosts > 0, errors_of(findings))
    if not (judged and hosts):
        return findings, reach.Outlook()
    before = [*planner.objects_after(inventory, planner.WritePlan()), *around]
    after = [*planner.objects_after(inventory, planned), *around]
    ahead = reach.assess(view, params, f"set {wanted.name}", before, after)
    ahead.warn(module)
    return findings, ahead


def _lint(
    inventory: planner.Inventory,
    wanted: planner.PolicySet,
    around: list[dict[str, Any]],
    options: Options,
) -> list[Finding]:
    """Traps in the set once it is enforced, seen together with all that is there."""
    enforced = planner.plan(inventory, replace(wanted, state=planner.ENFORCED))
    final = [w.wanted for w in enforced.writes if w.wanted and not w.interim]
    focus = {f"{obj['kind']} {planner.calico_name(obj)}" for obj in final}
    return traps([*planner.objects_after(inventory, enforced), *around], options, focus)


def _heed(module: AnsibleModule, bites: bool, errors: list[Finding]) -> None:
    """Refuse what would lock people out at once; of what is staged, or selects no host yet, warn.

    :raises BadInput: the first error, if it ``bites``
    """
    for error in errors:
        trap = BadInput(error.field or error.id, error.message, f"{error.remedy} ({error.id})", error.object)
        if bites:
            raise trap
        module.warn(f"fix this before enforcing the set: {trap}")


def _plan(
    cluster: Cluster,
    served: flavour.Flavour,
    inventory: planner.Inventory,
    wanted: planner.PolicySet,
) -> tuple[planner.WritePlan, list[str]]:
    """The plan, without the removal of tiers that hold policies of kinds we do not manage."""
    planned = planner.plan(inventory, wanted)
    leaving = [w.name for w in planned.writes if w.kind == TIER and w.action == "delete"]
    kept = [t for t in leaving if policies.namespaced_policies(cluster, served, t)]
    if kept:
        planned = planner.plan(inventory, wanted, frozenset(kept))
    return planned, kept


def _result(
    module: AnsibleModule,
    cluster: Cluster,
    served: flavour.Flavour,
    wanted: planner.PolicySet,
    planned: planner.WritePlan,
    kept: list[str],
    carried: policies.Carried,
) -> dict[str, Any]:
    writes = planned.writes
    told = module.check_mode
    result: dict[str, Any] = {
        "changed": bool(writes) if told else carried.changed,
        "name": wanted.name,
        "state": wanted.state,
        "writes": carried.told(planned),
        "left": carried.left(planned, served),
        "not_stored": list(planned.not_stored),
        "left_out": list(planned.left_out),
        "tiers_kept": kept,
        "api": {"flavour": served.kind.value, "group": served.group, "requests": cluster.requests_sent},
    }
    if module._diff:
        result["diff"] = [_diff(w) for w in (writes if told else writes[: carried.tried]) if not w.interim]
    return result


def _unfinished(
    wanted: planner.PolicySet, writes: tuple[PolicyWrite, ...], done: int, problem: ClusterError
) -> str:
    failed = writes[done]
    open_now = sorted(_bridges_left(writes[:done]))
    remark = f"; until then {', '.join(open_now)} allows all that it selects" if open_now else ""
    return (
        f"set {wanted.name}: {done} of {len(writes)} writes were done, then {failed.action} {failed.kind} "
        f"{failed.name}: {problem}; 'writes' tells which, and a second run does the rest{remark}"
    )


def _bridges_left(writes: tuple[PolicyWrite, ...]) -> set[str]:
    left: set[str] = set()
    for write in writes:
        if write.interim and write.kind != TIER:
            over = write.action == "delete" or selects_nothing((write.wanted or {}).get("spec") or {})
            (left.discard if over else left.add)(write.name)
    return left


def _diff(write: PolicyWrite) -> dict[str, Any]:
    header = f"{write.kind} {write.name}"
    return {
        "before_header": header,
        "after_header": header,
        "before": planner.shown(write.live),
        "after": planner.shown(write.wanted),
    }


def main() -> None:
    run(OPTIONS, work)


if __name__ == "__main__":
    main()
