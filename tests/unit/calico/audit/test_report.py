# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An audit as the module returns it."""

from __future__ import annotations

from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, record


def test_addresses_can_be_kept_out_of_the_result():
    result = audited(cluster(ONLY_WEB), *all_nodes(record()), anonymise=True, salt="s")

    assert "192.0.2.9" not in str(result)
    assert "address-" in result["rows"][0]["text"]


def test_rows_that_are_left_out_are_counted_and_the_worst_are_not_among_them():
    documents = all_nodes(*(record(port=port, count=port) for port in (1001, 1002, 1003)))

    result = audited(cluster(ONLY_WEB), *documents, rows=1)

    assert ([row["port"] for row in result["rows"]], result["rows_left_out"]) == ([1003], 2)
    assert result["message"][0] == "9 distinct flows of 3 nodes: 0 allowed as now, 0 denied as now"


def test_where_nothing_that_is_enforced_changes_there_is_nothing_to_wait_for():
    result = audited(cluster(ONLY_WEB), idle=True)

    assert (result["gate"], result["reasons"]) == ("pass", ["nothing that is enforced changes"])
    assert audited(cluster(ONLY_WEB))["gate"] == "inconclusive"
