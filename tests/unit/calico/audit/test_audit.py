# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an audit says of observed flows: the groups that they fall into."""

from __future__ import annotations

from tests.unit import builders
from tests.unit.builders import V3
from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, record, staged


def test_a_connection_that_is_older_than_the_window_would_only_live_until_it_ends():
    result = audited(cluster(ONLY_WEB), *all_nodes(record(older_than_window=True)))

    assert [row["group"] for row in result["rows"]] == ["established_only"]
    assert result["gate"] == "fail"


def test_what_only_a_failsafe_allows_is_named_and_fails_nothing():
    result = audited(cluster(ONLY_WEB), *all_nodes(record(port=22)))

    (row,) = result["rows"]
    assert row["group"] == "allowed_only_by_failsafe"
    assert row["then"]["reason_code"] == "end-of-tier"
    assert result["gate"] == "pass"


def test_what_is_denied_now_and_would_be_allowed_is_named():
    denied = builders.policy(
        "hostfence.web",
        api=V3,
        tier="hostfence",
        order=100,
        selector="host-endpoint == 'ingress'",
        ingress=[{"action": "Deny"}],
    )

    result = audited(cluster(denied, ONLY_WEB), *all_nodes(record(port=443)))

    assert [row["group"] for row in result["rows"]] == ["would_allow"]


def test_a_net_that_a_rule_splits_is_unknown_and_another_is_not():
    half = staged("half", ingress=[{"action": "Allow", "source": {"nets": ["198.51.100.0/24"]}}])

    split = audited(cluster(half), *all_nodes(record("198.51.0.0", source_prefix=16)))
    whole = audited(cluster(half), *all_nodes(record("203.0.0.0", source_prefix=16)))

    assert [row["group"] for row in split["rows"]] == ["unknown"]
    assert "198.51.0.0/16" in split["rows"][0]["assumptions"][0]
    assert split["gate"] == "inconclusive"
    assert [row["group"] for row in whole["rows"]] == ["would_deny"]
