# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields and kinds that Calico does not have, and what they were meant to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.known_fields import (
    SPEC_FIELDS,
    kind_meant,
    unknown_fields,
)

JUDGED = Path(__file__).parents[2] / "recordings" / "calicoctl_validate.jsonl"


def unknown(kind: str, spec: Any) -> dict[str, str]:
    return {path: advice for path, _value, advice in unknown_fields({"kind": kind, "spec": spec})}


def test_a_field_that_calicos_own_decoder_takes_is_known() -> None:
    """Its decoding is strict: what it takes has no field that the kind does not have."""
    rows = [json.loads(line) for line in JUDGED.read_text().splitlines()]
    taken = [row["object"] for row in rows if not row["refused"] and row["object"]["kind"] in SPEC_FIELDS]
    assert len(taken) > 100
    assert [
        unknown(item["kind"], item["spec"]) for item in taken if unknown(item["kind"], item["spec"])
    ] == []


@pytest.mark.parametrize(
    ("kind", "spec", "path", "advice"),
    [
        ("Tier", {"Order": 1}, "spec.Order", "write order"),
        ("HostEndpoint", {"expectedIP": []}, "spec.expectedIP", "write expectedIPs"),
        (
            "HostEndpoint",
            {"ports": [{}, {"number": 1}]},
            "spec.ports[1].number",
            "take it out: the fields here",
        ),
        (
            "GlobalNetworkPolicy",
            {"ingress": [{"source": {"net": ["10.0.0.0/8"]}}]},
            "spec.ingress[0].source.net",
            "write nets",
        ),
        (
            "GlobalNetworkPolicy",
            {"egress": [{"icmp": {"types": 8}}]},
            "spec.egress[0].icmp.types",
            "write type",
        ),
        (
            "GlobalNetworkPolicy",
            {"egress": [{"destination": {"domains": ["example.com"]}}]},
            "spec.egress[0].destination.domains",
            "only Calico's commercial editions",
        ),
        ("NetworkPolicy", {"preDNAT": True}, "spec.preDNAT", "take it out: the fields here"),
        ("FelixConfiguration", {"bpfenabled": True}, "spec.bpfenabled", "write bpfEnabled"),
        (
            "KubeControllersConfiguration",
            {"controllers": {"node": {"hostEndpoint": {"autocreate": "Enabled"}}}},
            "spec.controllers.node.hostEndpoint.autocreate",
            "write autoCreate",
        ),
    ],
)
def test_a_field_that_a_kind_does_not_have(kind: str, spec: Any, path: str, advice: str) -> None:
    found = unknown(kind, spec)
    assert [*found] == [path]
    assert found[path].startswith(advice)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        # Its annotations are the user's own, and a kind that says nothing about hosts is not looked into.
        ("GlobalNetworkPolicy", {"ingress": [{"metadata": {"annotations": {"any": "x"}}}]}),
        ("BGPPeer", {"anything": 1}),
        ("Tier", "no mapping"),
        ("GlobalNetworkPolicy", {"ingress": "no list"}),
        ("StagedGlobalNetworkPolicy", {"stagedAction": "Delete"}),
    ],
)
def test_what_is_none_of_ours_to_know(kind: str, spec: Any) -> None:
    assert unknown(kind, spec) == {}


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("Globalnetworkpolicy", "GlobalNetworkPolicy"),
        ("HostEndpoints", "HostEndpoint"),
        ("hostendpoint", "HostEndpoint"),
        ("bgppeer", "BGPPeer"),
        ("Deployment", None),
    ],
)
def test_a_kind_is_recognised_whatever_its_capitals(kind: str, meant: Any) -> None:
    assert kind_meant(kind) == meant
