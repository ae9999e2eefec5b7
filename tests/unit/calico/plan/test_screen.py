# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan on one screen."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import Finding
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import Plan, Step, Write
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.screen import (
    drift,
    objects,
    screen,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes

from tests.unit.calico.plan.planned import CLOSED, HEPS, a_set, policies


def test_where_only_preflight_is_asked_for_its_findings_are_shown(view: View) -> None:
    found = replace(view, findings=(Finding("Calico", "ok", "v3.30.1", ""),))
    assert screen(make_plan(found, Wishes())) == ["What was looked at:", "  ok       Calico: v3.30.1"]


def test_what_was_left_alone_is_shown(view: View) -> None:
    wanted = replace(a_set("open", "Allow", "staged"), remarks=("left alone: 1 NetworkPolicy (mine)",))
    assert any(
        "left alone: 1 Net" in line for line in screen(make_plan(view, Wishes(policies=policies(wanted))))
    )


def step(*names: str, interim: bool = False) -> Step:
    writes = tuple(
        Write("create", "Tier", name, None, {"spec": {"order": 1}}, interim=interim) for name in names
    )
    return Step("policies", "one", writes)


def test_many_writes_of_a_kind_are_named_once_and_counted() -> None:
    line = "policies (one): create Tier a, b, c, d and 2 more"
    assert drift(Plan((step(*"abcdef"), Step("felix")))) == [line]
    assert drift(Plan((Step("felix"),))) == []


def test_of_an_object_the_lines_are_shown_that_change() -> None:
    old = {"metadata": {"name": "t", "resourceVersion": "1"}, "spec": {"order": 1, "defaultAction": "Deny"}}
    new = {"metadata": {"name": "t"}, "spec": {"order": 2, "defaultAction": "Deny"}}
    write = Write("update", "Tier", "t", old, new)
    shown = objects(Plan((Step("policies", "one", (write,)), step("on-the-way", interim=True))))
    assert shown[:2] == ["--- before: Tier t", "+++ after: Tier t"]
    assert [line for line in shown[2:] if line[0] in "+-"] == ['-    "order": 1', '+    "order": 2']


def test_what_is_at_risk_is_said_together_with_who_is_governed(view: View) -> None:
    wishes = Wishes(felix=CLOSED, host_endpoints=HEPS, policies=policies(a_set("shut", "Deny")))
    lines = screen(make_plan(view, wishes))
    assert "  create HostEndpoint" not in lines
    assert any("what is enforced changes on 3 nodes" in line for line in lines)
    assert any(line.strip().startswith("SSH from 192.0.2.1") for line in lines)
    assert "Fix first, or nothing is written:" in lines
    harmless = screen(make_plan(view, replace(wishes, policies=policies(a_set("open", "Allow")))))
    assert "Fix first, or nothing is written:" not in harmless


def test_what_is_open_about_vital_flows_is_said_on_the_screen_and_to_the_report(view: View) -> None:
    labelled = {"action": "Deny", "source": {"selector": "team == 'red'"}}
    fields = {"preDNAT": True, "applyOnForward": True, "ingress": [labelled]}
    wanted = a_set("red", "Deny", **fields)
    plan = make_plan(view, Wishes(host_endpoints=HEPS, policies=policies(wanted)))
    assert plan.all_refusals == []
    (line,) = [line.strip() for line in screen(plan) if "depending on this: " in line]
    assert line.startswith("pods: at sim-0001 and 2 more nodes, ")
    assert plan.unseen == [f"policies (red): {line}"]
