# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Audited copies decide nothing: every recorded case gets the same verdicts with them as without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import lint
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.audited import (
    CandidateTier,
    audited,
    original_name,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.interface_owner import (
    parse_nodes,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)

from tests.unit import builders
from tests.unit.builders import V1, Object

CASES = sorted((Path(__file__).parents[2] / "recordings" / "cases").glob("*.json"))


def gnp(name: str, tier: str = "mine", **spec: Any) -> Object:
    return builders.policy(name, tier=tier, **{"selector": "all()", **spec})


def policies_of(objects: list[Object]) -> list[Object]:
    found = [item for item in objects if item["kind"] in ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")]
    return [{**item, "spec": item.get("spec") or {}} for item in found]


def copies_of(candidate: list[Object], objects: list[Object], *, log: bool = False) -> list[Object]:
    tiers = {item["metadata"]["name"]: item.get("spec") or {} for item in objects if item["kind"] == "Tier"}
    names = {str(policy["spec"].get("tier") or "default") for policy in candidate} | tiers.keys()
    known = [CandidateTier(name, tiers.get(name, {}).get("defaultAction", "Deny")) for name in sorted(names)]
    orders = [spec["order"] for spec in tiers.values() if spec.get("order") is not None]
    rendered = audited(candidate, known, min(orders, default=None), "case", log=log)
    owner = {"app.kubernetes.io/managed-by": "hostfence"}
    return [
        {**item, "apiVersion": V1, "metadata": {**item["metadata"], "labels": owner}}
        for item in rendered.objects
    ]


def verdicts(case: Object, objects: list[Object], recorded: Object) -> list[str]:
    options = Options(dataplane=recorded["dataplane"], calico_version=recorded["calico_version"])
    packets = [packet for probe in case["flows"] for packet in probe["all_of"]]
    return [answer.verdict for answer in judge_objects(objects, packets, parse_nodes(case["nodes"]), options)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_no_verdict_of_a_recorded_case_changes(path: Path) -> None:
    """With the case's own policies as the candidate, and with those of the next case."""
    recorded = json.loads(path.read_text())
    cases = recorded["cases"]
    compared = 0
    for case, other in zip(cases, [*cases[1:], cases[0]]):
        before = verdicts(case, case["objects"], recorded)
        for candidate in (policies_of(case["objects"]), policies_of(other["objects"])):
            for log in (False, True):
                copies = copies_of(candidate, [*case["objects"], *other["objects"]], log=log)
                assert verdicts(case, [*case["objects"], *copies], recorded) == before, case["name"]
            compared += len(before)
    assert compared


def test_lint_says_nothing_of_copies() -> None:
    recorded = json.loads(CASES[0].read_text())
    for case in recorded["cases"]:
        copies = copies_of(policies_of(case["objects"]), case["objects"])
        assert lint([*case["objects"], *copies]) == lint(case["objects"])


def test_a_copy_names_its_original_and_each_rule_its_place():
    policy = gnp(
        "mine.web",
        ingress=[{"action": "Log"}, {"action": "Allow", "protocol": "TCP"}, {"action": "Deny"}],
    )

    tier, copy, end = audited([policy], [CandidateTier("mine")], 3, "edge").objects

    assert (tier["metadata"]["name"], tier["spec"]) == (
        "audited-mine",
        {"order": -1, "defaultAction": "Pass"},
    )
    assert original_name(copy["metadata"]["name"]) == "mine.web"
    assert [(rule["action"], rule["metadata"]["annotations"]) for rule in copy["spec"]["ingress"]] == [
        ("Pass", {"hostfence.io/audits": "1"}),
        ("Pass", {"hostfence.io/audits": "2"}),
    ]
    assert end["metadata"]["name"] == "audited-mine.end-of-tier-ingress-edge"


def test_what_would_be_denied_is_logged_if_asked_for_and_nothing_else():
    web = {"protocol": "TCP", "destination": {"ports": [80]}}
    rules = [
        {"action": "Log"},
        {"action": "Allow", **web},
        {"action": "Deny", **web, "metadata": {"annotations": {}}},
    ]

    _tier, copy, end = audited(
        [gnp("mine.web", ingress=rules)], [CandidateTier("mine")], 3, "edge", log=True
    ).objects

    denied = {"annotations": {"hostfence.io/audits": "2"}}
    assert copy["spec"]["ingress"][1:] == [
        {"action": "Log", **web},
        {"action": "Pass", **web, "metadata": denied},
    ]
    assert [rule["action"] for rule in end["spec"]["ingress"]] == ["Log", "Pass"]
    assert [rule["action"] for rule in copy["spec"]["ingress"]] == ["Pass", "Log", "Pass"]


def test_what_is_not_neutral_is_left_out_by_name():
    untracked = gnp("mine.raw", doNotTrack=True, applyOnForward=True)
    forwarded = gnp("mine.forward", applyOnForward=True)

    rendered = audited([untracked, forwarded], [CandidateTier("mine")], None, "edge")

    assert [text.partition(":")[0] for text in rendered.left_out] == ["mine.raw", "mine.forward"]
    assert "applyOnForward" not in json.dumps(rendered.objects)


def test_a_tier_that_ends_in_pass_denies_nothing_at_its_end():
    rendered = audited([gnp("mine.web")], [CandidateTier("mine", "Pass")], None, "edge")

    assert [item["metadata"]["name"] for item in rendered.objects] == ["audited-mine", "audited-mine.web"]
