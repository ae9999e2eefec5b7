# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A recommended set denies nothing of what it was made from, and what was not in there it denies."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import with_candidate
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.labelled import Labelled
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.observed import FlowDocument
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.recommend import (
    Recommendation,
    WantedSet,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PlatformNetworks,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read

from tests.unit.builders import Object
from tests.unit.calico.audit.watched import all_nodes, audited, cluster, document, record

AROUND = PlatformNetworks(nodes=("10.0.3.0/24",), cluster=("10.244.0.0/16",))


def recommended(*documents: Object, generalise: str = "none", **wanted: Any) -> Recommendation:
    given = {"directions": ("Ingress", "Egress"), **wanted}
    recommendation = Recommendation(
        WantedSet(
            tier="observed",
            selector="host-endpoint == 'ingress'",
            control_plane_selector="has(cp)",
            generalise=generalise,
            platform="kubeadm",
            around=AROUND,
            **given,
        ),
        Labelled(read(cluster(), native_v3=False)),
    )
    for index, raw in enumerate(documents):
        recommendation.add(FlowDocument(raw, f"documents[{index}]"))
    return recommendation


def any_flow(chance: random.Random) -> Object:
    v6 = chance.random() < 0.3
    peer = (
        f"fd00:{chance.randint(1, 3)}::{chance.randint(1, 200):x}"
        if v6
        else f"192.0.2.{chance.randint(1, 250)}"
    )
    own = "fd00::1" if v6 else "10.0.3.1"
    direction = chance.choice(["ingress", "egress"])
    source, destination = (peer, own) if direction == "ingress" else (own, peer)
    flow: Object = {"direction": direction, "interface": "eth0", "source": source, "destination": destination}
    protocol = chance.choice([6, 6, 17, 132, 58 if v6 else 1, 47])
    flow["protocol"] = protocol
    if protocol in (6, 17, 132):
        flow["destination_port"] = chance.choice([443, 9100, 53, chance.randint(1, 65535)])
    elif protocol in (1, 58):
        flow["icmp_type"], flow["icmp_code"] = (128 if v6 else 8), 0
    return {"flow": flow, "seen": {"count": 1, "interface_by": "hook"}}


@pytest.mark.parametrize("seed", range(5))
def test_it_denies_none_of_what_was_seen(seed):
    chance = random.Random(seed)
    documents = all_nodes(*(any_flow(chance) for _ in range(120)))

    recommendation = recommended(*documents)
    result = audited(with_candidate(cluster(), recommendation.objects()), *documents)

    assert recommendation.left_out == []
    assert result["gate"] == "pass", result["message"]


def test_what_was_left_out_of_the_window_is_denied_and_named():
    objects = recommended(*all_nodes(record(port=9100))).objects()

    result = audited(with_candidate(cluster(), objects), *all_nodes(record(port=9100), record(port=9200)))

    assert [row["text"] for row in result["rows"]] == ["from 192.0.2.9/32 to tcp/9200 of 3 nodes, 3 times"]


def test_what_the_platform_needs_is_allowed_though_nobody_saw_it():
    objects = recommended(document()).objects()

    result = audited(with_candidate(cluster(), objects), *all_nodes(record("10.0.3.2", port=10250)))

    assert result["gate"] == "pass", result["message"]


def test_every_rule_of_the_traffic_says_what_it_rests_on():
    objects = recommended(*all_nodes(record(count=7, owner={"process": "node_exporter"}))).objects()
    (policy,) = (item for item in objects if item["metadata"]["name"] == "observed.observed-ingress")

    (rule,) = policy["spec"]["ingress"]
    assert rule["metadata"]["annotations"] == {
        "hostfence.io/evidence": "seen 21 times at 3 nodes, node_exporter"
    }
    assert rule["source"]["nets"] == ["192.0.2.9/32"]


def test_a_rule_of_icmp_is_for_the_code_that_was_seen():
    port_unreachable = {"protocol": 1, "destination_port": None, "icmp_type": 3, "icmp_code": 3}
    seen = all_nodes(record(flow=port_unreachable))
    objects = recommended(*seen).objects()
    (policy,) = (item for item in objects if item["metadata"]["name"] == "observed.observed-ingress")

    (rule,) = policy["spec"]["ingress"]
    assert rule["icmp"] == {"type": 3, "code": 3}


def test_a_scan_makes_no_rule_and_is_named():
    scan = [record(f"198.18.{number >> 8}.{number & 255}") for number in range(2000)]

    recommendation = recommended(document(*scan))
    objects = recommendation.objects()

    assert recommendation.left_out[0].startswith("ingress tcp/9100: too many peers")
    assert not [item for item in objects if "observed-" in item["metadata"]["name"]]


def test_with_labels_a_rule_selects_peers_that_have_them():
    """Two of three nodes connected: their common label selects all three, as the operator allowed."""
    seen = document(record("10.0.3.2"), record("10.0.3.3"), record("192.0.2.9", port=443))

    found = {
        rule["destination"]["ports"][0]: rule["source"]
        for policy in recommended(seen, generalise="label", directions=("Ingress",)).objects()
        if policy["metadata"]["name"] == "observed.observed-ingress"
        for rule in policy["spec"]["ingress"]
    }

    assert found == {9100: {"selector": "host-endpoint == 'ingress'"}, 443: {"nets": ["192.0.2.0/24"]}}
