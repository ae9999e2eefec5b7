# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings: their shape, order and choice; and that each rule has its case in the test of its own file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.lint.run import (
    RULES,
    as_dicts,
    count_findings,
    errors_of,
    lint,
)

from tests.unit.calico.lint.objects import DENY_ALL, gnp, hep, staged

ROOT = Path(__file__).parents[4]
RULE_FILES = sorted(path.stem for path in (ROOT / "plugins/module_utils/calico/lint").glob("*_rules.py"))


@pytest.mark.parametrize("file", RULE_FILES)
def test_every_rule_has_a_case(file: str) -> None:
    """In the test file of its own file."""
    elsewhere = {"known-fault"}  # test_known_faults.py
    rules = import_module(f"{lint.__module__.rpartition('.')[0]}.{file}").RULES
    cases = import_module(f"tests.unit.calico.lint.test_{file}").CASES
    assert {name for name, _fires, _silent in cases} == set(rules) - elsewhere
    assert set(rules) <= set(RULES)


def test_no_rule_is_outside_of_the_files_of_rules() -> None:
    found = [import_module(f"{lint.__module__.rpartition('.')[0]}.{file}").RULES for file in RULE_FILES]
    assert {name for rules in found for name in rules} == set(RULES)


def test_the_documentation_tells_every_rule() -> None:
    page = (ROOT / "docs" / "lint.md").read_text()
    told = {
        line.split("`")[1]: line.rsplit("| ", 1)[1][:-2]
        for line in page.splitlines()
        if line.startswith("| `")
    }
    assert told == dict(RULES)


def test_findings_say_which_object_which_field_and_what_to_do() -> None:
    (finding,) = [found for found in lint([gnp(types=None)]) if found.id == "v1-empty-types"]
    assert finding.as_dict() == {
        "id": "v1-empty-types",
        "severity": "error",
        "object": "GlobalNetworkPolicy p",
        "field": "spec.types",
        "message": "no types in a v1 object means Ingress and Egress: egress is governed without any rule, "
        "so the end of the tier decides it",
        "remedy": "write types: [Ingress], or [Ingress, Egress] if both are meant",
        "family": "",
        "table": "",
        "chain": "",
    }


def test_errors_come_first_and_are_counted() -> None:
    findings = lint([hep(), gnp(ingress=[DENY_ALL], selector="all()"), gnp("q", selector="x = 1")])
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert count_findings(findings)["error"] == len(errors_of(findings)) > 0
    assert as_dicts(findings)[0]["severity"] == "error"


def test_focus_leaves_other_objects_out() -> None:
    objects = [gnp("a", types=None), gnp("b", types=None)]
    findings = lint(objects, focus={"GlobalNetworkPolicy b"})
    assert {finding.object for finding in findings} == {"GlobalNetworkPolicy b"}


def test_a_staged_policy_is_named_as_what_it_is() -> None:
    found = [
        finding for finding in lint([staged(ingress=[DENY_ALL])]) if finding.id == "deny-covers-loopback"
    ]
    assert {finding.object for finding in found} == {"StagedGlobalNetworkPolicy s"}


def test_order_of_the_objects_does_not_matter() -> None:
    objects = [hep(), gnp("a", selector="all()"), gnp("b", ingress=[DENY_ALL]), staged("c")]
    assert lint(objects) == lint(list(reversed(objects)))
