# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An audit as the module returns it."""

from __future__ import annotations

import pytest

from tests.unit import builders
from tests.unit.builders import V3
from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, document, record


def test_addresses_can_be_kept_out_of_the_result():
    sshd = {"process": "sshd: ::ffff:198.51.100.7"}
    records = [record(owner=sshd), record("2001:db8:7::9", flow={"destination": "2001:db8::1"})]
    result = audited(cluster(ONLY_WEB), *all_nodes(*records), anonymise=True, salt="s")

    assert not [part for part in ("51.100.7", "db8") if part in str(result)]

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


EVIL = '"}\n- x: {{ lookup("pipe", "id") }} <script>\x1b[31m'


@pytest.mark.parametrize(
    "raw",
    [
        document(of=EVIL),
        document(record(flow={EVIL: 1})),
        document(record(flow={"interface": EVIL})),
        document(record(flow={"protocol": EVIL}), EVIL, {EVIL: EVIL}),
        document(record(owner={"unit": EVIL, "pod": EVIL, EVIL: EVIL})),
        document(record(), interfaces={EVIL: [EVIL]}),
        document(record(interface_by="route", flow={"interface": EVIL}), interfaces={EVIL: []}),
        document(record(), gaps=[EVIL]),
        document(record(), not_recorded=EVIL, boot_id=EVIL, mode=EVIL),
    ],
)
def test_a_document_may_hold_anything_and_nothing_of_it_is_printed(raw):
    """Host endpoints by interface, whose names the verdicts then speak of."""
    objects = cluster(ONLY_WEB, nodes=1)
    objects[2]["spec"]["interfaceName"] = "eth0"
    objects.append(builders.host_endpoint("n1-eth1", node="n1", api=V3, interfaceName="eth1"))

    result = audited(objects, document(), raw)

    shown = str(result)
    assert not [part for part in ("{{", "<script", "\x1b", "\\x1b", '"}') if part in shown], shown
