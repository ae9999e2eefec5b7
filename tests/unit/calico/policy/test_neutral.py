# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes decides nothing before it is deleted, in the order in which its effect was to go."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.names import (
    NETWORK_SET,
    POLICY,
    STAGED_POLICY,
    TIER,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.neutral import neutral_first
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.write import PolicyWrite
from hypothesis import given
from hypothesis import strategies as st

V1 = "crd.projectcalico.org/v1"
SPECS: dict[str, dict[str, Any]] = {
    POLICY: {
        "tier": "t",
        "order": 7,
        "selector": "a == 'b'",
        "preDNAT": True,
        "ingress": [{"action": "Deny"}],
    },
    STAGED_POLICY: {"tier": "t", "selector": "a == 'b'"},
    NETWORK_SET: {"nets": ["192.0.2.0/24"]},
    TIER: {"order": 100, "defaultAction": "Deny"},
}


def stored(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": "u", "labels": {"l": "m"}}, "spec": {**SPECS[kind], **spec}}


def delete(kind: str, name: str, **spec: Any) -> PolicyWrite:
    return PolicyWrite("delete", kind, name, None, stored(kind, name, **spec))


def told(writes: tuple[PolicyWrite, ...]) -> list[str]:
    return [f"{write.action} {write.kind} {write.name}" for write in writes]


def test_a_policy_selects_nothing_before_it_is_deleted() -> None:
    update, gone = neutral_first([delete(POLICY, "t.p")], V1)
    assert update.wanted == {
        "apiVersion": V1,
        "kind": POLICY,
        "metadata": {"name": "t.p", "labels": {"l": "m"}},
        "spec": {"tier": "t", "order": 7, "selector": "!all()", "types": ["Ingress"]},
    }
    assert update.interim
    assert (gone.action, gone.live) == ("delete", stored(POLICY, "t.p"))


def test_deletes_come_last_and_tiers_after_what_is_in_them() -> None:
    opened = PolicyWrite("update", TIER, "t", stored(TIER, "t", defaultAction="Pass"), stored(TIER, "t"))
    create = PolicyWrite("create", STAGED_POLICY, "t.p", stored(STAGED_POLICY, "t.p"), None)
    writes = [opened, delete(POLICY, "t.p"), delete(NETWORK_SET, "s"), delete(TIER, "t"), create]
    assert told(neutral_first(writes, V1)) == [
        "update Tier t",
        "update GlobalNetworkPolicy t.p",
        "update GlobalNetworkSet s",
        "create StagedGlobalNetworkPolicy t.p",
        "delete GlobalNetworkPolicy t.p",
        "delete GlobalNetworkSet s",
        "delete Tier t",
    ]


def test_a_tier_that_denies_passes_before_it_is_deleted() -> None:
    update, gone = neutral_first([delete(TIER, "t")], V1)
    assert (update.wanted or {})["spec"] == {"order": 100, "defaultAction": "Pass"}
    assert told((gone,)) == ["delete Tier t"]


def test_a_bridge_of_the_same_run_selects_nothing_before_it_is_deleted() -> None:
    bridge = PolicyWrite("create", POLICY, "t.b", stored(POLICY, "t.b"), None, interim=True)
    gone = PolicyWrite("delete", POLICY, "t.b", None, None, interim=True)
    made = neutral_first([bridge, delete(POLICY, "t.p"), gone], V1)
    assert told(made) == [
        "create GlobalNetworkPolicy t.b",
        "update GlobalNetworkPolicy t.p",
        "update GlobalNetworkPolicy t.b",
        "delete GlobalNetworkPolicy t.p",
        "delete GlobalNetworkPolicy t.b",
    ]


def test_what_decides_nothing_already_is_only_deleted() -> None:
    writes = [
        delete(POLICY, "t.p", selector="!all()"),
        delete(NETWORK_SET, "s", nets=[]),
        delete(TIER, "t", defaultAction="Pass"),
        delete(STAGED_POLICY, "t.p"),
    ]
    assert {write.action for write in neutral_first(writes, V1)} == {"delete"}


kinds = st.sampled_from([POLICY, NETWORK_SET, STAGED_POLICY])


@given(st.lists(st.tuples(kinds, st.booleans()), max_size=12))
def test_the_order_of_effects_stays_whatever_is_written(plan: list[tuple[str, bool]]) -> None:
    writes = [
        delete(kind, f"n{index}")
        if goes
        else PolicyWrite("create", kind, f"n{index}", stored(kind, f"n{index}"), None)
        for index, (kind, goes) in enumerate(plan)
    ]
    made = neutral_first(writes, V1)
    first_effects = list(dict.fromkeys(write.name for write in made if write.kind != STAGED_POLICY))
    assert first_effects == [write.name for write in writes if write.kind != STAGED_POLICY]
    deletes = [index for index, write in enumerate(made) if write.action == "delete"]
    assert deletes == list(range(len(made) - len(deletes), len(made)))
    assert len(deletes) == sum(goes for _kind, goes in plan)
