# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written so that nodes have their HostEndpoints, and what of others is seen on the way."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (
    HostEndpointTemplate,
    desired,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_plan import (
    HostEndpointPlan,
    coverage,
    node_table,
    plan,
    plan_removal,
)

from tests.unit import builders
from tests.unit.builders import V1, Object

AUTO = {"projectcalico.org/created-by": "calico-kube-controllers"}


def ours(node: str, address: str = "10.0.0.1") -> Object:
    return desired(builders.node(node, address), HostEndpointTemplate(), V1)


def theirs(name: str, node: str, labels: Any = None, **spec: Any) -> Object:
    return builders.host_endpoint(name, node=node, labels=labels, **spec)


def changes(found: HostEndpointPlan) -> list[tuple[str, str, str]]:
    return [(change.action, change.node, change.name) for change in found.changes]


def test_what_is_missing_differs_or_has_no_node_is_written_and_the_rest_is_counted() -> None:
    stored = [ours("n1"), ours("n2", "10.0.0.99"), ours("gone")]
    found = plan([ours("n1"), ours("n2"), ours("n3")], ["n1", "n2", "n3"], stored)
    assert changes(found) == [
        ("update", "n2", "n2-hostfence"),
        ("create", "n3", "n3-hostfence"),
        ("delete", "gone", "gone-hostfence"),
    ]
    assert (found.selected, found.unchanged) == (["n1", "n2", "n3"], 1)
    update, create, delete = found.changes
    assert update.live == stored[1]
    assert update.wanted
    assert update.wanted["spec"]["expectedIPs"] == ["10.0.0.1"]
    assert (create.live, create.wanted) == (None, ours("n3"))
    assert (delete.live, delete.wanted) == (stored[2], None)


def test_a_node_that_is_no_longer_selected_loses_its_own_and_keeps_that_of_others() -> None:
    found = plan([], ["n1"], [ours("n1"), theirs("x", "n1")])
    assert changes(found) == [("delete", "n1", "n1-hostfence")]
    assert [hep.name for hep in found.foreign] == ["x"]


def test_a_name_that_others_took_is_refused_before_anything_is_written() -> None:
    with pytest.raises(BadInput) as refused:
        plan([ours("n1")], ["n1"], [theirs("n1-hostfence", "n1")])
    assert (refused.value.field, refused.value.value) == ("HostEndpoint n1-hostfence", "someone else")


@pytest.mark.parametrize(
    ("hep", "made_by", "exists", "active"),
    [
        (theirs("n1-auto-hep", "n1", AUTO), "calico", True, True),
        (theirs("z", "n1"), "someone else", True, False),
        (theirs("a", "n1", interfaceName="eth0"), "someone else", True, False),
        (theirs("a", "n9"), "someone else", False, False),
        # Felix uses it, but Hostfence has none there.
        (theirs("a", "n2"), "someone else", True, False),
    ],
)
def test_what_others_made_is_told_with_whether_felix_uses_it(
    hep: Object, made_by: str, exists: bool, active: bool
) -> None:
    (found,) = plan([ours("n1")], ["n1", "n2"], [hep]).foreign
    assert (found.made_by, found.node_exists, found.active_instead_of_ours) == (made_by, exists, active)


def test_one_without_an_interface_goes_by_its_addresses() -> None:
    (found,) = plan([], ["n1"], [theirs("a", "n1", interfaceName=None)]).foreign
    assert found.interface == "by-ip"


def test_a_removal_leaves_those_of_others() -> None:
    found = plan_removal([ours("n1"), theirs("x", "n1"), theirs("n2-auto-hep", "n2", AUTO)])
    assert changes(found) == [("delete", "n1", "n1-hostfence")]


def test_a_node_is_shown_with_the_wildcard_that_felix_uses() -> None:
    heps = [
        theirs("a", "n1", interfaceName="eth0"),
        theirs("z", "n1"),
        ours("n1"),
        theirs("c", "n2", interfaceName="eth1"),
        theirs("b", "n2", interfaceName="eth0"),
        ours("other"),
    ]
    assert coverage(["n1", "n2", "n3"], heps) == {"n1": "n1-hostfence", "n2": "b"}
    table, summary = node_table(["n1", "n2", "n3"], heps)
    assert [(row["name"], row["made_by"]) for row in table] == [
        ("n1", "hostfence"),
        ("n2", "someone else"),
        ("n3", ""),
    ]
    assert summary == "2 of 3 nodes have a HostEndpoint"
