# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a plan finds protected."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes

from tests.unit.calico.plan.planned import HEPS, NODES, a_set, enforced, policies


def test_it_is_what_stood_before_the_plan(view: View) -> None:
    wishes = Wishes(host_endpoints=HEPS, policies=policies(a_set("one", "Allow")))
    before = make_plan(view, wishes).protection
    assert (before["summary"], before["sets"]) == ("0 of 3 nodes have a HostEndpoint", [])
    stands = replace(
        enforced(view, a_set("one", "Allow")),
        selected=NODES[:2],
        unproved={"one": "since today"},
        transaction={"phase": "confirmed"},
    )
    after = make_plan(stands, wishes).protection
    assert [(node["name"], node["made_by"]) for node in after["nodes"]] == [
        (name, "hostfence") for name in NODES[:2]
    ]
    (found,) = after["sets"]
    assert (found["name"], found["state"], found["unproved"]) == ("one", "enforced", "since today")
    assert (after["foreign"], after["pending"], after["transaction"]) == ([], [], {"phase": "confirmed"})


def test_what_is_staged_is_pending(view: View) -> None:
    stands = enforced(view, a_set("one", "Allow", "staged"))
    (change,) = [
        found
        for found in make_plan(stands, Wishes(host_endpoints=HEPS)).protection["pending"]
        if "GlobalNetworkPolicy" in str(found)
    ]
    assert "one" in str(change)
