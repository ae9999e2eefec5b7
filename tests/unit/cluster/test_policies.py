# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far the writes of a plan came, told for people and for modules."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.planner import WritePlan
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.write import PolicyWrite
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.policies import Carried, read

from tests.unit.builders import V3, policy
from tests.unit.cluster.answers import CALICO, V3_NATIVE, Answers

WRITES = WritePlan(tuple(PolicyWrite("delete", "Tier", name, None, {}) for name in ("a", "b", "c")))


def test_writes_are_told_in_their_order_and_done_as_far_as_they_came() -> None:
    carried = Carried(tried=2, refused={0: "policies are in it"})
    assert [(write["name"], write["done"]) for write in carried.told(WRITES)] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert carried.changed


def test_what_the_api_refuses_to_delete_is_said_with_the_command_by_hand() -> None:
    carried = Carried(tried=1, refused={0: "policies are in it"})
    [line] = carried.left(WRITES, V3_NATIVE)
    assert "kubectl delete tiers.projectcalico.org a" in line
    assert "policies are in it" in line
    assert not carried.changed


def test_each_kind_of_policy_is_listed_once() -> None:
    answers = Answers({f"{CALICO}/globalnetworkpolicies": [policy("p", api=V3)]})
    found = read(answers, V3_NATIVE)
    assert [live.name for live in found.objects] == ["p"]
    assert set(answers.asked.values()) == {1}
