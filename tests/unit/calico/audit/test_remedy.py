# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smallest change that would allow a row."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import with_candidate

from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, record, staged


def test_the_remedy_is_a_policy_that_allows_exactly_what_was_seen():
    objects = cluster(ONLY_WEB)
    records = [record("192.0.2.8"), record("192.0.2.9"), record("fd00::9", flow={"destination": "fd00::1"})]
    (row,) = audited(objects, *all_nodes(*records))["rows"]
    (policy,) = row["remedy"]["policies"]

    assert [rule["source"]["nets"] for rule in policy["spec"]["ingress"]] == [
        ["192.0.2.8/31"],
        ["fd00::9/128"],
    ]
    again = audited(with_candidate(objects, [policy]), *all_nodes(*records))
    assert again["gate"] == "pass"
    wider = audited(with_candidate(objects, [policy]), *all_nodes(record("192.0.2.10"), record(port=9101)))
    assert wider["counts"]["would_deny"] == 6


@pytest.mark.parametrize("stage", ["preDNAT", "normal", "forward"])
def test_a_remedy_is_of_the_class_that_denies(stage):
    drop = {"order": 2000, "ingress": [{"action": "Deny"}]}
    if stage != "normal":
        drop["applyOnForward"] = True
    if stage == "preDNAT":
        drop["preDNAT"] = True
    objects = cluster(staged("mine", **drop))
    seen = record(port=8080)
    if stage == "forward":
        seen["flow"].update(direction="forward", out_interface="cali1", destination="10.244.1.7")
        seen["flow"].update(original_destination="10.0.3.1", original_destination_port=30080)
    (row,) = audited(objects, *all_nodes(seen))["rows"]

    again = audited(with_candidate(objects, row["remedy"]["policies"]), *all_nodes(seen))

    assert again["gate"] == "pass", again["message"]


@pytest.mark.parametrize(
    ("source", "port", "variable", "net"),
    [
        ("192.0.2.9", 2222, "policies_ssh_sources", "192.0.2.9/32"),
        ("10.0.3.2", 9100, "policies_node_cidrs", "10.0.3.2/32"),
    ],
)
def test_the_shipped_sets_are_put_right_by_their_variables(source, port, variable, net):
    drop = staged("ingress-lockdown-drop", preDNAT=True, applyOnForward=True, ingress=[{"action": "Deny"}])

    result = audited(cluster(drop), *all_nodes(record(source, port)), variables={"policies_ssh_port": 2222})

    (row,) = result["rows"]
    assert (row["remedy"]["variable"], row["remedy"]["add"]) == (variable, [net])
    assert row["remedy"]["text"] == f"add {net} to {variable}"


def test_the_operator_may_let_a_remedy_be_a_subnet():
    result = audited(cluster(ONLY_WEB), *all_nodes(record()), generalise="subnet")

    assert result["rows"][0]["remedy"]["policies"][0]["spec"]["ingress"][0]["source"]["nets"] == [
        "192.0.2.0/24"
    ]
