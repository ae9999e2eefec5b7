# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sets in the state audited: what the planner writes, and that no write of it changes a verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import planner
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.names import (
    POLICY,
    STAGED_POLICY,
    TIER,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.difference import differences
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    parse_nodes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

from tests.unit import builders
from tests.unit.builders import V1, V3, Object

CASES = Path(__file__).parents[2] / "recordings" / "cases"
WEB = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [7001]}}
DENY = {"action": "Deny"}


def policy(name: str, **spec: Any) -> Object:
    given = {"selector": "all()", "ingress": [WEB, DENY], **spec}
    return builders.policy(name, api=V3, **given)


CANDIDATE = (
    policy("web"),
    policy("before-dnat", preDNAT=True, applyOnForward=True),
    policy("forward", applyOnForward=True),
    policy("raw", doNotTrack=True, applyOnForward=True),
)


def a_set(state: str, *policies: Object, name: str = "edge", **options: Any) -> planner.PolicySet:
    given = policies or CANDIDATE
    return planner.PolicySet(
        name, state, parse([Document(item, "here") for item in given], "hostfence"), **options
    )


def inventory(objects: list[Object], kinds: tuple[str, ...] = planner.KINDS) -> planner.Inventory:
    by_kind = {kind: [item for item in objects if item["kind"] == kind] for kind in kinds}
    return planner.inventory_of(by_kind, frozenset(kinds), V1, raw_v1=True, calico_version="v3.32.1")


def a_tier(name: str, order: float) -> Object:
    return builders.tier(name, order=order)


def after(before: planner.Inventory, wanted: planner.PolicySet) -> planner.Inventory:
    return planner.inventory_after(before, planner.plan(before, wanted))


def titles(planned: planner.WritePlan) -> list[str]:
    return [f"{write.action} {write.kind} {write.name}" for write in planned.writes]


def moments(before: planner.Inventory, planned: planner.WritePlan) -> Iterator[list[Object]]:
    """The policy objects after each write."""
    for count in range(len(planned.writes) + 1):
        part = replace(planned, writes=planned.writes[:count])
        yield planner.objects_after(before, part)


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_the_verdicts_of_recorded_cases_stay_the_same_after_each_write(path: Path) -> None:
    recorded = json.loads(path.read_text())
    options = Options(dataplane=recorded["dataplane"], calico_version=recorded["calico_version"])
    compared = 0
    for case in recorded["cases"][:12]:
        stands = inventory(case["objects"])
        beside = [item for item in case["objects"] if item["kind"] not in planner.KINDS]
        packets = [packet for probe in case["flows"] for packet in probe["all_of"]]
        nodes = parse_nodes(case["nodes"])

        def verdicts(policies: list[Object]) -> list[str]:
            found = judge_objects([*policies, *beside], packets, nodes, options)  # noqa: B023
            return [answer.verdict for answer in found]

        there = planner.plan(stands, a_set(planner.AUDITED))
        back = planner.plan(planner.inventory_after(stands, there), a_set(planner.ABSENT))
        expected = verdicts([*planner.objects_after(stands, planner.WritePlan())])
        for start, planned in ((stands, there), (planner.inventory_after(stands, there), back)):
            assert not planner.changes_enforcement(start, planned)
            for policies in moments(start, planned):
                assert verdicts(policies) == expected, case["name"]
                compared += len(expected)
        assert {
            o.name for o in planner.inventory_after(planner.inventory_after(stands, there), back).objects
        } == {o.name for o in stands.objects}
    assert compared


def test_copies_stand_in_a_tier_before_all_others():
    stands = inventory([a_tier("first", -5), a_tier("default", 1_000_000)])

    found = after(stands, a_set(planner.AUDITED))

    tiers = {o.name: o.spec for o in found.objects if o.kind == TIER}
    assert tiers["audited-hostfence"] == {"order": -6, "defaultAction": "Pass"}
    assert tiers["hostfence"]["defaultAction"] == "Pass"
    assert {o.name for o in found.objects if o.kind == POLICY} == {
        "audited-hostfence.web",
        "audited-hostfence.before-dnat",
        "audited-hostfence.forward",
        "audited-hostfence.end-of-tier-ingress-edge",
    }
    assert not any(o.enforces for o in found.objects)
    assert titles(planner.plan(found, a_set(planner.AUDITED))) == []


def test_what_is_left_out_is_named_and_can_be_read_again():
    stands = inventory([])

    planned = planner.plan(stands, a_set(planner.AUDITED))

    assert planned.left_out == (
        "hostfence.forward: forwarded traffic, only what ends at the host is counted",
        "hostfence.raw: doNotTrack cannot be counted without deciding",
    )
    found = planner.inventory_after(stands, planned)
    assert sorted(planner.left_out(found, "edge")) == sorted(planned.left_out)
    assert planner.left_out(after(stands, a_set(planner.STAGED)), "edge") == ()


