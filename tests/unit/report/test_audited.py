# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An audit's traffic, as a part of the report."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.plugin_utils.report.audited import audit
from ansible_collections.hostfence.calico.plugins.plugin_utils.report.document import build

from tests.unit.calico.audit import watched as audits
from tests.unit.report import sample
from tests.unit.report.test_document import valid


def test_an_audit_tells_who_would_be_denied_and_what_allows_it():
    seen = [
        audits.document(
            audits.record("192.0.2.9", owner="node_exporter"),
            audits.record("192.0.2.77", 443),
            *(audits.record(f"198.51.100.{peer * 8}", 9100) for peer in range(5)),
            of=f"n{number}",
        )
        for number in range(1, 4)
    ]
    result = audits.audited(audits.cluster(audits.ONLY_WEB), *seen)
    part = audit(result)
    (group,) = part["groups"]
    assert (group["verdict"], group["protocol"], group["port"], group["node"]) == (
        "deny",
        "tcp",
        9100,
        "3 nodes",
    )
    assert group["peer"].endswith(" and 3 more")
    assert group["decided_by"]["tier"] == "hostfence"
    assert group["remedy"]["text"] == result["rows"][0]["remedy"]["text"]
    assert part["gate"] == "fail"
    document = valid(build(sample.found(audit=part), sample.AT, "0.1.0"))
    assert document["counts"]["would_be_denials"] == result["rows"][0]["connections"] == 18
