# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.finding import OK
from ansible_collections.hostfence.calico.plugins.module_utils.calico.preflight import (
    AUTO,
    DIRECT,
    AutoHostEndpointsFact,
    ControllerPods,
    Facts,
    HostEndpointFact,
    NodeFact,
    PreflightWanted,
    judge,
    wildcard_collisions,
)

NODES = [
    NodeFact("node1", ready=True, control_plane=True),
    NodeFact("node2", ready=True, control_plane=False),
]
FIT = Facts(
    server_version="v1.34.1",
    flavour="v1",
    api_version="crd.projectcalico.org/v1",
    kinds=frozenset(
        ["HostEndpoint", "GlobalNetworkPolicy", "GlobalNetworkSet", "FelixConfiguration", "Tier"]
    ),
    calico_version="v3.32.1",
    datastore_ready=True,
    nodes=NODES,
    felix=ControllerPods("calico-system", "calico-node", 2, 2),
    kube_controllers=ControllerPods("calico-system", "calico-kube-controllers", 1, 1),
)
EMPTY = replace(
    FIT,
    flavour="none",
    kinds=frozenset(),
    calico_version="",
    datastore_ready=None,
    felix=None,
    kube_controllers=None,
)


def worse(facts, wanted=None):
    """Level and check of all findings that are not ok, with their texts."""
    found = judge(facts, wanted or PreflightWanted())
    return {(f.severity, f.id): f"{f.message} - {f.remedy}" for f in found if f.severity != OK}


def hep(name, node="node1", interface="*", made_by="someone else"):
    return HostEndpointFact(name, node, interface, made_by)


def test_a_fit_cluster_has_only_ok():
    found = judge(FIT, PreflightWanted(AUTO, ["node1", "node2"], permissions_checked=True))
    told = [f for f in found if not f.message.startswith("known fault ")]
    assert {f.severity for f in told} == {OK}
    assert not any(f.remedy for f in told)
    assert {"Kubernetes", "Calico", "Felix", "permissions", "inventory", "nodes"} <= {f.id for f in found}


def test_a_cluster_without_calico_may_go_on_but_is_told_that_nothing_is_enforced():
    found = worse(EMPTY)
    assert {level for level, _check in found} == {"warning"}
    assert "nothing is enforced until Calico runs" in found["warning", "Calico"]
    assert "nothing is enforced" in found["warning", "Felix"]
    assert ("warning", "datastore") not in found


@pytest.mark.parametrize(
    ("change", "expected", "text"),
    [
        ({"server_version": "v1.21.9"}, ("error", "Kubernetes"), "server-side apply"),
        ({"server_version": "v1.24.0"}, ("warning", "Kubernetes"), "1.25"),
        ({"calico_version": "v3.28.2"}, ("warning", "Calico"), "no tiers"),
        ({"calico_version": "v3.29.0"}, ("warning", "Calico"), "no staged policies"),
        ({"kinds": frozenset(["HostEndpoint"])}, ("warning", "kinds"), "GlobalNetworkPolicy"),
        (
            {"kinds": frozenset(["HostEndpoint"]), "flavour": "aggregated"},
            ("error", "kinds"),
            "v3.projectcalico.org",
        ),
        ({"migration": "Migrating"}, ("error", "datastore"), "Migrating"),
        ({"datastore_ready": False}, ("error", "datastore"), "not ready"),
        ({"datastore_ready": None}, ("warning", "datastore"), "never started"),
        ({"felix": None}, ("warning", "Felix"), "nothing is enforced"),
        ({"felix": ControllerPods("a", "b", 2, 1)}, ("warning", "Felix"), "a/b, 1 of 2 ready"),
        ({"felix": ControllerPods("a", "b", 0, 0)}, ("warning", "Felix"), "0 of 0"),
        ({"workloads_visible": False}, ("warning", "Felix"), "daemonsets"),
        ({"missing_permissions": ["create x", "list y"]}, ("error", "permissions"), "create x, list y"),
        ({"nodes": []}, ("error", "nodes"), "the cluster you mean"),
        ({"nodes": [NodeFact("node9", False, False)]}, ("warning", "nodes"), "node9"),
    ],
)
def test_what_is_wrong_is_named(change, expected, text):
    found = worse(replace(FIT, **change))
    assert text in found[expected]
    assert found[expected].partition(" - ")[2]


