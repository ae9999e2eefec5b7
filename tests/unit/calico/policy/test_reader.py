# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is taken as policy, what is refused and how it is said."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput

from tests.unit.calico.policy.read import gnp, read, rule, spec_of


def ingress(**fields):
    return gnp(ingress=[rule(**fields)])


REFUSED = [
    # field, object
    ("kind", {**gnp(), "kind": "NetworkPolicy"}),
    ("kind", {**gnp(), "kind": "HostEndpoint"}),
    ("kind", {**gnp(), "kind": "Deployment"}),
    ("kind", {"apiVersion": "projectcalico.org/v3"}),
    ("apiVersion", {**gnp(), "apiVersion": "crd.projectcalico.org/v1"}),
    ("metadata", {**gnp(), "metadata": None}),
    ("metadata.name", gnp("Not_Lower")),
    ("metadata.name", gnp("a.b.c")),
    ("metadata.name", gnp("other.x", tier="edge")),
    ("metadata.name", gnp("x" * 254)),
    ("metadata.namespace", {**gnp(), "metadata": {"name": "x", "namespace": "y"}}),
    ("metadata.uid", {**gnp(), "metadata": {"name": "x", "uid": "y"}}),
    ("metadata.finalizers", {**gnp(), "metadata": {"name": "x", "finalizers": ["a/b"]}}),
    ("metadata.labels[a]", {**gnp(), "metadata": {"name": "x", "labels": {"a": 1}}}),
    ("metadata.labels[a b]", {**gnp(), "metadata": {"name": "x", "labels": {"a b": "c"}}}),
    (
        "metadata.labels[hostfence.io/set]",
        {**gnp(), "metadata": {"name": "x", "labels": {"hostfence.io/set": "y"}}},
    ),
    ("status", {**gnp(), "status": {"a": 1}}),
    ("spek", {**gnp(), "spek": {}}),
    ("spec", {**gnp(), "spec": []}),
    ("spec.ordr", gnp(ordr=1)),
    ("spec.order", gnp(order="1")),
    ("spec.order", gnp(order=float("nan"))),
    ("spec.order", gnp(order=True)),
    ("spec.tier", gnp(tier="a.b")),
    ("spec.selector", gnp(selector="role = 'x'")),
    ("spec.selector", gnp(selector="global()")),
    ("spec.namespaceSelector", gnp(namespaceSelector="has (x)")),
    ("spec.serviceAccountSelector", gnp(serviceAccountSelector="((")),
    ("spec.types[0]", gnp(types=["ingress"])),
    ("spec.types", gnp(types=["Ingress", "Ingress"])),
    ("spec.performanceHints", gnp(performanceHints=["Faster"])),
    ("spec.performanceHints", gnp(performanceHints=["AssumeNeededOnEveryNode"] * 2)),
    # With the prefix that Calico puts before it, the label is longer than 512 characters.
    ("spec.namespaceSelector", gnp(namespaceSelector=f"has({'a' * 508})")),
    ("spec.serviceAccountSelector", gnp(serviceAccountSelector=f"has({'a' * 508})")),
    (
        "spec.ingress[0].source.namespaceSelector",
        ingress(source={"namespaceSelector": f"has({'a' * 508})"}),
    ),
    (
        "spec.ingress[0].source.serviceAccounts.selector",
        ingress(source={"serviceAccounts": {"selector": f"has({'a' * 508})"}}),
    ),
    (
        "spec.ingress[0].source.serviceAccounts.names[1]",
        ingress(source={"serviceAccounts": {"names": ["a", "a"]}}),
    ),
    (
        "spec.ingress[0].source.serviceAccounts.names[0]",
        ingress(source={"serviceAccounts": {"names": ["a'b"]}}),
    ),
    *(
        ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": [name]}))
        for name in ("HTTP", "80-90", "a.b", "a_b", "-a", "a-", "a--b", "a" * 16)
    ),
    ("spec.nets[1]", {**gnp(nets=["10.0.0.0/8"] * 2), "kind": "GlobalNetworkSet"}),
    ("spec.doNotTrack", gnp(preDNAT=True, doNotTrack=True, applyOnForward=True)),
    ("spec.types", gnp(preDNAT=True, applyOnForward=True, egress=[rule()])),
    ("spec.types", gnp(preDNAT=True, applyOnForward=True, types=["Egress"])),
    ("spec.applyOnForward", gnp(preDNAT=True)),
    ("spec.applyOnForward", gnp(doNotTrack=True)),
    ("spec.preDNAT", gnp(preDNAT="yes")),
    ("spec.ingress", gnp(ingress={"action": "Allow"})),
    ("spec.ingress[0]", gnp(ingress=["Allow"])),
    ("spec.ingress[0].action", gnp(ingress=[{}])),
    ("spec.ingress[0].action", gnp(ingress=[{"action": "allow"}])),
    ("spec.ingress[0].port", ingress(port=22)),
    ("spec.ingress[0].http", ingress(http={"methods": ["GET"]})),
    ("spec.ingress[0].protocol", ingress(protocol="tcp")),
    ("spec.ingress[0].protocol", ingress(protocol="GRE")),
    ("spec.ingress[0].protocol", ingress(protocol=0)),
    ("spec.ingress[0].protocol", ingress(protocol=256)),
    ("spec.ingress[0].protocol", ingress(protocol=True)),
    ("spec.ingress[0].ipVersion", ingress(ipVersion=5)),
    ("spec.ingress[0].ipVersion", ingress(ipVersion=6, protocol="ICMP")),
    ("spec.ingress[0].ipVersion", ingress(ipVersion=4, notProtocol="ICMPv6")),
    ("spec.ingress[0].icmp", ingress(icmp={"type": 8})),
    ("spec.ingress[0].notICMP", ingress(notICMP={"type": 8})),
    ("spec.ingress[0].icmp.type", ingress(protocol="ICMP", icmp={"code": 1})),
    ("spec.ingress[0].icmp.type", ingress(protocol="ICMP", icmp={"type": 255})),
    ("spec.ingress[0].source.nets[1]", ingress(source={"nets": ["10.0.0.0/8", "10.0.0.0/33"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": ["10.0.0.1"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": ["10.0.0.1/8"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": ["10.0.0.0/255.0.0.0"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": ["fd00::/129"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": ["::ffff:10.0.0.0/104"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": ["example.org"]})),
    ("spec.ingress[0].source.nets[0]", ingress(source={"nets": [10]})),
    ("spec.ingress[0].source.nets[1]", ingress(source={"nets": ["10.0.0.0/8", "10.0.0.0/8"]})),
    ("spec.ingress[0].source.nets[1]", ingress(source={"nets": ["10.0.0.0/8", "fd00::/8"]})),
    ("spec.ingress[0].source.nets[0]", ingress(ipVersion=6, source={"nets": ["10.0.0.0/8"]})),
    ("spec.ingress[0].source.notNets[0]", ingress(source={"notNets": ["0.0.0.0/0"]})),
    (
        "spec.ingress[0].destination.nets[0]",
        ingress(source={"nets": ["10.0.0.0/8"]}, destination={"nets": ["fd00::/8"]}),
    ),
    ("spec.ingress[0].source.selector", ingress(source={"selector": "global()"})),
    ("spec.ingress[0].source.notSelector", ingress(source={"notSelector": "a b"})),
    (
        "spec.ingress[0].source.namespaceSelector",
        ingress(source={"namespaceSelector": "global() || a == 'b'"}),
    ),
    (
        "spec.ingress[0].source.serviceAccounts.selector",
        ingress(source={"serviceAccounts": {"selector": "("}}),
    ),
    ("spec.ingress[0].destination.ports", ingress(destination={"ports": [22]})),
    ("spec.ingress[0].destination.ports", ingress(protocol="ICMP", destination={"ports": ["x"]})),
    ("spec.ingress[0].source.notPorts", ingress(notProtocol="TCP", source={"notPorts": [22]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": [0]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": [70000]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": ["70000"]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": ["1:70000"]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": ["30:20"]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": ["a b"]})),
    ("spec.ingress[0].destination.ports[0]", ingress(protocol="TCP", destination={"ports": [True]})),
    (
        "spec.ingress[0].destination.services",
        ingress(destination={"services": {"name": "a", "namespace": "b"}}),
    ),
    ("spec.ingress[0].source.services.namespace", ingress(source={"services": {"name": "a"}})),
    (
        "spec.ingress[0].source.nets",
        ingress(source={"nets": ["10.0.0.0/8"], "services": {"name": "a", "namespace": "b"}}),
    ),
    (
        "spec.stagedAction",
        {**gnp(stagedAction="Delete"), "kind": "StagedGlobalNetworkPolicy"},
    ),
    ("spec.nets[0]", {**gnp(nets=["10.0.0.0/33"]), "kind": "GlobalNetworkSet"}),
    ("spec.ingress", {**gnp(ingress=[]), "kind": "GlobalNetworkSet"}),
    ("metadata.name", {**gnp("a.b"), "kind": "Tier"}),
    ("metadata.name", {**gnp("default"), "kind": "Tier"}),
    ("spec.defaultAction", {**gnp("edge", defaultAction="Allow"), "kind": "Tier"}),
    ("document", ["a", "list"]),
]


@pytest.mark.parametrize(("field", "obj"), REFUSED)
def test_refused_with_field_and_place(field, obj):
    with pytest.raises(BadInput) as refused:
        read(obj)
    assert refused.value.field == field
    assert refused.value.source.startswith("a.yml")
    assert "\n" not in str(refused.value)
    assert refused.value.remedy


def test_the_message_names_file_object_field_value_and_remedy():
    with pytest.raises(BadInput) as refused:
        read(ingress(source={"nets": ["10.0.0.0/33"]}))
    assert str(refused.value) == (
        "a.yml, GlobalNetworkPolicy ssh: spec.ingress[0].source.nets[0]: '10.0.0.0/33': not a network; Felix "
        "would leave the match out, and the rule would fit everybody "
        "(write it like 192.0.2.0/24 or 2001:db8::/32)"
    )


@pytest.mark.parametrize("key", ["namespaceSelector", "serviceAccountSelector"])
def test_a_label_just_short_enough_for_its_prefix_is_taken(key):
    assert spec_of(gnp(**{key: f"has({'a' * 507})"}))[key]


def test_a_field_of_the_commercial_editions_is_told_as_such():
    with pytest.raises(
        BadInput, match="open-source Calico has no such field, only the commercial editions do"
    ):
        read(ingress(destination={"domains": ["*.registry.example"]}))


def test_a_misspelt_field_is_recognised():
    with pytest.raises(BadInput, match="did you mean selector"):
        read(gnp(selektor="all()"))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "hostfence.a")])
