# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which tiers and policies are asked."""

from __future__ import annotations

from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.tier_order import promoted, rank

from tests.unit import builders
from tests.unit.builders import Object


def gnp(name: str, **spec: Any) -> Object:
    return builders.policy(name, **spec)


def staged(name: str, **spec: Any) -> Object:
    return builders.policy(name, kind="StagedGlobalNetworkPolicy", **spec)


def ranked(*objects: Object, version: tuple[int, int] = (3, 32)) -> list[tuple[str, list[str]]]:
    store = read(objects)
    tiers = rank(store.policies, store.tiers, version)
    return [(tier.name, [policy.ref.name for policy in tier.policies]) for tier in tiers]


def test_policies_by_order_and_none_last() -> None:
    assert ranked(gnp("a"), gnp("b", order=2), gnp("c", order=1.5)) == [("default", ["c", "b", "a"])]


def test_tiers_by_order_none_later_and_missing_ones_last() -> None:
    objects = [
        gnp("1", tier="late"),
        gnp("2", tier="early"),
        gnp("3"),
        gnp("4", tier="unordered"),
        gnp("5", tier="a-missing-one"),
        builders.tier("late", order=2_000_000),
        builders.tier("early", order=5),
        builders.tier("unordered"),
    ]
    names = [name for name, _policies in ranked(*objects)]
    assert names == ["early", "default", "late", "unordered", "a-missing-one"]


def test_equal_tiers_by_name() -> None:
    objects = [
        gnp("1", tier="b"),
        gnp("2", tier="a"),
        builders.tier("a", order=1),
        builders.tier("b", order=1),
    ]
    assert [name for name, _policies in ranked(*objects)] == ["a", "b"]


def test_a_missing_tier_denies_at_its_end() -> None:
    store = read([gnp("x", tier="gone")])
    (tier,) = rank(store.policies, store.tiers)
    assert (tier.exists, tier.default_action) == (False, "Deny")


def test_default_action_is_deny_unless_pass() -> None:
    store = read([gnp("x", tier="t"), builders.tier("t", defaultAction="pass")])
    assert rank(store.policies, store.tiers)[0].default_action == "Deny"


def test_ties_go_by_name_then_kind() -> None:
    assert ranked(gnp("b"), gnp("a"), staged("a")) == [("default", ["a", "a", "b"])]
    store = read([gnp("a"), staged("a")])
    (tier,) = rank(store.policies, store.tiers)
    assert [policy.staged for policy in tier.policies] == [False, True]


def test_ties_compare_the_separator_too() -> None:
    # "a-b/…" is before "a/…" because - is before /: the text compared is not the name alone.
    assert ranked(gnp("a"), gnp("a-b")) == [("default", ["a-b", "a"])]
    assert ranked(gnp("a"), gnp("a-b"), version=(3, 31)) == [("default", ["a", "a-b"])]


def test_ties_before_3_32_go_by_the_stored_name() -> None:
    objects = [gnp("x"), staged("b")]
    assert ranked(*objects) == [("default", ["b", "x"])]
    assert ranked(*objects, version=(3, 31)) == [("default", ["x", "b"])]


def test_promotion_replaces_and_deletes() -> None:
    deletion = builders.resource("StagedGlobalNetworkPolicy", "gone", stagedAction="Delete")
    store = read([gnp("a", order=1), staged("a", order=2), gnp("gone"), deletion, gnp("kept"), staged("new")])
    found = {policy.ref.name: policy for policy in promoted(store.policies, store.staged_deletions)}
    assert sorted(found) == ["a", "kept", "new"]
    assert found["a"].order == 2
    assert not any(policy.staged for policy in found.values())
    assert {policy.ref.kind for policy in found.values()} == {"GlobalNetworkPolicy"}
