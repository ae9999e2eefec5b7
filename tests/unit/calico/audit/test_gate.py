# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an audit lets a candidate be enforced."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.gate import parse_accepted
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.observe import GAPS

from tests.unit.calico.audit.watched import (
    DAY,
    NOW,
    ONLY_WEB,
    all_nodes,
    audited,
    cluster,
    document,
    record,
    staged,
)


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ([document(), document(of="n2")], "no data of n3"),
        (
            [document(of=f"n{n}", seconds=60) for n in (1, 2, 3)],
            "a window shorter than 1d at n1, n2, n3",
        ),
        *(([*all_nodes(), document(gaps=[gap])], f"{gap} at n1") for gap in GAPS),
        ([*all_nodes(), document(not_recorded=3)], "not-recorded at n1"),
        ([*all_nodes(), document(of="x")], "data of nodes that the cluster does not have: x"),
        ([*all_nodes(), document({"flow": 1})], "1 flows that cannot be read"),
        ([*all_nodes(), document(record(flow={"protocol": "?"}))], "1 flows that cannot be read"),
    ],
)
def test_what_was_not_seen_makes_the_gate_inconclusive(documents, reason):
    result = audited(cluster(ONLY_WEB), *documents)

    assert result["gate"] == "inconclusive"
    assert any(text.startswith(reason) for text in result["reasons"]), result["reasons"]


def test_a_candidate_that_selects_nothing_was_not_audited():
    result = audited(cluster(staged("web", selector="role == 'none'")), *all_nodes(record()))

    assert result["gate"] == "inconclusive"
    assert "selects no host endpoint" in result["reasons"][0]


def test_without_a_host_endpoint_there_is_nothing_that_an_audit_could_pass():
    objects = [item for item in cluster(ONLY_WEB) if item["kind"] != "HostEndpoint"]

    result = audited(objects, *all_nodes(record()))

    assert result["gate"] == "inconclusive"
    assert result["reasons"] == ["no node has a host endpoint: policy decides about none"]


@pytest.mark.parametrize("parts", [["198.51.100.0/24"], []])
def test_one_window_is_judged_by_the_candidate_of_the_moment(parts):
    """What passed for an earlier one passes for no other: nothing of a candidate is in what nodes saw."""
    seen = all_nodes(record("198.51.100.9"))
    nets = [*parts, "203.0.113.0/24"]
    rule = {"action": "Allow", "protocol": "TCP", "source": {"nets": nets}, "destination": {"ports": [9100]}}

    assert audited(cluster(staged("web", ingress=[rule])), *seen)["gate"] == ("pass" if parts else "fail")


def test_what_is_unknown_can_be_accepted():
    half = staged("half", ingress=[{"action": "Allow", "source": {"nets": ["198.51.100.0/24"]}}])
    net = all_nodes(record("198.51.0.0", source_prefix=16))

    assert audited(cluster(half), *net)["gate"] == "inconclusive"
    assert audited(cluster(half), *net, accepted=[{**ACCEPTED, "group": "unknown"}])["gate"] == "pass"


def test_what_fails_are_the_three_biggest_rows():
    records = [record(port=port, count=port) for port in (1001, 1002, 1003, 1004, 1005)]

    result = audited(cluster(ONLY_WEB), *all_nodes(*records))

    assert result["gate"] == "fail"
    assert [reason.split(" of ")[0][-8:] for reason in result["reasons"]] == [
        "tcp/1005",
        "tcp/1004",
        "tcp/1003",
    ]


ACCEPTED = {"protocol": "tcp", "port": 9100, "reason": "it is switched off", "until": "2026-11-28"}


