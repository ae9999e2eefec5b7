# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counters of audited copies: as many as connections were made, by rule of the original policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.audit_counters import (
    CountedRule,
    KernelRule,
    count,
    from_iptables,
    from_nftables,
    rows,
    since,
)

RECORDED = Path(__file__).parents[1] / "recordings" / "audited" / "iptables-nft-save.txt"
WEB = CountedRule("mine.web", "ingress", "0")


def test_what_was_made_is_what_was_counted():
    counted = count(from_iptables(RECORDED.read_text().splitlines(), "ipv4"))

    found = {
        (row["policy"], row["rule"]): row["packets"]
        for row in rows(since(counted, "boot", None)["totals"])
        if row["direction"] == "ingress" and row["packets"]
    }
    assert found == {
        ("mine.web", 0): 60,
        ("mine.web", 1): 10,
        ("mine.end-of-tier-ingress", "end-of-tier"): 7,
        ("hostfence.ingress-lockdown-drop", 0): 77,
    }


# As Felix puts them together (felix/nftables/renderer.go, v3.32.1): between comments there is a blank, and of
# several none is longer than some 50 characters.
@pytest.mark.parametrize(
    ("chain", "said", "place"),
    [
        ("filter-cali-pi-gnp/audited-mine.web", "GlobalNetworkPolicy audited-mine.web ingress", WEB),
        (
            "filter-cali-po-gnp/audited-hostfence.ingress-lockdown-outbound",
            "GlobalNetworkPolicy audited-hostfence.ingress-lockdow",
            CountedRule("hostfence.ingress-lockdown-outbound", "egress", "0"),
        ),
        ("filter-cali-pi-audited-mine/audited-mine.web", "Policy audited-mine.web ingress", WEB),
    ],
)
def test_nftables_writes_the_same_into_one_comment_that_is_cut_off(chain, said, place):
    marks = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}
    rules = [
        {
            "chain": chain,
            "comment": f"cali:8vg3kKsof0f06oPP; hostfence.io/audits={comment}",
            "expr": [{"counter": {"packets": packets, "bytes": 60 * packets}}, marks],
        }
        for comment, packets in ((f"0 {said}", 5), ("1", 7))
    ]

    assert count(from_nftables([*({"rule": rule} for rule in rules), {"chain": {}}], "ip")) == {
        ("ip filter", place): 5,
        ("ip filter", replace(place, rule="1")): 7,
    }


def test_what_felix_has_in_two_chains_of_nftables_is_summed():
    """What leaves the node is judged in one of them or, once its destination was translated, in the other."""
    marks = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}
    rules = [
        {
            "rule": {
                "chain": f"{layer}-cali-po-gnp/audited-mine.web",
                "comment": "cali:8vg3kKsof0f06oPP; hostfence.io/audits=0",
                "expr": [{"counter": {"packets": packets}}, marks],
            }
        }
        for layer, packets in (("filter", 5), ("mangle", 2))
    ]

    (row,) = rows(since(count(from_nftables(rules, "ip")), "boot", None)["totals"])

    assert row["packets"] == 7


def test_felix_of_calico_3_29_names_no_kind_of_policy():
    recorded = RECORDED.read_text()
    older = recorded.replace("GlobalNetworkPolicy ", "Policy ")

    assert older != recorded
    assert count(from_iptables(older.splitlines(), "ipv4")) == count(
        from_iptables(recorded.splitlines(), "ipv4")
    )


def test_the_last_rule_that_sets_a_mark_is_the_one_where_all_conditions_hold():
    name = "GlobalNetworkPolicy audited-mine.web ingress"
    block = [
        KernelRule("filter", "c", ("hostfence.io/audits=0", name), 9, sets_mark=True),
        KernelRule("filter", "c", ("hostfence.io/audits=0",), 4, sets_mark=True),
        KernelRule("filter", "c", ("hostfence.io/audits=0",), 4, sets_mark=False),
    ]

    assert count(block) == {("filter", WEB): 4}


def test_rules_of_others_are_passed_over():
    rules = [
        KernelRule(
            "filter",
            "c",
            ("GlobalNetworkPolicy mine.web ingress", "hostfence.io/audits=0"),
            9,
            sets_mark=True,
        ),
        KernelRule("filter", "d", ("hostfence.io/audits=0",), 9, sets_mark=True),
    ]

    assert count(rules) == {}


def test_totals_go_on_when_felix_starts_a_counter_again_and_over_a_reboot():
    now = ("filter", WEB)
    first = since({now: 10}, "boot", None)
    second = since({now: 15}, "boot", first)
    restarted = since({now: 3}, "boot", second)
    rebooted = since({now: 4}, "another", restarted)

    totals = [rows(reading["totals"])[0]["packets"] for reading in (first, second, restarted, rebooted)]
    assert totals == [10, 15, 18, 22]
