# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remedies for what the shipped sets would deny: done as said, they allow what was seen and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.candidate import with_candidate
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy import allow, presets
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.required_flows import (
    PlatformNetworks,
    Shape,
)

from tests.unit import builders
from tests.unit.builders import V3, Object
from tests.unit.calico.audit import watched
from tests.unit.calico.audit.watched import ONLY_WEB, all_nodes, audited, document, hep, node, record

SELECTOR = "host-endpoint == 'ingress'"
AROUND = PlatformNetworks(
    nodes=("10.0.3.0/24",),
    cluster=("10.244.0.0/16",),
    api=("10.0.3.1/32",),
    dns=("10.96.0.10/32",),
    ntp=("192.0.2.1/32",),
    ssh=("192.0.2.1/32",),
)
FIELDS = {
    "policies_node_cidrs": "nodes",
    "policies_cluster_cidrs": "cluster",
    "policies_local_addresses": "local",
    "policies_ssh_sources": "ssh",
    "policies_platform_dns_cidrs": "dns",
    "policies_platform_ntp_cidrs": "ntp",
}
TIERS = {presets.PLATFORM_TIER: "platform"}


def staged(policy: Object, tier: str) -> Object:
    name = f"{tier}.{policy['metadata']['name']}"
    return {
        **policy,
        "kind": "StagedGlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": tier, **policy["spec"]},
    }


def cluster(
    of_set: str,
    around: PlatformNetworks = AROUND,
    sources: tuple[str, ...] = (),
    allowed: Any = (),
) -> list[Object]:
    """Three nodes, the third with an address outside of policies_node_cidrs, and a shipped set staged."""
    tier = TIERS.get(of_set, "hostfence")
    shape = Shape(of_set, SELECTOR, "has(control-plane)", ("Ingress", "Egress"))
    policies = presets.preset(of_set, "kubeadm", around, shape, presets.NodePorts(sources=sources))
    third = {**node(3), "status": {"addresses": [{"type": "InternalIP", "address": "10.0.9.3"}]}}
    heps = [hep(number) for number in (1, 2, 3)]
    for item in heps:
        item["metadata"]["labels"]["kubernetes.io/hostname"] = item["metadata"]["name"]
    return [
        builders.tier("hostfence", api=V3, order=100, defaultAction="Pass"),
        builders.tier("platform", api=V3, order=200, defaultAction="Deny"),
        *(node(1), node(2), third),
        *heps,
        *(staged(policy, tier) for policy in policies),
        *(staged(policy, "hostfence") for policy in allow.policies(allowed, SELECTOR, "policies_allow")),
    ]


def done(of_set: str, remedy: Object) -> list[Object]:
    """The cluster once what a remedy says is added to its variable."""
    if remedy["variable"] == "policies_allow":
        return cluster(of_set, allowed=remedy["add"])
    if remedy["variable"] == "policies_nodeport_sources":
        return cluster(of_set, sources=tuple(remedy["add"]))
    field = FIELDS[remedy["variable"]]
    return cluster(of_set, replace(AROUND, **{field: (*getattr(AROUND, field), *remedy["add"])}))


def out(destination: str, port: int, protocol: int = 17) -> Object:
    flow = {"direction": "egress", "protocol": protocol, "source": "10.0.3.1", "destination": destination}
    return record(port=port, flow=flow)


LOCKDOWN, NODEPORT, PLATFORM_TIER = presets.INGRESS_LOCKDOWN, presets.NODEPORT, presets.PLATFORM_TIER
FAR = "198.51.100.9"
UDP, SCTP = {"protocol": 17}, {"protocol": 132}
SIX = {"source": "2001:db8::9", "destination": "2001:db8:1::1"}


@pytest.mark.parametrize(
    ("of_set", "seen", "variable"),
    [
        (LOCKDOWN, record(FAR, 9100), "policies_allow"),
        (LOCKDOWN, record(port=9100, flow=SIX), "policies_allow"),
        (LOCKDOWN, record(FAR, 500, flow=UDP), "policies_allow"),
        (LOCKDOWN, record(FAR, 500, flow=SCTP), "policies_allow"),
        (LOCKDOWN, record("10.0.9.3", 9100), "policies_node_cidrs"),
        (LOCKDOWN, record(FAR, 22), "policies_ssh_sources"),
        (NODEPORT, record(FAR, 30080), "policies_nodeport_sources"),
        (NODEPORT, record("10.0.9.3", 30080, flow=UDP), "policies_node_cidrs"),
        (PLATFORM_TIER, record(FAR, 9999), "policies_allow"),
        (PLATFORM_TIER, record("10.0.9.3", 9999), "policies_allow"),
        (PLATFORM_TIER, record(FAR, 22), "policies_ssh_sources"),
        (PLATFORM_TIER, out(FAR, 53), "policies_platform_dns_cidrs"),
        (PLATFORM_TIER, out(FAR, 123), "policies_platform_ntp_cidrs"),
    ],
)
def test_what_is_added_to_the_variable_allows_what_was_seen(of_set, seen, variable):
    (row,) = audited(cluster(of_set), *all_nodes(seen))["rows"]

    assert row["remedy"]["variable"] == variable, row["remedy"]
    again = audited(done(of_set, row["remedy"]), *all_nodes(seen))
    assert again["rows"] == [], again["message"]


