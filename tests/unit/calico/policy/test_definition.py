# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a set defines, in the form of the cluster."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.definition import normal_spec

from tests.unit.calico.policy.read import gnp, rule, spec_of

EVERY_FIELD = {
    "tier": "edge",
    "order": 0,
    "selector": "role == 'x'",
    "namespaceSelector": "env == 'prod'",
    "serviceAccountSelector": "has(team)",
    "types": ["Ingress", "Egress"],
    "applyOnForward": True,
    "performanceHints": ["AssumeNeededOnEveryNode"],
    "ingress": [
        {
            "action": "Deny",
            "ipVersion": 4,
            "protocol": "TCP",
            "source": {
                "nets": ["10.0.0.0/8"],
                "notNets": ["10.1.0.0/16"],
                "selector": "a == 'b'",
                "notSelector": "c == 'd'",
                "namespaceSelector": "global()",
                "ports": [1, "2:3", "named"],
                "notPorts": [65535],
                "serviceAccounts": {"names": ["one"], "selector": "x == 'y'"},
            },
            "destination": {"ports": ["22:30"]},
            "metadata": {"annotations": {"for": "a reason"}},
        },
        {"action": "Log", "protocol": "ICMP", "icmp": {"type": 0, "code": 0}},
        {"action": "Pass", "protocol": "ICMPv6", "notICMP": {"type": 128}},
        {"action": "Allow", "notProtocol": 47},
        {"action": "Allow", "source": {"services": {"name": "kubernetes", "namespace": "default"}}},
    ],
    "egress": [{"action": "Allow", "destination": {"services": {"name": "a", "namespace": "b"}}}],
}


def test_every_field_of_the_schema_is_kept():
    assert spec_of(gnp(**copy.deepcopy(EVERY_FIELD))) == EVERY_FIELD


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": [rule()]}, ["Ingress"]),
        ({"egress": [rule()]}, ["Egress"]),
        ({"ingress": [], "egress": [rule()]}, ["Egress"]),
        ({"ingress": [rule()], "egress": [rule()]}, ["Ingress", "Egress"]),
        ({"egress": [rule()], "types": ["Ingress", "Egress"]}, ["Ingress", "Egress"]),
        ({"egress": [rule()], "types": []}, ["Egress"]),
    ],
)
def test_types_are_always_explicit(spec, types):
    assert spec_of(gnp(**spec))["types"] == types


def test_zero_is_not_empty():
    assert normal_spec({"order": 0, "selector": "", "preDNAT": False, "ingress": [], "tier": None}) == {
        "order": 0
    }
