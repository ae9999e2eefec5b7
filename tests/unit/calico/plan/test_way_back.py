# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How policy is brought back."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.builder import make_plan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.view import View
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.wishes import Wishes

from tests.unit.calico.plan.planned import CLOSED, a_set, enforced, policies


class TestWayBack:
    def test_the_last_set_that_changes_goes_back_first(self, view: View) -> None:
        stands = enforced(view, a_set("one", "Allow"))
        changed = a_set("one", "Allow", selector="all()")
        plan = make_plan(stands, Wishes(policies=policies(changed, a_set("two", "Allow", order=20))))
        back = plan.way_back.sets
        assert [(options["name"], options["state"]) for options in back] == [
            ("two", "absent"),
            ("one", "enforced"),
        ]
        [definition] = [d for d in back[1]["definitions"] if d["kind"] == "GlobalNetworkPolicy"]
        assert definition["spec"]["selector"] == "host-endpoint == 'ingress'"
        assert "taken back to what they were" in plan.way_back.message

    def test_there_is_none_where_nothing_changes(self, view: View) -> None:
        stands = enforced(view, a_set("one", "Allow"))
        plan = make_plan(stands, Wishes(policies=policies(a_set("one", "Allow"))))
        assert plan.way_back.sets == ()
        assert "changed nothing that is enforced" in plan.way_back.message

    def test_where_failsafes_change_all_that_is_enforced_is_staged(self, view: View) -> None:
        stands = enforced(view, a_set("one", "Allow"), a_set("two", "Allow", order=20))
        plan = make_plan(stands, Wishes(felix=CLOSED))
        assert [(o["name"], o["state"]) for o in plan.stage_all.sets] == [
            ("one", "staged"),
            ("two", "staged"),
        ]
        assert "one, two" in plan.stage_all.message
