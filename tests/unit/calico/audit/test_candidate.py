# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster's objects once a candidate is enforced, and whether that changes anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import (
    is_change,
    with_candidate,
    with_writes,
)

from tests.unit import builders
from tests.unit.builders import Object

STORED = builders.policy("t.web", tier="t", selector="has(a)")
STAGED = builders.policy("t.web", kind="StagedGlobalNetworkPolicy", tier="t", selector="has(b)")
TIER = builders.tier("t", order=5, defaultAction="Deny")
POOL = builders.resource("IPPool", "pool", cidr="10.244.0.0/16")


def named(objects: Iterable[Any]) -> list[tuple[str, str]]:
    return [(item["kind"], item["metadata"]["name"]) for item in objects]


def write(kind: str, name: str, wanted: Any) -> Object:
    return {"kind": kind, "name": name, "object": wanted}


def test_policies_of_files_are_staged_and_what_is_enforced_stays() -> None:
    then = with_candidate([TIER, STORED, POOL], [builders.policy("web", tier="t", selector="has(c)")])
    assert named(then) == [
        ("Tier", "t"),
        ("GlobalNetworkPolicy", "t.web"),
        ("IPPool", "pool"),
        ("StagedGlobalNetworkPolicy", "t.web"),
    ]


def test_a_candidate_takes_the_place_of_what_is_staged_and_of_tiers_of_its_names() -> None:
    moved = builders.tier("t", order=9)
    wanted = builders.policy("t.web", tier="t", selector="has(c)")
    then = with_candidate([TIER, STAGED], [moved, wanted])
    assert named(then) == [("Tier", "t"), ("StagedGlobalNetworkPolicy", "t.web")]
    assert then[0]["spec"]["order"] == 9
    assert then[1]["spec"]["selector"] == "has(c)"


def test_a_tier_that_nobody_defines_comes_last() -> None:
    *_, made = with_candidate([], [STAGED])
    assert (made["kind"], made["metadata"]["name"], made["spec"]) == ("Tier", "t", {})
    assert named(with_candidate([], [builders.policy("a")])) == [("StagedGlobalNetworkPolicy", "a")]


def test_of_writes_the_last_counts_and_what_else_is_staged_is_left_out() -> None:
    wanted = builders.policy("t.web", tier="t", selector="has(c)")
    interim = write("GlobalNetworkPolicy", "t.web", builders.policy("t.web", tier="t", selector="has(x)"))
    then = with_writes([TIER, STORED, STAGED], [interim, write("GlobalNetworkPolicy", "t.web", wanted)])
    assert named(then)[:2] == [("Tier", "t"), ("GlobalNetworkPolicy", "t.web")]
    (staged,) = [item for item in then if item["kind"].startswith("Staged")]
    assert (staged["spec"]["selector"], staged["spec"]["stagedAction"]) == ("has(c)", "Set")


def test_a_deletion_is_staged_as_one_and_of_what_is_not_there_it_is_none() -> None:
    gone = write("GlobalNetworkPolicy", "t.web", None)
    (staged,) = [item for item in with_writes([STORED], [gone]) if item["kind"].startswith("Staged")]
    assert staged["spec"]["stagedAction"] == "Delete"
    assert with_writes([], [gone]) == []


def test_a_tier_ends_as_it_says_itself_and_not_as_a_staged_set_wants_it() -> None:
    wants = {"sets.hostfence.io/edge": "DenyOnceEnforced"}
    waiting = builders.resource("Tier", "t", annotations=wants, defaultAction="Pass")
    for then in (with_writes([waiting], []), with_writes([], [write("Tier", "t", waiting)])):
        assert then[0]["metadata"]["annotations"] == {}
    assert with_writes([TIER], [write("Tier", "t", None)]) == []


@pytest.mark.parametrize(
    ("then", "changes"),
    [
        ([TIER, STORED], False),
        ([TIER, STORED, STAGED], True),
        ([{**TIER, "spec": {"order": 6}}, STORED], True),
        ([{**TIER, "spec": {**TIER["spec"], "x": None}}, STORED], False),
        ([STORED], False),
        ([TIER, STORED, builders.tier("new")], False),
        ([TIER, STORED, builders.network_set("s", nets=["10.0.0.1/32"])], True),
    ],
)
def test_what_changes_what_is_enforced(then: list[Object], changes: bool) -> None:
    assert is_change([TIER, STORED], then) is changes