def test_what_is_accepted_does_not_fail_until_its_day_has_passed():
    documents = all_nodes(record())

    assert audited(cluster(ONLY_WEB), *documents, accepted=[ACCEPTED])["gate"] == "pass"
    late = audited(cluster(ONLY_WEB), *documents, accepted=[{**ACCEPTED, "until": "2026-11-27"}])
    assert (late["gate"], late["expired"]) == ("fail", ["it is switched off (until 2026-11-27)"])
    other = audited(cluster(ONLY_WEB), *documents, accepted=[{**ACCEPTED, "peer": "198.51.100.0/24"}])
    assert other["gate"] == "fail"


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({**ACCEPTED, "reason": " "}, "audit_accepted[0].reason"),
        ({**ACCEPTED, "until": "soon"}, "audit_accepted[0].until"),
        ({"reason": "all", "until": "2027-01-01"}, "audit_accepted[0]"),
        ({**ACCEPTED, "peer": "everybody"}, "audit_accepted[0].peer"),
        ({**ACCEPTED, "ignore": True}, "audit_accepted[0].ignore"),
        ("all", "audit_accepted[0]"),
    ],
)
def test_there_is_no_bare_ignore(entry, field):
    with pytest.raises(BadInput) as refused:
        parse_accepted([entry])
    assert refused.value.field == field


@pytest.mark.parametrize(("second", "gate"), [((60, DAY / 2), "inconclusive"), ((DAY / 2, DAY), "pass")])
def test_a_time_that_two_documents_cover_counts_once(second, gate):
    twice = document()
    twice["window"].update(start=second[0], end=second[1])

    result = audited(cluster(ONLY_WEB, nodes=1), document(seconds=DAY / 2), twice, document(seconds=60))

    assert result["gate"] == gate, result["reasons"]


def watched_from(start: float, *records: object, of: str) -> dict:
    raw = document(*records, of=of)
    raw["window"].update(start=start, end=start + DAY)
    return raw


EARLIER = "flows of an earlier audit, which ended by 1970-01-02 00:00 UTC, at n1"


def test_what_an_earlier_audit_left_is_told_apart():
    latest = [watched_from(9 * DAY, of="n2"), watched_from(9.5 * DAY, of="n3")]

    left = audited(cluster(ONLY_WEB), watched_from(0, of="n1"), *latest)
    denied = audited(cluster(ONLY_WEB), watched_from(0, record(), of="n1"), *latest)
    # Whatever there is of it beside.
    again = audited(cluster(ONLY_WEB), watched_from(0, of="n1"), watched_from(9 * DAY, of="n1"), *latest)

    assert (left["gate"], left["reasons"]) == ("inconclusive", [EARLIER])
    assert denied["gate"] == "fail"
    assert denied["reasons"][0].startswith("would deny: from 192.0.2.9/32 to tcp/9100 of n1")
    assert denied["reasons"][1:] == [EARLIER]
    assert again["gate"] == "pass", again["reasons"]


def test_nodes_that_were_watched_in_turns_are_of_one_audit():
    in_turns = [watched_from(1.9 * DAY * number, of=f"n{number}") for number in (1, 2, 3)]

    assert audited(cluster(ONLY_WEB), *in_turns)["gate"] == "pass"
    shorter = audited(cluster(ONLY_WEB), *in_turns, min_window=DAY / 2)
    assert (shorter["gate"], shorter["reasons"][0][-6:]) == ("inconclusive", "n1, n2")


def test_looks_at_many_nodes_come_one_after_the_other():
    looks = [document(of=f"n{number}", seconds=0) for number in (1, 2, 3)]
    for number, look in enumerate(looks):
        look["window"].update(start=3500 * number, end=3500 * number)

    assert audited(cluster(ONLY_WEB), *looks, min_window=0)["gate"] == "pass"


def test_a_window_that_ended_long_ago_says_too_little_about_today():
    days_ago = {"n1": 9, "n2": 9, "n3": 8}
    nodes = [watched_from(NOW.timestamp() - days * DAY, of=of) for of, days in days_ago.items()]

    assert audited(cluster(ONLY_WEB), *nodes, max_age=8 * DAY)["gate"] == "pass"
    old = audited(cluster(ONLY_WEB), *nodes, max_age=8 * DAY - 1)
    assert (old["gate"], old["reasons"]) == (
        "inconclusive",
        ["a window that ended more than 1w23h59m59s ago at n1, n2"],
    )
    # What was watched again is as new as its last window.
    again = [watched_from(NOW.timestamp() - 7.5 * DAY, of=of) for of in ("n1", "n2")]
    assert audited(cluster(ONLY_WEB), *nodes, *again, max_age=8 * DAY - 1)["gate"] == "pass"
