# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The document: what it says of a run, held against its published schema."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.checks import (
    CHECKS,
    IDS,
    KERNEL,
    check_of,
)
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import Found, build
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.grouping import (
    group_flows,
    group_nodes,
    live_alike,
    ranges,
)

from tests.unit.report import sample

ROOT = Path(__file__).resolve().parent.parent.parent.parent
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
OPTIONAL = [part.name for part in fields(Found) if part.default is None]


def report(**parts):
    return build(sample.found(**parts), sample.AT, "0.1.0")


def valid(document):
    VALIDATOR.validate(json.loads(json.dumps(document)))
    return document


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_report_of_everything_fits_its_schema():
    document = valid(report())
    assert document["not_looked_at"] == []
    assert {"audit", "transaction", "difference"} <= document.keys()


@pytest.mark.parametrize("part", OPTIONAL)
def test_what_was_not_looked_at_is_said(part):
    document = valid(report(**{part: None}))
    assert [item["subject"] for item in document["not_looked_at"]] == [part]


def test_what_was_switched_off_is_said():
    document = valid(report(unseen=["policies (edge): reach is off"]))
    assert [item["what"] for item in document["not_looked_at"]] == ["policies (edge): reach is off"]


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-11-28", "2026-11-28T16:30:00", "2026-02-30T16:30:00Z", ""]
)
def test_a_report_has_a_time(time):
    with pytest.raises(BadInput, match="generated_at"):
        build(sample.found(), time, "0.1.0")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("nodes", [{}]),
        ("nodes", ["worker-1"]),
        ("failsafes", {"worker-1": 5}),
        ("failsafes", {"worker-1": {"summary": "", "findings": [{"id": "x"}]}}),
        ("sets", [{"name": "a"}]),
        ("lint", [{}]),
        ("flows", [({}, {})]),
        ("pending", [7]),
    ],
)
def test_a_part_that_is_none_is_named(part, value):
    with pytest.raises(BadInput) as refused:
        report(**{part: value})
    assert refused.value.field == part


def test_a_run_that_looked_at_nothing_says_so():
    document = valid(build(Found(), sample.AT, "0.1.0"))
    assert {item["subject"] for item in document["not_looked_at"]} == set(OPTIONAL)
    assert document["verdict"]["status"] == "attention"
    assert document["verdict"]["sentence"] == "No node was looked at."


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "hostfence.report/2"),
        (("nodes", 0, "checks", "hooks"), "good"),
        (("counts", "nodes"), -1),
        (("audit", "groups", 0, "verdict"), "perhaps"),
        (("transaction", "state"), "later"),
    ],
)
def test_the_schema_refuses(path, value):
    document = json.loads(json.dumps(report()))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not VALIDATOR.is_valid(document)


def test_every_kind_of_finding_belongs_to_a_check():
    text = (ROOT / "docs" / "failsafes.md").read_text()
    ids = re.findall(r"^\| `([a-z-]+\.[a-z-]+)` \|", text, re.MULTILINE)
    assert len(ids) > 30
    by_prefix = {prefix for check in CHECKS for prefix in check.findings}
    assert {name.partition(".")[0] for name in ids} <= by_prefix
    assert {check_of(name) for name in ids} == set(IDS) - {"host-endpoint"}


def test_a_node_that_could_not_be_reached_fails_and_proves_nothing():
    (node,) = [node for node in report()["nodes"] if node["name"] == "worker-4"]
    assert node["checks"][KERNEL] == "fail"
    assert {node["checks"][check] for check in IDS[2:]} == {"not_checked"}
    assert "Connection timed out" in node["findings"][0]["message"]


