# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an audit says of observed flows: the groups that they fall into."""

from __future__ import annotations

import pickle
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.audit import Audit
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import FlowDocument
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.dataplanes import Dataplanes
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import Options

from tests.unit import builders
from tests.unit.builders import V3, Object
from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, cluster, document, record, staged


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
    assert result["gate"] == "pass"


def test_a_net_that_a_rule_splits_is_unknown_and_another_is_not():
    half = staged("half", ingress=[{"action": "Allow", "source": {"nets": ["198.51.100.0/24"]}}])

    split = audited(cluster(half), *all_nodes(record("198.51.0.0", source_prefix=16)))
    whole = audited(cluster(half), *all_nodes(record("203.0.0.0", source_prefix=16)))

    assert [row["group"] for row in split["rows"]] == ["unknown"]
    assert "198.51.0.0/16" in split["rows"][0]["assumptions"][0]
    assert split["gate"] == "inconclusive"
    assert [row["group"] for row in whole["rows"]] == ["would_deny"]


def test_what_depends_on_the_interface_that_only_a_route_tells_is_unknown():
    """eth0 has a host endpoint that the candidate closes, eth1 one that it leaves open."""
    open_one = builders.host_endpoint("n1-eth1", node="n1", api=V3, interfaceName="eth1")
    objects = cluster(ONLY_WEB, nodes=1)
    objects[2]["spec"]["interfaceName"] = "eth0"
    by_route = {"interface_by": "route"}
    interfaces = {"eth0": ["10.0.3.1/24"], "eth1": ["10.0.4.1/24"], "docker0": ["172.17.0.1/16"]}

    def group(*more: Object, **seen: Any) -> Any:
        result = audited([*objects, *more], document(record(**seen), interfaces=interfaces))
        return [row["group"] for row in result["rows"]], result

    assert group(open_one, **by_route)[0] == ["unknown"]
    groups, result = group(open_one, **by_route, flow={"interface": "eth1"})
    assert groups == ["unknown"]
    assert result["gate"] == "inconclusive"
    assert any("? not known: by which interface" in line for line in result["message"])
    # Seen by a hook, or on a node where one host endpoint has all, nothing is in doubt.
    assert group(open_one)[0] == ["would_deny"]
    assert group(**by_route)[0] == ["would_deny"]
    assert group(open_one, flow={"interface": "eth1"})[0] == []


def test_an_unknown_row_says_all_that_its_flows_depend_on():
    """Two nets of one port, of each of which a rule names a part."""
    parts = ["198.51.100.0/24", "203.0.113.0/24"]
    half = staged("half", ingress=[{"action": "Allow", "source": {"nets": parts}}])
    nets = [record("198.51.0.0", source_prefix=16), record("203.0.0.0", source_prefix=16)]

    (row,) = audited(cluster(half), *all_nodes(*nets))["rows"]

    assert [text.split(" ")[3] for text in row["assumptions"]] == ["198.51.0.0/16", "203.0.0.0/16"]


def test_who_opened_a_connection_that_was_met_in_its_middle_is_unknown_where_it_matters():
    met = {"direction_certain": False}

    def groups(**seen: Any) -> list[str]:
        return [row["group"] for row in audited(cluster(ONLY_WEB), *all_nodes(record(**seen)))["rows"]]

    # The policy governs what comes in alone, so the other way round it would be allowed.
    assert groups(**met) == ["unknown"]
    assert groups() == ["would_deny"]
    out = {"direction": "egress", "source": "10.0.3.1", "destination": "192.0.2.9"}
    assert groups(**met, port=443, flow=out) == ["unknown"]
    # Something listens there, so that side did not open it.
    assert groups(**met, owner={"process": "node_exporter"}) == ["would_deny"]


def test_what_is_kept_of_a_scan_does_not_grow_with_it():
    """Each source and each port is another, in one document after the other, as nodes collect them."""
    objects = cluster(ONLY_WEB)
    audit = Audit(objects, Options(calico_version="v3.32.1"), Dataplanes(objects))
    kept = []
    for part in range(4):
        sources = [record(f"198.{part}.{at >> 8}.{at & 255}") for at in range(2000)]
        ports = [record(port=20000 + 1000 * part + at) for at in range(1000)]
        audit.add(FlowDocument(document(*sources, *ports), "scan"))
        kept.append(len(pickle.dumps(audit.seen())))

    assert audit.counts["would_deny"] == 4 * 3000
    assert max(kept[1:]) < 1.1 * kept[0], kept