def test_an_entry_of_policies_allow_is_no_wider_than_what_was_seen():
    """One node of three, one peer, one port."""
    elsewhere = [document(of="n2"), document(of="n3")]
    (row,) = audited(cluster(LOCKDOWN), document(record(FAR)), *elsewhere)["rows"]

    (entry,) = row["remedy"]["add"]
    assert {**entry, "name": ""} == {
        "name": "", "ports": [9100], "sources": [f"{FAR}/32"], "nodes": ["n1"]
    }  # fmt: skip
    then = done(LOCKDOWN, row["remedy"])
    for flow, of in (
        (record(FAR), "n2"),
        (record("198.51.100.10"), "n1"),
        (record(FAR, 9101), "n1"),
        (record(FAR, flow=UDP), "n1"),
    ):
        assert audited(then, document(flow, of=of))["counts"]["would_deny"] == 1
    assert audited(then, document(record(FAR)))["counts"]["would_deny"] == 0


def test_a_policy_of_ones_own_is_for_the_hosts_where_it_was_seen():
    objects = cluster(LOCKDOWN)
    echo = {"protocol": 1, "destination_port": None, "icmp_type": 8, "icmp_code": 0}
    documents = [document(record(FAR, flow=echo), of=of) for of in ("n1", "n3")]

    (row,) = audited(objects, *documents)["rows"]
    (policy,) = row["remedy"]["policies"]

    assert policy["spec"]["selector"] == f"({SELECTOR}) && kubernetes.io/hostname in {{'n1', 'n3'}}"
    wider = audited(objects, *documents, generalise="subnet")["rows"][0]["remedy"]["policies"][0]
    assert wider["spec"]["selector"] == SELECTOR


def test_a_remedy_says_where_it_is_for_more_hosts_than_were_seen():
    objects = cluster(LOCKDOWN)
    for item in objects:
        if item["kind"] == "HostEndpoint":
            del item["metadata"]["labels"]["kubernetes.io/hostname"]

    (row,) = audited(objects, document(record(FAR)))["rows"]

    assert row["remedy"]["text"].endswith(", for all 3 hosts that hostfence.ingress-lockdown-drop selects")


def test_the_remedy_is_a_policy_that_allows_exactly_what_was_seen():
    objects = watched.cluster(ONLY_WEB)
    records = [record("192.0.2.8"), record("192.0.2.9"), record("fd00::9", flow={"destination": "fd00::1"})]
    (row,) = audited(objects, *all_nodes(*records))["rows"]
    (policy,) = row["remedy"]["policies"]

    assert [rule["source"]["nets"] for rule in policy["spec"]["ingress"]] == [
        ["192.0.2.8/31"],
        ["fd00::9/128"],
    ]
    again = audited(with_candidate(objects, [policy]), *all_nodes(*records))
    assert again["gate"] == "pass"
    wider = audited(with_candidate(objects, [policy]), *all_nodes(record("192.0.2.10"), record(port=9101)))
    assert wider["counts"]["would_deny"] == 6


@pytest.mark.parametrize("stage", ["preDNAT", "normal", "forward"])
def test_a_remedy_is_of_the_class_that_denies(stage):
    drop = {"order": 2000, "ingress": [{"action": "Deny"}]}
    if stage != "normal":
        drop["applyOnForward"] = True
    if stage == "preDNAT":
        drop["preDNAT"] = True
    objects = watched.cluster(watched.staged("mine", **drop))
    seen = record(port=8080)
    if stage == "forward":
        seen["flow"].update(direction="forward", out_interface="cali1", destination="10.244.1.7")
        seen["flow"].update(original_destination="10.0.3.1", original_destination_port=30080)
    (row,) = audited(objects, *all_nodes(seen))["rows"]

    again = audited(with_candidate(objects, row["remedy"]["policies"]), *all_nodes(seen))

    assert again["gate"] == "pass", again["message"]


@pytest.mark.parametrize(
    ("source", "port", "variable", "net"),
    [
        ("192.0.2.9", 2222, "policies_ssh_sources", "192.0.2.9/32"),
        ("10.0.3.2", 9100, "policies_node_cidrs", "10.0.3.2/32"),
    ],
)
@pytest.mark.parametrize("ssh_port", [2222, "2222"])
def test_the_shipped_sets_are_put_right_by_their_variables(source, port, variable, net, ssh_port):
    result = audited(
        watched.cluster(watched.LOCKDOWN),
        *all_nodes(record(source, port)),
        variables={"policies_ssh_port": ssh_port},
    )

    (row,) = result["rows"]
    assert (row["remedy"]["variable"], row["remedy"]["add"]) == (variable, [net])
    assert row["remedy"]["text"] == f"add {net} to {variable}"


def test_a_remedy_names_only_what_is_missing_in_the_variable():
    objects = watched.cluster(watched.LOCKDOWN)
    seen = all_nodes(record("192.0.2.9", 22), record("198.51.100.9", 22))

    def remedy(*sources: str) -> Object:
        (row,) = audited(objects, *seen, variables={"policies_ssh_sources": list(sources)})["rows"]
        return row["remedy"]

    assert remedy("192.0.2.0/24", "no net")["add"] == ["198.51.100.9/32"]
    # The inventory has them and the staged set does not.
    everything = remedy("0.0.0.0/0")
    assert everything["variable"] == "policies_allow"
    assert everything["text"].startswith(
        "policies_ssh_sources has them: stage the set again where that is new"
    )


def test_the_operator_may_let_a_remedy_be_a_subnet():
    result = audited(watched.cluster(ONLY_WEB), *all_nodes(record()), generalise="subnet")

    assert result["rows"][0]["remedy"]["policies"][0]["spec"]["ingress"][0]["source"]["nets"] == [
        "192.0.2.0/24"
    ]
