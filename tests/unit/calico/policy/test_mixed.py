# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is taken out of a folder in which more lies than a set."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint_auto import templates_of
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.definition import wire
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.mixed import (
    sort_out,
    templates_like,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document, parse


def obj(kind, version="projectcalico.org/v3", name="x", **more):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


def sorted_out(*values, strict=False):
    return sort_out([Document(value, f"{n}.yml") for n, value in enumerate(values)], strict=strict)


def test_kinds_of_others_are_named_once():
    names = [f"n{number}" for number in range(5)]
    mixed = sorted_out(
        *(obj("NetworkPolicy", name=name) for name in names),
        obj("NetworkPolicy", "networking.k8s.io/v1", "k8s"),
        obj("FelixConfiguration", name="default"),
        obj("BGPPeer", "crd.projectcalico.org/v1"),
        obj("Installation", "operator.tigera.io/v1", "default"),
        obj("GlobalNetworkPolicy"),
    )
    assert [d.value["kind"] for d in mixed.documents] == ["GlobalNetworkPolicy"]
    assert mixed.remarks == [
        "left alone: 1 BGPPeer (x): a set cannot hold it",
        "left alone: 1 FelixConfiguration (default): the role felix writes it",
        "left alone: 1 Installation (default): a set cannot hold it",
        "left alone: 6 NetworkPolicy (n0, n1, n2 and 3 more): of a namespace, it selects no host",
    ]


@pytest.mark.parametrize(
    "value",
    [
        obj("globalnetworkpolicy"),
        obj("GlobalNetworkPolicies"),
        obj("hostendpoint"),
        obj("GlobalNetworkPolicy", "v1"),
        obj("GlobalNetworkPolicy", "policy.example/v1"),
        obj("Tier", "crd.projectcalico.org/v2"),
        obj("", "v1"),
        {"kind": "Pod"},
        {"apiVersion": "v1"},
        {},
        "text",
        ["a list"],
        7,
    ],
)
def test_what_may_be_meant_as_policy_is_left_to_the_strict_reader(value):
    mixed = sorted_out(value)
    assert [d.value for d in mixed.documents] == [value]
    with pytest.raises(BadInput):
        parse(mixed.documents)


def test_strict_refuses_what_a_set_cannot_hold():
    with pytest.raises(BadInput, match=r"1\.yml: kind: 'HostEndpoint': .*policies_strict"):
        sorted_out(obj("GlobalNetworkPolicy"), obj("HostEndpoint"), strict=True)
    assert sorted_out(obj("GlobalNetworkPolicy"), strict=True).remarks == []


def test_lists_are_unpacked():
    policies = {"kind": "GlobalNetworkPolicyList", "apiVersion": "projectcalico.org/v3"}
    items = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]
    mixed = sorted_out({**policies, "items": items}, {"kind": "List", "items": [obj("Tier", name="c")]})
    assert [(d.place, d.value["kind"], d.value["metadata"]["name"]) for d in mixed.documents] == [
        ("0.yml, items[0]", "GlobalNetworkPolicy", "a"),
        ("0.yml, items[1]", "GlobalNetworkPolicy", "b"),
        ("1.yml, items[0]", "Tier", "c"),
    ]


def test_lists_of_any_depth_are_unpacked_as_calicoctl_and_kubectl_take_them():
    tier, policy = obj("Tier", name="c"), obj("GlobalNetworkPolicy", name="p")
    inner = {"kind": "List", "apiVersion": "v1", "items": [policy]}
    nothing = {"kind": "List", "apiVersion": "v1", "items": None}
    mixed = sorted_out([tier, inner], {"kind": "List", "items": [inner, nothing]}, nothing)
    assert [(d.place, d.value) for d in mixed.documents] == [
        ("0.yml[0]", tier),
        ("0.yml[1], items[0]", policy),
        ("1.yml, items[0], items[0]", policy),
    ]
    assert mixed.remarks == []


def test_kinds_of_the_commercial_editions_are_left_alone():
    mixed = sorted_out(obj("GlobalAlert"), obj("PacketCapture"), obj("GlobalNetworkPolicy"))
    assert [remark.split(" (")[0] for remark in mixed.remarks] == [
        "left alone: 1 GlobalAlert",
        "left alone: 1 PacketCapture",
    ]


V1 = "crd.projectcalico.org/v1"


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({"ingress": [{"action": "Allow"}]}, ["Ingress", "Egress"]),
        ({"egress": [{"action": "Allow"}]}, ["Ingress", "Egress"]),
        ({"types": []}, ["Ingress", "Egress"]),
        ({"types": ["Egress"]}, ["Egress"]),
    ],
)
def test_v1_objects_keep_what_felix_reads_in_them(spec, types):
    mixed = sorted_out(obj("GlobalNetworkPolicy", V1, "default.ssh", spec=spec))
    [policy] = parse(mixed.documents, "hostfence").policies
    assert (policy.name, list(policy.spec.types)) == ("hostfence.ssh", types)
    [remark] = mixed.remarks
    assert ("types Ingress and Egress" in remark) == (spec.get("types") != ["Egress"])


def test_v1_tiers_and_names_stay():
    given = {"tier": "edge", "order": 3, "types": ["Ingress"]}
    mixed = sorted_out(
        obj("GlobalNetworkPolicy", V1, "edge.ssh", spec=given), obj("Tier", V1, "edge", spec={})
    )
    found = parse(mixed.documents, "hostfence")
    assert [(p.name, wire(p.spec)) for p in found.policies] == [("edge.ssh", given)]
    assert mixed.remarks[1] == "1.yml, Tier edge: crd.projectcalico.org/v1 read as projectcalico.org/v3"


def test_what_a_client_noted_is_taken_out_and_said():
    value = obj("GlobalNetworkSet", V1, status={}, spec={"nets": ["192.0.2.0/24"]})
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "stays"}
    value["metadata"].update(uid="u", resourceVersion="1", managedFields=[], annotations=notes)
    mixed = sorted_out(value)
    [found] = parse(mixed.documents).network_sets
    assert found.metadata.annotations == {"mine": "stays"}
    assert mixed.remarks[0].endswith(
        "without managedFields, resourceVersion, uid, kubectl.kubernetes.io/last-applied-configuration"
    )


def test_templates_that_make_such_host_endpoints():
    eth1 = obj("HostEndpoint", spec={"node": "a", "interfaceName": "eth1"})
    mixed = sorted_out(
        eth1,
        {**eth1, "metadata": {"name": "y"}},
        obj("HostEndpoint", spec={"node": "a", "interfaceName": "*"}),
        obj("HostEndpoint", spec={"node": "a", "expectedIPs": ["192.0.2.1"]}),
        obj("HostEndpoint", spec=None),
        {"apiVersion": "v1", "kind": "HostEndpoint", "metadata": None},
    )
    assert len(mixed.host_endpoints) == 6
    assert templates_like(mixed.host_endpoints) == [{"generate_name": "eth1", "interface_pattern": "^eth1$"}]


def test_a_template_has_the_labels_that_all_of_its_interface_have():
    heps = [
        {
            **obj("HostEndpoint", name=name, spec={"node": name, "interfaceName": "bond0.100"}),
            "metadata": {"name": name, "labels": {"role": "storage", "kubernetes.io/hostname": name}},
        }
        for name in ("a", "b")
    ]
    assert templates_like(heps) == [
        {"generate_name": "bond0.100", "interface_pattern": r"^bond0\.100$", "labels": {"role": "storage"}}
    ]
    # What is shown is taken by the reader of the option.
    assert templates_of(templates_like(heps))
