# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What changes between two states, and what of it no switch can do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.change import (
    NoSwitch,
    change_of,
    compare,
    matched_by,
    refuse_matching,
    refuse_others,
    refuse_shared_sets,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.transaction.state import (
    Contents,
    switch_labels,
)

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.transaction.objects import OURS, contents, gnp, tier


def test_what_does_not_change_is_no_change() -> None:
    same = [tier(), gnp("in", ingress=[])]
    assert compare(contents(same), contents(same)) == (Contents(), Contents())


def refusal(old: list[Object], new: list[Object], others: Sequence[Object] = ()) -> str:
    with pytest.raises(NoSwitch) as refused:
        judged(old, new, others)
    return str(refused.value)


def judged(old: list[Object], new: list[Object], others: Sequence[Object]) -> None:
    before, after = compare(contents(old), contents(new))
    change = change_of(before, after, [o for o in (*old, *new, *others) if o["kind"] == "Tier"])
    refuse_others(change, [*old, *others])
    refuse_shared_sets(change, before, [*old, *others])
    refuse_matching([*old, *others], 1)


def test_what_no_switch_can_do_is_refused_by_name() -> None:
    new = [tier(), gnp("in", ingress=[])]
    foreign = builders.resource("GlobalNetworkPolicy", "t.theirs", tier="t", order=1, selector="all()")
    assert "GlobalNetworkPolicy t.theirs" in refusal([tier(), foreign], [*new, foreign])
    pods = builders.resource("NetworkPolicy", "t.pods", tier="t")
    pods["metadata"]["namespace"] = "shop"
    assert "shop/t.pods" in refusal([tier()], new, [pods])
    assert "doNotTrack" in refusal([tier()], [tier(), gnp("in", doNotTrack=True, applyOnForward=True)])
    moved = [tier(order=900), gnp("in", ingress=[])]
    assert "moves past the tier u" in refusal([tier(), gnp("in")], moved, [tier("u", 500)])
    crowded = [builders.tier("s", order=100)]
    assert "no room" in refusal([tier()], new, crowded)
    default = builders.resource("GlobalNetworkPolicy", "x", labels=OURS, order=1, selector="has(a)")
    assert "Calico's own" in refusal([], [default])


def test_a_network_set_that_changes_under_a_policy_is_refused() -> None:
    rule = [{"action": "Allow", "source": {"selector": "role == 'admin'"}}]
    before = builders.network_set("admins", labels={"role": "admin"}, nets=["192.0.2.0/24"])
    after = builders.network_set("admins", labels={"role": "admin"}, nets=["198.51.100.0/24"])
    old, new = [tier(), gnp("in", ingress=rule), before], [tier(), gnp("in", ingress=rule), after]
    assert "t.in refers to it" in refusal(old, new)


@pytest.mark.parametrize(
    "side",
    [
        {"selector": "all()"},
        {"selector": "!has(role)"},
        {"selector": "app != 'web'"},
        {"notSelector": "app not in {'web'}"},
        {"namespaceSelector": "global()"},
        {"namespaceSelector": "env != 'prod'"},
    ],
)
def test_a_rule_that_would_find_the_switch_is_refused(side: Object) -> None:
    other = builders.policy("pods", order=1, selector="has(app)")
    other["spec"]["ingress"] = [{"action": "Allow", "source": side}]
    with pytest.raises(NoSwitch, match="GlobalNetworkPolicy pods"):
        refuse_matching([other], 1)


@pytest.mark.parametrize(
    "side", [{"selector": "has(role)"}, {"namespaceSelector": "all()"}, {"nets": ["0.0.0.0/0"]}]
)
def test_other_rules_do_not_find_it(side: Object) -> None:
    other = builders.policy("pods", order=1, selector="has(app)")
    other["spec"]["ingress"] = [{"action": "Allow", "source": side}]
    assert matched_by(switch_labels(1), [other]) == ""