@pytest.mark.parametrize("kube_controllers", [None, ControllerPods("a", "calico-kube-controllers", 1, 0)])
def test_kube_controllers_matter_to_the_mode_that_needs_them(kube_controllers):
    facts = replace(FIT, kube_controllers=kube_controllers)
    assert ("warning", "kube-controllers") in worse(facts, PreflightWanted(DIRECT))
    assert ("error", "kube-controllers") in worse(facts, PreflightWanted(AUTO))


@pytest.mark.parametrize(
    ("mode", "environment", "stops"),
    [
        (AUTO, None, False),
        (AUTO, "enabled", False),
        (AUTO, "disabled", True),
        (DIRECT, None, False),
        (DIRECT, "enabled", True),
        (DIRECT, "disabled", False),
    ],
)
def test_an_environment_override_stops_what_it_contradicts(mode, environment, stops):
    facts = replace(FIT, auto=AutoHostEndpointsFact(environment=environment))
    found = worse(facts, PreflightWanted(mode))
    assert (("error", "auto HostEndpoints") in found) == stops
    if stops:
        assert (
            "set env deployment/calico-kube-controllers AUTO_HOST_ENDPOINTS-"
            in found["error", "auto HostEndpoints"]
        )


@pytest.mark.parametrize(
    ("mode", "ours", "warned"), [(DIRECT, False, True), (DIRECT, True, False), (AUTO, False, False)]
)
def test_auto_host_endpoints_of_someone_else(mode, ours, warned):
    facts = replace(FIT, auto=AutoHostEndpointsFact(enabled=True, ours=ours))
    assert (("warning", "auto HostEndpoints") in worse(facts, PreflightWanted(mode))) == warned


def test_the_inventory_is_compared_both_ways():
    found = worse(FIT, PreflightWanted(hosts=["node1", "node1.example.org"]))["warning", "inventory"]
    assert "1 hosts are no nodes of this cluster: node1.example.org" in found
    levels = [f for f in judge(FIT, PreflightWanted(hosts=["node1"])) if f.id == "inventory"]
    assert ["node2" in f.message for f in levels] == [True]
    assert not [f for f in judge(FIT, PreflightWanted()) if f.id == "inventory"]


def test_a_name_that_we_need_stops_only_where_we_need_it():
    facts = replace(FIT, host_endpoints=[hep("node1-hostfence")])
    assert "node1-hostfence" in worse(facts, PreflightWanted(DIRECT))["error", "HostEndpoints"]
    assert ("error", "HostEndpoints") not in worse(facts, PreflightWanted(AUTO))


def test_who_made_the_host_endpoints():
    facts = replace(
        FIT, host_endpoints=[hep("a", interface="eth0"), hep("b", interface="eth1", made_by="calico")]
    )
    assert worse(facts)["warning", "HostEndpoints"].startswith("1 by calico, 1 by someone else: a")
    gone = replace(FIT, host_endpoints=[hep("c", node="node3", made_by="hostfence")])
    assert "the nodes of c are gone" in worse(gone)["warning", "HostEndpoints"]


def test_wildcards_collide_on_one_node_only():
    heps = [hep("z"), hep("a"), hep("m", interface="eth0"), hep("b", node="node2")]
    assert wildcard_collisions(heps) == {"node1": ["a", "z"]}
    assert "node1: a before z" in worse(replace(FIT, host_endpoints=heps))["warning", "wildcards"]


def test_long_lists_are_cut():
    nodes = [NodeFact(f"n{i}", ready=False, control_plane=False) for i in range(9)]
    assert "n4 and 4 more" in worse(replace(FIT, nodes=nodes))["warning", "nodes"]
