# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-ins' decisions. The objects are as the real kube-controllers v3.32.1 was seen to write them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from testbed.node_objects import node
from testbed.standins.auto_host_endpoints import (
    METADATA,
    body,
    current,
    running_config,
    wanted,
)
from testbed.standins.recorded_felix import RECORDINGS, fitting

V1, V3 = "crd.projectcalico.org/v1", "projectcalico.org/v3"
NOW = "2026-11-21T06:17:51Z"
NODE = node("node1", 1, ("10.99.0.11", "fd99::11"))
ENABLED = {"autoCreate": "Enabled", "createDefaultHostEndpoint": "Enabled"}


def templates(**template):
    return {**ENABLED, "templates": [{"generateName": "tp", **template}]}


def names(config, of=NODE):
    return [endpoint.name for endpoint in wanted(of, config)[0]]


def test_the_default_endpoint_has_the_nodes_labels_and_addresses():
    (endpoint,), _delete = wanted(NODE, ENABLED)

    assert endpoint.name == "node1-auto-hep"
    assert endpoint.interface == "*"
    assert endpoint.expected_ips == ("10.99.0.11", "fd99::11")
    assert endpoint.labels == {
        **NODE["metadata"]["labels"],
        "projectcalico.org/created-by": "calico-kube-controllers",
    }


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            {"nodeSelector": "all()", "interfaceCIDRs": ["10.99.0.0/24"]},
            ["node1-auto-hep", "node1-tp-auto-hep"],
        ),
        ({"interfaceCIDRs": ["10.99.0.0/24"]}, ["node1-auto-hep", "node1-tp-auto-hep"]),
        ({"nodeSelector": "all()", "interfaceCIDRs": ["192.0.2.0/24"]}, ["node1-auto-hep"]),
        ({"nodeSelector": "has(nothing)", "interfaceCIDRs": ["10.99.0.0/24"]}, ["node1-auto-hep"]),
        (
            {"nodeSelector": "all()", "interfacePattern": "eth.*"},
            ["node1-auto-hep", "node1-tp-eth0-auto-hep"],
        ),
    ],
)
def test_templates(template, expected):
    interfaces = json.dumps([{"name": "eth0", "addresses": ["10.99.0.11"]}])
    annotated = {
        **NODE,
        "metadata": {**NODE["metadata"], "annotations": {"projectcalico.org/Interfaces": interfaces}},
    }

    assert names(templates(**template), annotated) == expected


def test_a_bad_selector_ends_the_work_on_a_node():
    config = {
        **ENABLED,
        "templates": [{"nodeSelector": "(("}, {"generateName": "b", "interfacePattern": ".*"}],
    }

    endpoints, delete_others = wanted(NODE, config)

    assert [endpoint.name for endpoint in endpoints] == ["node1-auto-hep"]
    assert not delete_others


@pytest.mark.parametrize(
    ("spec", "override", "expected"),
    [
        ({"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled"}}}}, "", ENABLED),
        ({"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled"}}}}, "disabled", None),
        ({"controllers": {"node": {"hostEndpoint": {"autoCreate": "Disabled"}}}}, "enabled", ENABLED),
        ({"controllers": {}}, "", None),
    ],
)
def test_the_environment_wins_over_the_configuration(spec, override, expected):
    assert running_config(spec, override) == expected


def test_disabled_wants_nothing():
    assert wanted(NODE, None) == ([], True)
    assert names({**ENABLED, "autoCreate": "Disabled"}) == []


def test_v1_keeps_labels_in_the_annotation_and_reads_them_there():
    (endpoint,), _delete = wanted(NODE, ENABLED)

    stored = body(endpoint, V1, NOW)

    assert stored["metadata"]["labels"] == {"projectcalico.org/created-by": "calico-kube-controllers"}
    assert json.loads(stored["metadata"]["annotations"][METADATA])["labels"] == endpoint.labels
    stored["metadata"]["labels"]["mine"] = "ignored"
    assert endpoint.same(current(stored))


def test_v3_relabelled_endpoints_are_put_right_and_profiles_are_left():
    (endpoint,), _delete = wanted(NODE, ENABLED)
    stored = body(endpoint, V3, NOW)

    stored["spec"]["profiles"] = []
    assert endpoint.same(current(stored))
    stored["metadata"]["labels"]["mine"] = "reverted"
    assert not endpoint.same(current(stored))


def test_names_too_long_are_hashed():
    long = {**NODE, "metadata": {**NODE["metadata"], "name": "n" * 250}}

    (name,) = names(ENABLED, long)

    assert len(name) < 253
    assert name.endswith("-auto-hep")


def hep(name="a", interface="*", profiles=("projectcalico-default-allow",), labels=None):
    spec = {"node": "node1", "interfaceName": interface, "profiles": list(profiles)}
    return {"apiVersion": V3, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


DEFAULT_SET = [
    {"tier": "hostfence", "preDNAT": True, "types": ["Ingress"]},
    {"tier": "hostfence", "types": ["Egress"]},
]


def objects(*endpoints, policies=(), staged=(), felix=None):
    return {
        "staged": {f"s{number}": {"spec": spec} for number, spec in enumerate(staged)},
        "endpoints": {endpoint["metadata"]["name"]: endpoint for endpoint in endpoints},
        "policies": {f"p{number}": {"spec": spec} for number, spec in enumerate(policies)},
        "felix": {"default": {"spec": felix or {}}},
    }


@pytest.mark.parametrize(
    ("state", "recording", "differs"),
    [
        (objects(), "nohep", ""),
        (objects(hep(), staged=DEFAULT_SET), "hep-staged", ""),
        (objects(hep(), staged=DEFAULT_SET[:1]), "hep-staged", "only the default set"),
        (objects(hep(), staged=[{"selector": "has(nothing)"}]), "hep-profile-allow", ""),
        (objects(hep()), "hep-profile-allow", ""),
        (objects(hep(profiles=[])), "hep-nopolicy", ""),
        (objects(hep("b", profiles=[]), hep("a")), "hep-profile-allow", ""),
        (objects(hep(), policies=[{"selector": "has(nothing)"}]), "hep-profile-allow", ""),
        (objects(hep(), policies=[{"selector": "all()"}]), "hep-profile-allow", "enforced policies"),
        (objects(hep(), policies=[{}]), "hep-profile-allow", "enforced policies"),
        (objects(hep(interface="eth0")), "nohep", "single interfaces"),
        (objects(hep(), felix={"failsafeInboundHostPorts": []}), "hep-profile-allow", "default failsafes"),
    ],
)
def test_a_state_that_was_not_recorded_is_said_to_differ(state, recording, differs):
    loaded = fitting("node1", state)

    assert loaded.recording == recording
    assert differs in loaded.differs
    assert bool(loaded.differs) == bool(differs)


def test_every_recording_is_there():
    for backend in ("iptables-nft", "nftables"):
        for recording in ("nohep", "hep-nopolicy", "hep-profile-allow"):
            assert any((RECORDINGS / backend / recording).iterdir())
