# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a plan says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.plan.model import (
    Plan,
    Programmed,
    State,
    Step,
    Write,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.transition import BRIDGE_SUFFIX


def test_a_write_is_named_by_kind_namespace_and_name() -> None:
    assert Write("create", "Tier", "t").title == "Tier t"
    assert Write("create", "ServiceAccount", "a", namespace="ns").title == "ServiceAccount ns/a"


def test_refusals_of_the_plan_come_before_those_of_its_steps() -> None:
    plan = Plan((Step("felix", refusals=("b",)), Step("policies", refusals=("c",))), refusals=("a",))
    assert plan.all_refusals == ["a", "b", "c"]


def test_who_is_governed_is_so_when_all_is_done() -> None:
    steps = (Step("felix", after=State()), Step("policies", after=State(nodes=("n1",))))
    assert (Plan(steps).governed, Plan().governed) == (("n1",), ())


def test_what_felix_makes_no_chains_of_is_not_looked_for() -> None:
    programmed = Programmed({"n1": ("t.a",)}, ("t.b",))
    assert programmed.of("n1") == {"policies": ["t.a"], "absent_policies": ["t.b"]}
    assert programmed.of("ebpf") == {"policies": [], "absent_policies": []}


GOVERNED = State(nodes=("n1",))
BRIDGE = Write("create", "GlobalNetworkPolicy", f"t.one{BRIDGE_SUFFIX}", interim=True)


def step(**fields: Any) -> Step:
    return Step(**{"name": "policies", "subject": "one", "after": GOVERNED, **fields})


@pytest.mark.parametrize(
    ("plan", "by_switch"),
    [
        (Plan((step(changes_enforcement=True, judged=True, enforced=True),)), True),
        (Plan((step(judged=True, enforced=True),)), False),
        (Plan((step(judged=True, enforced=True),), is_pending=True), True),
        (Plan((step(changes_enforcement=True, judged=True, enforced=True, after=State()),)), False),
        (Plan((step(name="felix", changes_enforcement=True, judged=True, enforced=True),)), False),
        (Plan((step(changes_enforcement=True, judged=True),)), False),
        (Plan((step(changes_enforcement=True, judged=True, writes=(BRIDGE,)),)), False),
        (Plan((step(changes_enforcement=True, judged=True, writes=(BRIDGE,)),), stays_enforced=True), True),
        (Plan((step(changes_enforcement=True, judged=True),), stays_enforced=True), False),
    ],
)
def test_when_a_switch_carries_out_the_policy_sets(plan: Plan, by_switch: bool) -> None:
    assert plan.by_switch is by_switch
