# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies that make one tier, or the one before it, decide."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.guards import (
    first_order,
    guard,
    selections,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.state import (
    Wave,
    switch_selector,
)


def test_selections_keep_classes_and_directions_apart() -> None:
    found = selections(
        [
            {"selector": "has(a)", "types": ["Ingress"]},
            {"selector": "has(b)", "types": ["ingress"]},
            {"selector": "has(a)", "types": ["Ingress", "Egress"]},
            {"selector": "has(a)", "preDNAT": True, "applyOnForward": True},
            {"selector": "no selector", "types": ["Ingress"]},
        ]
    )
    assert [(s.selector, s.types, s.pre_dnat) for s in found] == [
        ("(has(a)) || (has(b))", ("Ingress",), False),
        ("has(a)", ("Ingress",), True),
        ("has(a)", ("Ingress", "Egress"), False),
    ]


def test_all_of_several_is_all() -> None:
    (found,) = selections([{"selector": "has(a)", "types": ["Egress"]}, {"types": ["Egress"]}])
    assert (found.selector, found.types) == ("all()", ("Egress",))


def test_what_a_prednat_policy_governs_is_ingress_whatever_it_says() -> None:
    (found,) = selections([{"selector": "has(a)", "types": ["Egress"], "preDNAT": True}])
    assert found.types == ("Ingress",)
    (unsaid,) = selections([{"selector": "has(a)"}])
    assert unsaid.types == ("Ingress", "Egress")


ONE = Wave("first", "has(one)", ("n1",))
EVERYWHERE = Wave("all", "", ("n1",))


def test_a_guard_passes_what_comes_from_and_goes_to_the_switch() -> None:
    (of_both,) = selections([{"selector": "has(a)", "applyOnForward": True, "namespaceSelector": "has(n)"}])
    spec = guard(of_both, ONE, 1, "t", 4, when_on=True)
    switch = switch_selector(1)
    assert spec == {
        "tier": "t",
        "order": 4,
        "selector": "(has(a)) && (has(one))",
        "types": ["Ingress", "Egress"],
        "ingress": [{"action": "Pass", "source": {"notSelector": switch}}],
        "egress": [{"action": "Pass", "destination": {"notSelector": switch}}],
        "namespaceSelector": "has(n)",
        "applyOnForward": True,
    }
    off = guard(of_both, EVERYWHERE, 1, "t", 4, when_on=False)
    assert off["selector"] == "has(a)"
    assert off["ingress"] == [{"action": "Pass", "source": {"selector": switch}}]


def test_a_guard_of_all_that_is_in_a_wave_selects_the_wave() -> None:
    (of_all,) = selections([{"types": ["Ingress"], "preDNAT": True, "applyOnForward": True}])
    spec = guard(of_all, ONE, 1, "t", 4, when_on=True)
    assert (spec["selector"], spec["types"], spec["preDNAT"]) == ("has(one)", ["Ingress"], True)
    assert "egress" not in spec


def test_a_guard_comes_before_all_policies_of_its_tier() -> None:
    assert first_order([{"order": 10}, {}, {"order": -3.5}]) == -4.5
    assert first_order([{}]) == 0
