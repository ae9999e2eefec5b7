# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which policy sets a cluster has, in which state, and who else decides about its hosts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import overview, planner
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse

from tests.unit import builders
from tests.unit.builders import V1, V3, Object

WEB = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [7001]}}


def a_set(state: str, name: str = "edge", *policies: str) -> planner.PolicySet:
    given = [
        builders.policy(policy, api=V3, selector="has(db)", ingress=[WEB]) for policy in policies or ("web",)
    ]
    return planner.PolicySet(name, state, parse([Document(item, "here") for item in given], "hostfence"))


def inventory(*objects: Object) -> planner.Inventory:
    by_kind = {kind: [item for item in objects if item["kind"] == kind] for kind in planner.KINDS}
    return planner.inventory_of(by_kind, frozenset(planner.KINDS), V1, raw_v1=True, calico_version="v3.32.1")


def with_sets(*wanted: planner.PolicySet, start: Iterable[Object] = ()) -> planner.Inventory:
    found = inventory(*start)
    for one in wanted:
        found = planner.inventory_after(found, planner.plan(found, one))
    return found


def states(found: planner.Inventory) -> dict[str, str]:
    return {one["name"]: one["state"] for one in overview.sets(found, {})}


@pytest.mark.parametrize("state", [planner.ENFORCED, planner.STAGED, planner.AUDITED])
def test_a_set_is_in_the_state_that_it_was_brought_into(state: str) -> None:
    assert states(with_sets(a_set(state))) == {"edge": state}


@pytest.mark.parametrize("other", [planner.STAGED, planner.AUDITED])
def test_a_set_that_is_enforced_in_part_only_is_mixed(other: str) -> None:
    """As a run leaves it that was interrupted."""
    enforced, rest = (with_sets(a_set(state)) for state in (planner.ENFORCED, other))
    left = [o for o in rest.objects if o.is_copy is (other == planner.AUDITED)]
    both = planner.Inventory((*enforced.objects, *left), enforced.serves, V1, default_prefix=False)
    assert states(both) == {"edge": "mixed"}


def test_a_set_of_which_only_a_tiers_wish_is_left_is_named() -> None:
    tier = builders.resource(
        "Tier", "hostfence", annotations={"sets.hostfence.io/gone": "Deny"}, order=1, defaultAction="Deny"
    )
    (found,) = overview.sets(inventory(tier), {})
    assert (found["name"], found["state"], found["objects"]) == ("gone", "not stored", [])
    assert found["tiers"] == [{"name": "hostfence", "wants": "Deny"}]


def test_a_set_can_be_written_again_from_what_is_said_of_it() -> None:
    stands = with_sets(a_set(planner.ENFORCED))
    (found,) = overview.sets(stands, {})
    assert [obj["name"] for obj in found["objects"]] == ["hostfence.web"]
    again = parse([Document(item, "said") for item in found["definitions"]], "hostfence")
    wanted = planner.PolicySet("edge", found["state"], again)
    assert planner.plan(stands, wanted).writes == ()


def test_what_an_interrupted_run_left_on_the_way_is_no_policy_of_the_set() -> None:
    stands = with_sets(a_set(planner.STAGED))
    labels = {"app.kubernetes.io/managed-by": "hostfence", "hostfence.io/set": "edge"}
    bridge = builders.policy(
        "hostfence.edge-changing", labels=labels, tier="hostfence", ingress=[{"action": "Allow"}]
    )
    both = inventory(*(({**o.stored, "kind": o.kind}) for o in stands.objects), bridge)
    (found,) = overview.sets(both, {})
    assert (found["bridges"], found["state"]) == (["hostfence.edge-changing"], "staged")


def test_only_what_is_enforced_waits_for_a_proof() -> None:
    noted = {"edge": "since today", "ssh": "since today", "gone": "since today"}
    stands = with_sets(a_set(planner.ENFORCED, "edge", "a"), a_set(planner.STAGED, "ssh", "b"))
    assert overview.still_unproved(stands, noted) == {"edge": "since today"}
    assert {one["name"]: one["unproved"] for one in overview.sets(stands, noted)} == {
        "edge": "since today",
        "ssh": "",
    }


def test_tiers_end_in_deny_unless_they_say_otherwise() -> None:
    theirs = builders.tier("theirs", order=5)
    found = {tier["name"]: tier for tier in overview.tiers(with_sets(a_set(planner.STAGED), start=[theirs]))}
    assert found["theirs"] == {"name": "theirs", "order": 5, "default_action": "Deny", "ours": False}
    assert (found["hostfence"]["ours"], found["hostfence"]["default_action"]) == (True, "Pass")


def without_type(obj: Object) -> Object:
    """As a list of the API has it."""
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def test_policies_of_others_are_those_that_select_a_host_endpoint_now() -> None:
    heps = [
        without_type(builders.host_endpoint(name, node=name, labels={"db": ""} if name != "c" else {}))
        for name in ("a", "b", "c")
    ]
    others: list[Any] = [
        builders.policy("x", tier="default", selector="has(db)", order=7),
        builders.policy("nobody", selector="has(web)"),
        builders.policy("s", kind="StagedGlobalNetworkPolicy", selector="has(db)"),
    ]
    stands = with_sets(a_set(planner.ENFORCED), start=others)
    assert overview.foreign(stands, heps) == [
        {"name": "x", "tier": "default", "order": 7, "host_endpoints": 2}
    ]
    assert overview.foreign(stands, []) == []


def test_what_is_pending_is_what_enforcing_the_staged_would_change() -> None:
    assert overview.pending(with_sets(a_set(planner.ENFORCED)), native=False) == []
    (change,) = overview.pending(with_sets(a_set(planner.STAGED)), native=False)
    assert "hostfence.web" in str(change)