def test_two_policies_of_one_name(names):
    with pytest.raises(BadInput, match="named twice"):
        read(*(gnp(n) for n in names))


def test_staged_and_enforced_kind_of_one_name_are_twins():
    with pytest.raises(BadInput, match="named twice"):
        read(gnp("a"), {**gnp("a"), "kind": "StagedGlobalNetworkPolicy"})


def test_a_policy_and_a_set_may_share_a_name():
    found = read(gnp("a"), {**gnp("a", nets=["192.0.2.7"]), "kind": "GlobalNetworkSet"})
    assert found.network_sets[0].nets == ("192.0.2.7",)


def test_networks_are_written_in_canonical_form():
    assert spec_of(ingress(source={"nets": ["FD00:0::/16"]}))["ingress"][0]["source"]["nets"] == ["fd00::/16"]


def test_empty_icmp_fits_every_type_as_felix_reads_it():
    empty = gnp(ingress=[rule(protocol="ICMP", icmp={}), rule(protocol="ICMP", notICMP={})])
    assert spec_of(empty)["ingress"] == [rule(protocol="ICMP")] * 2


def test_annotations_whose_dns_name_has_capitals():
    given = {"Example.COM/Owner": "me"}
    annotated = gnp()
    annotated["metadata"]["annotations"] = given
    assert read(annotated).policies[0].metadata.annotations == given
    # Of labels, the API server refuses them.
    annotated["metadata"]["labels"] = given
    with pytest.raises(BadInput, match="DNS name"):
        read(annotated)
