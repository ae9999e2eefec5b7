# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is not known of a packet is said in words, one clause for each thing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import read
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.address_sets import AddressSets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.unknown import unknown_of

from tests.unit.calico.verdict.matched import PODS, WORLD, packet, rules_of

POD = "10.244.0.6"


def clauses(raw: dict[str, Any], **asked: Any) -> list[str]:
    (rule,) = rules_of(raw)
    return list(unknown_of(rule, packet(**asked), AddressSets(read([*WORLD, *PODS])), nftables=False))


@pytest.mark.parametrize(
    ("raw", "asked", "said"),
    [
        (
            {"source": {"selector": "app == 'web'"}},
            {"source": POD},
            [f'{POD} is a pod with app == "web"'],
        ),
        (
            {"source": {"notSelector": "app == 'web'"}},
            {"source": POD},
            [f'{POD} is not a pod with app == "web"'],
        ),
        (
            {"source": {"namespaceSelector": "env == 'prod'"}},
            {"source": POD},
            [f'{POD} is a pod with namespace label env == "prod"'],
        ),
        ({"destination": {"services": {"name": "web", "namespace": "shop"}}}, {}, ["belongs to service"]),
        ({"protocol": "ICMP", "icmp": {"type": 8}}, {"protocol": "icmp"}, ["the ICMP type is 8"]),
        (
            {"protocol": "ICMP", "notICMP": {"type": 3, "code": 4}},
            {"protocol": "icmp"},
            ["the ICMP type is not 3 with code 4"],
        ),
        (
            {"protocol": "TCP", "destination": {"ports": [22, "80:90"]}},
            {"destination_port": None},
            ["the destination port is 22 or 80:90"],
        ),
    ],
)
def test_each_thing_is_named(raw, asked, said):
    found = clauses(raw, **asked)
    assert len(found) == len(said)
    assert all(part in clause for part, clause in zip(said, found, strict=True)), found


def test_where_all_is_known_nothing_is_said():
    assert clauses({"source": {"selector": "app == 'web'"}}, source="10.244.0.5") == []
    assert clauses({"protocol": "TCP", "destination": {"ports": [22]}}) == []