@pytest.mark.parametrize("state", [planner.STAGED, planner.ENFORCED, planner.ABSENT])
def test_no_copy_is_left_in_another_state(state: str) -> None:
    audited = after(inventory([]), a_set(planner.AUDITED))

    planned = planner.plan(audited, a_set(state))

    found = planner.inventory_after(audited, planned)
    direct = after(inventory([]), a_set(state))
    assert {(o.kind, o.name): o.spec for o in found.objects} == {
        (o.kind, o.name): o.spec for o in direct.objects
    }
    assert not any(write.interim and write.kind == POLICY for write in planned.writes)
    assert planner.changes_enforcement(audited, planned) is (state == planner.ENFORCED)


def test_an_enforced_set_is_taken_back_before_it_is_counted():
    enforced = after(inventory([]), a_set(planner.ENFORCED))

    planned = planner.plan(enforced, a_set(planner.AUDITED))

    assert planner.changes_enforcement(enforced, planned)
    told = titles(planned)
    assert told.index("update GlobalNetworkPolicy hostfence.web") < told.index(
        "create Tier audited-hostfence"
    )
    assert planner.restore_options(enforced, "edge")["state"] == planner.ENFORCED


def test_sets_that_share_a_tier_share_the_tier_of_copies():
    both = after(
        after(inventory([]), a_set(planner.AUDITED, policy("web"))),
        a_set(planner.AUDITED, policy("ssh", order=3), name="other"),
    )

    one = after(both, a_set(planner.ABSENT, name="other"))
    none = after(one, a_set(planner.ABSENT))

    assert {o.name for o in both.objects if o.kind == POLICY} == {
        "audited-hostfence.web",
        "audited-hostfence.ssh",
        "audited-hostfence.end-of-tier-ingress-edge",
        "audited-hostfence.end-of-tier-ingress-other",
    }
    assert {o.name for o in one.objects if o.is_copy} == {
        "audited-hostfence",
        "audited-hostfence.web",
        "audited-hostfence.end-of-tier-ingress-edge",
    }
    assert not [o for o in none.objects if o.is_copy]


def test_what_is_kept_stays_audited():
    audited = after(inventory([]), a_set(planner.AUDITED))

    kept = planner.settled(audited, a_set(planner.KEPT))

    assert kept.state == planner.AUDITED
    assert planner.settled(inventory([]), a_set(planner.KEPT)).state == planner.STAGED


def test_what_others_decide_first_in_the_same_tier_is_said():
    others = after(inventory([]), a_set(planner.ENFORCED, policy("first"), name="other"))

    planned = planner.plan(others, a_set(planner.AUDITED, policy("web")))

    assert [text for text in planned.left_out if "hostfence.first" in text]


def test_without_staged_kinds_copies_stand_and_without_tiers_nothing_does():
    with_tiers = inventory([], tuple(kind for kind in planner.KINDS if kind != STAGED_POLICY))
    without = inventory([], (POLICY, "GlobalNetworkSet"))

    counted = planner.plan(with_tiers, a_set(planner.AUDITED, policy("web")))
    nothing = planner.plan(without, a_set(planner.AUDITED, policy("web")))

    assert "create GlobalNetworkPolicy audited-hostfence.web" in titles(counted)
    assert counted.not_stored == ("hostfence.web",)
    assert titles(nothing) == []
    assert "no tiers" in nothing.left_out[0]


def test_options_that_bring_it_back_hold_no_copy():
    audited = after(inventory([]), a_set(planner.AUDITED))

    options = planner.restore_options(audited, "edge")

    assert options["state"] == planner.AUDITED
    assert not [item for item in options["definitions"] if item["metadata"]["name"].startswith("audited-")]
    again = parse([Document(item, "here") for item in options["definitions"]], "hostfence")
    wanted = planner.PolicySet("edge", planner.AUDITED, again, default_action="Pass")
    assert not [w for w in planner.plan(audited, wanted).writes if w.kind == STAGED_POLICY]


@pytest.mark.parametrize(
    "make",
    [
        lambda: a_set(planner.STAGED, policy("web", tier="audited-mine")),
        lambda: a_set(planner.STAGED, policy("web"), tier="audited-mine"),
        lambda: planner.plan(inventory([]), a_set(planner.AUDITED, policy("end-of-tier-ingress-edge"))),
        lambda: planner.plan(inventory([]), a_set(planner.AUDITED, policy("w" * 240))),
        lambda: planner.plan(
            inventory([]), a_set(planner.AUDITED, policy("web", tier="t" * 60), tier="t" * 60)
        ),
        lambda: planner.plan(inventory([a_tier("audited-hostfence", 3)]), a_set(planner.AUDITED)),
    ],
)
def test_names_that_cannot_be_had_are_refused(make: Any) -> None:
    with pytest.raises(BadInput):
        make()


@pytest.mark.parametrize("state", [planner.STAGED, planner.AUDITED])
def test_what_enforcing_would_change_is_the_policies_and_not_their_counted_copies(state):
    now, then = planner.once_enforced(after(inventory([]), a_set(state, policy("web"))))
    found = [(c.action, c.kind, c.name, len(c.rules)) for c in differences(now, then)]
    assert found == [("added", POLICY, "hostfence.web", 2)]


def test_what_is_enforced_is_no_difference():
    now, then = planner.once_enforced(after(inventory([]), a_set(planner.ENFORCED)))
    assert now
    assert differences(now, then) == []
