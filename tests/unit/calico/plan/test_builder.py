# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wishes and what was seen become a plan, without any cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import ERROR, Finding
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import is_judged, make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import Plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.screen import screen
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import Logins, View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.planner import PolicySet

from tests.unit.calico.plan.planned import CLOSED, HEPS, NODES, a_set, after, enforced, policies, titles


def test_an_audited_set_decides_nothing_and_says_what_is_not_counted(view: View) -> None:
    wished = policies(
        a_set("edge", "Deny", "audited", doNotTrack=True, applyOnForward=True),
        a_set("ssh", "Deny", "audited"),
    )

    plan = make_plan(view, Wishes(host_endpoints=HEPS, policies=wished))

    assert not plan.all_refusals
    assert not any(step.changes_enforcement for step in plan.steps if step.name == "policies")
    assert "create GlobalNetworkPolicy audited-hostfence.ssh" in titles(plan, "policies")
    assert plan.steps[-1].after.enforced == ()
    told = [finding.message for step in plan.steps for finding in step.findings]
    assert "not counted: hostfence.edge: doNotTrack cannot be counted without deciding" in told


def test_every_step_rests_on_what_those_before_it_leave(view: View) -> None:
    wishes = Wishes(felix=CLOSED, host_endpoints=HEPS, policies=policies(a_set("shut", "Deny")))
    plan = make_plan(view, wishes)
    assert [step.name for step in plan.steps] == ["felix", "host_endpoints", "policies"]
    assert [step.after.nodes for step in plan.steps] == [(), NODES, NODES]
    assert titles(plan, "felix") == ["update FelixConfiguration default"]
    assert titles(plan, "host_endpoints") == [f"create HostEndpoint {name}-hostfence" for name in NODES]
    [refusal] = plan.all_refusals
    assert refusal.startswith("set shut is not written: SSH from 192.0.2.1 to sim-0001 and 2 more nodes")
    assert [risk.connection.node for risk in plan.steps[-1].at_risk] == list(NODES)


@pytest.mark.parametrize("leaving_out", ["felix", "host_endpoints"])
def test_without_one_of_them_nothing_is_cut_off(view: View, leaving_out: str) -> None:
    """The built-in failsafes keep SSH open; nodes without a HostEndpoint are not governed."""
    wishes = Wishes(felix=CLOSED, host_endpoints=HEPS, policies=policies(a_set("shut", "Deny")))
    plan = make_plan(view, replace(wishes, **{leaving_out: None}))
    assert plan.all_refusals == []
    assert plan.changes_enforcement


def test_of_several_sets_each_is_judged_on_those_before_it(view: View) -> None:
    allow, deny = a_set("open", "Allow"), a_set("shut", "Deny", order=20)
    base = Wishes(felix=CLOSED, host_endpoints=HEPS)
    good = make_plan(view, replace(base, policies=policies(allow, deny)))
    assert good.all_refusals == []
    bad = make_plan(view, replace(base, policies=policies(deny, allow)))
    assert "set shut is not written" in bad.all_refusals[0]


def test_what_policy_goes_on_to_govern_changes_by_a_switch(view: View) -> None:
    edge, ssh = replace(a_set("edge", "Deny"), default_action="Deny"), a_set("ssh", "Allow")
    more = a_set("more", "Allow", order=11).definitions.policies
    ssh = replace(ssh, definitions=replace(ssh.definitions, policies=(*ssh.definitions.policies, *more)))

    def planned(seen: View, *sets: PolicySet) -> Plan:
        return make_plan(seen, Wishes(host_endpoints=HEPS, policies=policies(*sets)))

    assert planned(view, ssh).by_switch
    assert not planned(view, replace(ssh, state="staged")).by_switch
    # Policy governs nobody, so nobody need be looked at.
    assert not make_plan(view, Wishes(policies=policies(ssh))).by_switch
    stands = carried_out(view, planned(view, edge, ssh))
    assert not planned(stands, edge, ssh).by_switch
    assert planned(replace(stands, transaction={"phase": "running"}), edge, ssh).by_switch
    # Taking back goes on without looking, but where it would open hosts that another set goes on to govern.
    assert not planned(stands, *(replace(one, state="staged") for one in (ssh, edge))).by_switch
    assert planned(stands, replace(ssh, state="staged")).by_switch


def carried_out(view: View, plan: Plan) -> View:
    """The cluster once all of the plan is written."""
    objects = {kind: list(found) for kind, found in view.objects.items()}
    for write in (write for step in plan.steps for write in step.writes):
        kept = [o for o in objects.get(write.kind, ()) if o["metadata"]["name"] != write.name]
        objects[write.kind] = [*kept, *([write.after] if write.after else [])]
    return replace(view, objects=objects)


def test_what_is_staged_decides_nothing(view: View) -> None:
    wishes = Wishes(felix=CLOSED, host_endpoints=HEPS, policies=policies(a_set("shut", "Deny", "staged")))
    plan = make_plan(view, wishes)
    assert (plan.all_refusals, plan.steps[-1].changes_enforcement) == ([], False)
    assert plan.steps[-1].after.staged
    assert any("nothing that is enforced changes" in line for line in screen(plan))


def test_nodes_that_were_not_reached_refuse_enforcing(view: View) -> None:
    logins = replace(view.logins, reached=frozenset(NODES[:1]))
    wishes = Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow")))
    plan = make_plan(replace(view, logins=logins), wishes)
    assert plan.unreached == NODES[1:]
    assert "sim-0002, sim-0003" in plan.all_refusals[0]
    assert make_plan(replace(view, logins=logins), replace(wishes, prove=False)).all_refusals == []
    assert "policies_state=staged" not in plan.all_refusals[0]


