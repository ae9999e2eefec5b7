# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules of lint are asked about: host endpoints, those that do not exist yet, and labels."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.context import (
    LintContext,
    is_pod_label,
    rules_of,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit import builders
from tests.unit.builders import Object
from tests.unit.calico.lint.objects import ALL, DENY_ALL, gnp, hep, tcp


def test_a_narrower_selector_is_joined_by_the_wider_ones_that_hold_for_it_too():
    """Of a control-plane host the policies of all hosts speak as well; none denies loopback here."""
    local = {"action": "Allow", "source": {"nets": ["127.0.0.0/8", "::1/128"]}}
    discovery = {"action": "Allow", "protocol": "ICMPv6"}
    objects = [
        builders.policy("all-hosts", order=1, selector="host == 'yes'", ingress=[local, discovery]),
        builders.policy(
            "masters", order=2, selector="(host == 'yes') && has(master)", ingress=[tcp(ports=[6443])]
        ),
    ]
    assert not [finding for finding in lint(objects) if finding.id.startswith("deny")]
    alone = lint(objects[1:])
    assert {finding.id for finding in alone} >= {"deny-covers-loopback", "deny-without-neighbour-discovery"}


def context(*objects: Object, live: bool = False) -> LintContext:
    return LintContext(read(objects), Options(), {}, (22,), (), live=live)


def test_host_endpoints_that_policy_cannot_tell_apart_are_one_group() -> None:
    heps = [hep("a"), hep("b", node="n2"), hep("c", node="n3", interfaceName="eth0")]
    heps.append(builders.host_endpoint("other", node="n4", labels={"role": "web"}))
    seen = context(*heps, gnp())
    assert sorted(sorted(member.name for member in group.members) for group in seen.groups) == [
        ["a", "b"],
        ["c"],
        ["other"],
    ]
    (policy,) = seen.policies
    assert sorted(str(group) for group in seen.selected(policy)) == [
        "host endpoint a and 1 more",
        "host endpoint c",
    ]


def test_a_host_endpoint_is_made_up_only_where_there_may_be_one_that_is_not_known() -> None:
    (group,) = context(gnp()).groups
    assert (group.imagined, group.labels) == (True, {"role": "db"})
    assert context(gnp()).severity(group, "error") == "info"
    assert context(gnp(), live=True).groups == []
    (real,) = context(gnp(), hep()).groups
    assert context(gnp(), hep()).severity(real, "error") == "error"


def test_a_host_carries_no_label_of_pods() -> None:
    assert [is_pod_label(name) for name in ("pcns.env", "projectcalico.org/namespace", "env", "role")] == [
        True,
        True,
        False,
        False,
    ]
    for selector, found in (("has(role)", True), ("has(pcns.env)", False)):
        seen = context(gnp(selector=selector))
        assert seen.can_select_hosts(seen.policies[0]) is found


@pytest.mark.parametrize(
    ("address", "used"), [("10.0.0.1", False), ("::1", False), ("fe80::1", False), ("fd00::1", True)]
)
def test_whether_ipv6_is_used(address: str, used: bool) -> None:
    assert context(hep(expectedIPs=[address])).uses_ipv6() is used


def test_rules_are_asked_by_direction_and_named_by_field() -> None:
    (policy,) = context(gnp(types=["Egress"], ingress=[ALL], egress=[ALL, DENY_ALL])).policies
    assert [(way, rule.action, field) for way, rule, field in rules_of(policy)] == [
        ("egress", "allow", "spec.egress[0]"),
        ("egress", "deny", "spec.egress[1]"),
    ]
