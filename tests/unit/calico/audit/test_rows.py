# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows that get the same answers make one row."""

from __future__ import annotations

from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, document, record


def test_nodes_that_behave_alike_make_one_row():
    documents = [
        document(record(f"10.0.3.{peer}", count=10, owner={"process": "node_exporter"}), of=f"n{number}")
        for number in (1, 2, 3)
        for peer in (4, 5, 6, 7)
    ]

    result = audited(cluster(ONLY_WEB, nodes=7), *documents)

    (row,) = result["rows"]
    assert row["text"] == "from 10.0.3.4/30 (4 nodes) to tcp/9100 of 3 nodes, node_exporter, 120 times"
    assert (row["group"], row["then"]["reason_code"], row["nodes"]) == ("would_deny", "end-of-tier", 3)
    assert row["then"]["decided_by"]["tier"] == "hostfence"
    assert result["counts"]["would_deny"] == 12


def test_what_stays_as_it_is_makes_no_row_and_is_counted():
    result = audited(cluster(ONLY_WEB), *all_nodes(record(port=443)))

    assert result["rows"] == []
    assert result["counts"]["allow"] == 3
    assert result["gate"] == "pass"