def test_failsafes_by_the_environment_of_felix_are_judged(view: View) -> None:
    """SSH is a failsafe in the API, and none for the Felix that runs."""
    wishes = Wishes(host_endpoints=HEPS, policies=policies(a_set("shut", "Deny")))
    assert make_plan(view, wishes).all_refusals == []
    seen = replace(view, environment={"FELIX_FailsafeInboundHostPorts": "tcp:6443"})
    assert "set shut is not written: SSH from" in make_plan(seen, wishes).all_refusals[0]


def test_gates_that_are_switched_off_are_said_and_nothing_is_called_allowed(view: View) -> None:
    wishes = Wishes(host_endpoints=HEPS, policies=policies(a_set("shut", "Deny"), reach=False), prove=False)
    plan = make_plan(view, wishes)
    reach, prove = plan.unseen
    assert reach.startswith("policies (shut): reach is off: nobody looked")
    assert prove.startswith("prove is off: ")
    lines = screen(plan)
    assert "  nobody looked what that means for connections: policies (shut)" in lines
    assert not any("stays allowed" in line for line in lines)
    assert any("prove is off" in line for line in lines)
    assert make_plan(view, replace(wishes, policies=policies(a_set("shut", "Deny", "staged")))).unseen == []
    assert (
        make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow")))).unseen == []
    )


def test_where_what_is_in_force_may_be_why_nodes_are_not_reached_the_way_back_is_said(view: View) -> None:
    wishes = Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow")))
    now = after(view, make_plan(view, wishes))
    shut = replace(now, logins=replace(view.logins, reached=frozenset(NODES[1:])))
    plan = make_plan(shut, wishes)
    assert not [write for step in plan.steps for write in step.writes]
    assert "cannot log in to them" in plan.all_refusals[0]
    assert "In force already, and perhaps why: open." in plan.all_refusals[0]
    assert "-e policies_state=staged" in plan.all_refusals[0]
    back = make_plan(shut, replace(wishes, policies=policies(a_set("open", "Allow", "staged"))))
    assert back.all_refusals == []


def test_what_is_loosened_only_waits_for_nodes_that_nobody_tried(view: View) -> None:
    """What is loosened may be loosened to come in again."""
    first = make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow"))))
    stored = {kind: [*view.of(kind)] for kind in view.objects}
    for step in first.steps:
        for write in step.writes:
            if write.after:
                stored.setdefault(write.kind, []).append(write.after)
    later = replace(view, objects=stored)
    absent = Wishes(policies=policies(PolicySet("open", "absent")))
    tried = replace(view.logins, reached=frozenset())
    plan = make_plan(replace(later, logins=tried), absent)
    assert plan.changes_enforcement
    assert plan.all_refusals == []
    nobody = replace(tried, tried=frozenset(), given=())
    assert "cannot log in" in make_plan(replace(later, logins=nobody), absent).all_refusals[0]


def test_preflight_that_stops_leaves_no_step(view: View) -> None:
    stop = Finding("datastore", ERROR, "not ready", "unlock it")
    plan = make_plan(replace(view, findings=(stop,)), Wishes(host_endpoints=HEPS))
    assert plan.steps == ()
    assert plan.all_refusals == ["Nothing was written. datastore: not ready: unlock it."]
    ignored = Wishes(host_endpoints=HEPS, preflight_ignored=("datastore",))
    assert make_plan(replace(view, findings=(stop,)), ignored).steps


def test_no_node_selected_is_one_message(view: View) -> None:
    with pytest.raises(BadInput, match="selects no node"):
        make_plan(replace(view, selected=()), Wishes(host_endpoints=HEPS))


def test_what_is_enforced_is_judged_though_nothing_is_written(view: View) -> None:
    stands = enforced(view, a_set("open", "Allow"))
    again = make_plan(stands, Wishes(policies=policies(a_set("open", "Allow"))))
    assert [step.writes for step in again.steps] == [()]
    assert (again.changes_enforcement, again.is_judged, again.enforces) == (False, True, True)
    shut = replace(stands, logins=replace(view.logins, reached=frozenset()))
    assert (
        "cannot log in" in make_plan(shut, Wishes(policies=policies(a_set("open", "Allow")))).all_refusals[0]
    )


def test_whether_connections_are_needed_is_found_without_them(view: View) -> None:
    nothing = replace(view, logins=Logins())
    staging = Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow", "staged")))
    assert not is_judged(nothing, staging)
    assert is_judged(nothing, Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow"))))
    assert not is_judged(nothing, Wishes(policies=policies(a_set("open", "Allow"))))


@pytest.mark.parametrize(("before", "kept"), [("enforced", True), ("staged", False), ("absent", False)])
def test_a_state_that_is_not_said_is_that_of_the_cluster(view: View, before: str, kept: bool) -> None:
    stands = view if before == "absent" else enforced(view, a_set("open", "Allow", before))
    plan = make_plan(stands, Wishes(host_endpoints=HEPS, policies=policies(a_set("open", "Allow", "kept"))))
    state = plan.steps[-1].after
    assert (bool(state.enforced), bool(state.staged)) == (kept, not kept)
    assert plan.enforces == kept


def test_a_set_is_not_enforced_without_its_networks(view: View) -> None:
    lacking = replace(a_set("open", "Allow"), missing=("policies_ssh_sources",))
    [refusal] = make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(lacking))).all_refusals
    assert refusal.startswith("set open is not enforced: policies_ssh_sources: must not be empty")
    staged = replace(lacking, state="staged")
    assert make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(staged))).all_refusals == []
