# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The exact difference of two sets of objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.difference import (
    differences,
    lines,
)

from tests.unit import builders
from tests.unit.builders import V3, Object

ALLOW_WEB = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}
DENY = {"action": "Deny"}
LOG = {"action": "Log"}


def policy(*rules: Object, **spec: Any) -> Object:
    given = {"selector": "all()", "order": 10, "ingress": list(rules), **spec}
    return builders.policy("edge", api=V3, **given)


def rules(before: list[Object], after: list[Object]) -> list[tuple[str, int | None, int | None]]:
    (change,) = differences([policy(*before)], [policy(*after)])
    assert change.fields == ()
    return [(rule.action, rule.before, rule.after) for rule in change.rules]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([DENY], [LOG, DENY], [("added", None, 0)]),
        ([LOG, DENY], [DENY], [("removed", 0, None)]),
        ([ALLOW_WEB], [DENY], [("removed", 0, None), ("added", None, 0)]),
        ([ALLOW_WEB, DENY, LOG], [DENY, LOG, ALLOW_WEB], [("moved", 0, 2)]),
        ([DENY], [DENY, DENY], [("added", None, 1)]),
    ],
)
def test_rules_are_added_removed_and_moved(before, after, found):
    assert rules(before, after) == found


def test_how_a_rule_is_written_makes_no_difference():
    one = policy(ALLOW_WEB)
    other = policy(
        {"action": "Allow", "protocol": 6, "destination": {"ports": ["443:443"]}}, selector="all( )"
    )
    assert differences([one], [other]) == []
    assert differences([one], [policy(ALLOW_WEB, doNotTrack=False)]) == []


def test_a_field_has_its_name_in_the_api_and_both_values():
    (change,) = differences([policy()], [policy(order=7, applyOnForward=True, selector="has(a)")])
    found = {field.field: (field.before, field.after) for field in change.fields}
    assert found == {
        "order": ("10", "7"),
        "applyOnForward": (None, "true"),
        "selector": ('"all()"', '"has(a)"'),
    }


def test_a_policy_that_is_staged_and_then_enforced_is_one_that_changed():
    staged = policy(DENY, kind="StagedGlobalNetworkPolicy", stagedAction="Set")
    (change,) = differences([staged], [policy(DENY)])
    assert (change.action, change.kind) == ("changed", "GlobalNetworkPolicy")
    assert [(f.field, f.before, f.after) for f in change.fields] == [
        ("kind", "StagedGlobalNetworkPolicy", "GlobalNetworkPolicy")
    ]
    assert change.rules == ()
    # Where it was enforced already, the staged one is another object.
    assert [c.action for c in differences([staged, policy(LOG)], [policy(LOG)])] == ["removed"]


def test_an_object_on_one_side_has_all_of_its_rules_and_fields():
    (change,) = differences([], [policy(DENY, LOG)])
    assert change.action == "added"
    assert [(rule.action, rule.after) for rule in change.rules] == [("added", 0), ("added", 1)]
    assert {field.field for field in change.fields} == {"selector", "order", "types"}


def test_tiers_network_sets_and_host_endpoints_are_compared():
    before = [
        builders.tier("t", api=V3, order=1, defaultAction="Deny"),
        builders.network_set("g", api=V3, labels={"a": "1"}, nets=["192.0.2.0/24"]),
        builders.resource(
            "HostEndpoint",
            "h",
            api=V3,
            labels={"role": "x"},
            node="n",
            interfaceName="*",
            expectedIPs=["10.0.0.1"],
        ),
    ]
    after = [
        builders.tier("t", api=V3, order=1, defaultAction="Pass"),
        builders.network_set("g", api=V3, labels={"a": "2"}, nets=["192.0.2.0/25"]),
        builders.resource(
            "HostEndpoint",
            "h",
            api=V3,
            labels={"role": "y"},
            node="n",
            interfaceName="*",
            expectedIPs=["10.0.0.1"],
        ),
    ]
    found = {change.kind: [field.field for field in change.fields] for change in differences(before, after)}
    assert found == {
        "GlobalNetworkSet": ["labels", "nets"],
        "HostEndpoint": ["labels"],
        "Tier": ["defaultAction"],
    }
    assert differences(before, before) == []


def test_what_felix_drops_is_not_there():
    dropped = policy(selector="all(")
    assert [c.action for c in differences([policy(DENY)], [dropped])] == ["removed"]


def test_the_plain_form_is_json_and_the_lines_say_the_same():
    found = differences([policy(DENY)], [policy(ALLOW_WEB, DENY, order=7)])
    json.dumps([change.as_dict() for change in found])
    assert list(lines(found)) == [
        "~ GlobalNetworkPolicy edge",
        "    order: 10 -> 7",
        '    + ingress[0]: {"action": "Allow", "destination": {"ports": [443]}, "protocol": "TCP"}',
    ]