def test_live_failsafes_that_are_the_same_are_listed_once():
    live = report()["failsafes"][0]["live"]
    (same,) = live_alike(live, "cali-failsafe-in")
    assert len(same.rules) == 9
    assert [chain.split()[1:] for chain in same.chains] == [
        ["ipv4", "filter/cali-failsafe-in"],
        ["ipv4", "mangle/cali-failsafe-in"],
        ["ipv6", "filter/cali-failsafe-in"],
        ["ipv6", "mangle/cali-failsafe-in"],
    ]
    odd = [{**live[0], "rules": live[0]["rules"][1:]}, *live[1:]]
    assert [len(found.rules) for found in live_alike(odd, "cali-failsafe-in")] == [8, 9]


def test_counters_are_of_nodes():
    document = report()
    counts = document["counts"]
    assert (counts["nodes"], counts["covered"], counts["failsafes_verified"]) == (6, 5, 4)
    assert sum(counts["checks"].values()) == 6 * len(CHECKS)
    assert counts["would_be_denials"] == 121 + 122 + 123
    assert document["verdict"]["status"] == "failed"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({}, "ok"),
        (
            {
                "lint": [
                    {
                        "severity": "error",
                        "id": "r",
                        "object": "o",
                        "field": "",
                        "message": "",
                        "remedy": "",
                    }
                ]
            },
            "attention",
        ),
        ({"audit": sample.AUDIT}, "attention"),
        ({"failsafes": None}, "attention"),
        ({"failsafes": {"node-1": sample.broken()}}, "failed"),
        ({"nodes": [{"name": "node-1", "host_endpoint": "", "made_by": ""}]}, "failed"),
        ({"transaction": {"state": "rolled-back", "steps": [], "changes": []}}, "failed"),
        ({"audit": {**sample.AUDIT, "groups": [], "gate": "inconclusive"}}, "attention"),
        ({"sets": [{"name": "s", "state": "mixed", "objects": []}]}, "attention"),
    ],
)
def test_one_doubt_is_enough(parts, status):
    good = Found(
        nodes=[{"name": "node-1", "host_endpoint": "node-1", "made_by": "hostfence"}],
        failsafes={"node-1": sample.checked()},
        lint=[],
        sets=[{"name": "s", "state": "enforced", "objects": []}],
    )
    document = valid(build(Found(**{**vars(good), **parts}), sample.AT, "0.1.0"))
    assert document["verdict"]["status"] == status
    assert document["verdict"]["next"]


def test_failsafes_that_are_the_same_are_told_once():
    groups = report()["failsafes"]
    assert [group["nodes"] for group in groups] == [
        ["control-1", "worker-1", "worker-2", "worker-3"],
        ["worker-5"],
    ]
    assert "tcp/22" in groups[0]["inbound"]
    assert groups[0]["live"]
    assert groups[1]["live"] == []


def test_nodes_are_grouped_by_what_behaves_alike_the_gravest_first():
    groups = group_nodes(report()["nodes"])
    assert [group.names for group in groups] == [
        ("worker-5",),
        ("worker-4",),
        ("worker-2",),
        ("control-1", "worker-1", "worker-3"),
    ]


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["w-2", "w-1", "w-10", "w-3"], ["w-1 … w-3 (3)", "w-10"]),
        (["a", "b"], ["a", "b"]),
        (["w1", "w3", "x2"], ["w1", "w3", "x2"]),
        (["w٣", "w" + "9" * 40], ["w" + "9" * 40, "w٣"]),
        ([], []),
    ],
)
def test_runs_of_names(names, written):
    assert ranges(names) == written


def test_what_is_left_out_of_a_title_is_counted():
    assert ranges([f"{letter}-x" for letter in "abcdefgh"], 4) == ["a-x", "b-x", "c-x", "and 5 more"]


def test_flows_of_one_rule_are_one_group():
    groups = group_flows(
        [*sample.AUDIT["groups"], {**sample.AUDIT["groups"][0], "port": 53, "protocol": "UDP"}]
    )
    assert [(group.what, len(group.flows)) for group in groups] == [
        ("TCP/9100 ingress", 3),
        ("UDP/53 ingress", 1),
    ]
