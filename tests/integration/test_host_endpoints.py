# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules host_endpoints and host_endpoints_info against a real API server."""

from __future__ import annotations

import json
import threading
import time

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import effective_labels
from module_run import run_module


def heps(api):
    return {h["metadata"]["name"]: h for h in api.admin.list(api.path("HostEndpoint"))}


def versions(api):
    return {name: h["metadata"]["resourceVersion"] for name, h in heps(api).items()}


def test_every_node_gets_its_host_endpoint(clean_api):
    names = clean_api.add_nodes(3)
    result = run_module("host_endpoints", clean_api)
    assert result["changed"]
    assert result["summary"] == "3 of 3 nodes have their HostEndpoint"
    found = heps(clean_api)
    assert sorted(found) == [f"{n}-hostfence" for n in names]
    one = found[f"{names[0]}-hostfence"]
    assert one["spec"]["node"] == names[0]
    assert one["spec"]["interfaceName"] == "*"
    assert one["spec"]["profiles"] == ["projectcalico-default-allow"]
    node = clean_api.admin.get(f"/api/v1/nodes/{names[0]}")
    internal = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
    assert one["spec"]["expectedIPs"] == internal
    assert one["metadata"]["labels"]["host-endpoint"] == "ingress"
    assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hostfence"


def test_second_run_writes_nothing(clean_api):
    clean_api.add_nodes(3)
    run_module("host_endpoints", clean_api)
    before = versions(clean_api)
    result = run_module("host_endpoints", clean_api)
    assert not result["changed"]
    assert result["unchanged"] == 3
    assert versions(clean_api) == before


def test_one_for_each_network_of_a_node(clean_api):
    first, second = clean_api.add_nodes(2)
    noted = json.dumps([{"name": "eth1", "addresses": ["198.51.100.7"]}])
    annotated = {"metadata": {"annotations": {"projectcalico.org/Interfaces": noted}}}
    clean_api.admin.patch(f"/api/v1/nodes/{first}", annotated)
    templates = [
        {"generate_name": "public", "interface_cidrs": ["198.51.100.0/24"], "labels": {"net": "public"}},
        {"generate_name": "by-name", "interface_pattern": "^eth1$"},
    ]
    result = run_module("host_endpoints", clean_api, templates=templates)
    assert result["changed"], result
    assert result["summary"] == "2 of 2 nodes have their HostEndpoint"
    found = heps(clean_api)
    public, by_name = f"{first}-public-hostfence", f"{first}-by-name-eth1-hostfence"
    assert sorted(found) == sorted([f"{first}-hostfence", public, by_name, f"{second}-hostfence"])
    assert found[public]["spec"]["expectedIPs"] == ["198.51.100.7"]
    assert "interfaceName" not in found[public]["spec"]
    assert effective_labels(found[public])["net"] == "public"
    assert found[by_name]["spec"]["interfaceName"] == "eth1"
    assert not run_module("host_endpoints", clean_api, templates=templates)["changed"]
    # A template that is taken out takes its own with it; the others stay as they are.
    before = versions(clean_api)
    left = run_module("host_endpoints", clean_api, templates=templates[:1], create_default=False)
    assert sorted(c["name"] for c in left["changes"]) == sorted(before.keys() - {public})
    assert versions(clean_api) == {public: before[public]}


@pytest.mark.one_flavour
def test_templates_that_cannot_be_are_refused(clean_api):
    clean_api.add_nodes(1)
    for options, said in (
        ({"templates": [{"generate_name": "x"}]}, "templates[0].interface_cidrs"),
        ({"create_default": False}, "without templates no node would have a HostEndpoint"),
    ):
        result = run_module("host_endpoints", clean_api, **options)
        assert result["failed"]
        assert said in result["msg"]
    assert heps(clean_api) == {}


@pytest.mark.one_flavour
def test_check_mode_tells_and_writes_nothing(clean_api):
    clean_api.add_nodes(2)
    result = run_module("host_endpoints", clean_api, check=True, diff=True)
    assert result["changed"]
    assert [c["action"] for c in result["changes"]] == ["create", "create"]
    assert result["diff"][0]["before"] == {}
    assert result["diff"][0]["after"]["spec"]["interfaceName"] == "*"
    assert heps(clean_api) == {}
    run_module("host_endpoints", clean_api)
    again = run_module("host_endpoints", clean_api, check=True, diff=True)
    assert not again["changed"]
    assert again["diff"] == []


def test_node_joins_and_leaves(clean_api):
    first, second = clean_api.add_nodes(2)
    run_module("host_endpoints", clean_api)
    before = versions(clean_api)
    (third,) = clean_api.add_nodes(1, first=3)
    joined = run_module("host_endpoints", clean_api)
    assert [(c["action"], c["node"]) for c in joined["changes"]] == [("create", third)]
    clean_api.admin.delete(f"/api/v1/nodes/{second}")
    left = run_module("host_endpoints", clean_api)
    assert [(c["action"], c["node"]) for c in left["changes"]] == [("delete", second)]
    assert versions(clean_api)[f"{first}-hostfence"] == before[f"{first}-hostfence"]


def test_edited_by_hand_is_put_right_and_foreign_labels_stay(clean_api):
    (name,) = clean_api.add_nodes(1)
    run_module("host_endpoints", clean_api)
    path = clean_api.path("HostEndpoint", f"{name}-hostfence")
    clean_api.admin.patch(
        path,
        {
            "metadata": {"labels": {"host-endpoint": "wrong", "team": "blue"}},
            "spec": {"profiles": [], "expectedIPs": ["192.0.2.1"]},
        },
    )
    result = run_module("host_endpoints", clean_api, diff=True)
    assert [c["action"] for c in result["changes"]] == ["update"]
    assert result["diff"][0]["before"]["labels"]["host-endpoint"] == "wrong"
    stored = clean_api.admin.get(path)
    assert stored["metadata"]["labels"]["host-endpoint"] == "ingress"
    assert stored["metadata"]["labels"]["team"] == "blue"
    assert stored["spec"]["profiles"] == ["projectcalico-default-allow"]
    assert not run_module("host_endpoints", clean_api)["changed"]


@pytest.mark.one_flavour
def test_a_label_no_longer_named_goes(clean_api):
    (name,) = clean_api.add_nodes(1)
    run_module("host_endpoints", clean_api, labels={"host-endpoint": "ingress", "ring": "one"})
    run_module("host_endpoints", clean_api)
    labels = heps(clean_api)[f"{name}-hostfence"]["metadata"]["labels"]
    assert "ring" not in labels
    assert labels["host-endpoint"] == "ingress"


def test_labels_hidden_by_calicos_annotation_are_put_right(clean_api):
    (name,) = clean_api.add_nodes(1)
    run_module("host_endpoints", clean_api)
    path = clean_api.path("HostEndpoint", f"{name}-hostfence")
    hidden = {
        "labels": {"app.kubernetes.io/managed-by": "hostfence", "host-endpoint": "stale", "team": "blue"}
    }
    note = json.dumps(hidden)
    clean_api.admin.patch(path, {"metadata": {"annotations": {"projectcalico.org/metadata": note}}})
    assert run_module("host_endpoints", clean_api)["changed"]
    seen = effective_labels(clean_api.admin.get(path))
    assert seen["host-endpoint"] == "ingress"
    # A label of someone else stays.
    assert seen["team"] == "blue"
    assert not run_module("host_endpoints", clean_api)["changed"]


def test_interfaces_ports_and_no_profile(clean_api):
    (name,) = clean_api.add_nodes(1)
    result = run_module(
        "host_endpoints",
        clean_api,
        interface="by-ip",
        profiles=[],
        reach=False,  # see test_vital_gate.py
        ports=[{"name": "metrics", "port": 9100}],
    )
    assert any("projectcalico-default-allow" in w for w in result["warnings"])
    spec = heps(clean_api)[f"{name}-hostfence"]["spec"]
    assert "interfaceName" not in spec
    assert spec["expectedIPs"]
    assert spec["ports"] == [{"name": "metrics", "protocol": "TCP", "port": 9100}]
    run_module("host_endpoints", clean_api, interface="eth0")
    spec = heps(clean_api)[f"{name}-hostfence"]["spec"]
    assert spec["interfaceName"] == "eth0"
    assert "ports" not in spec


@pytest.mark.one_flavour
def test_tunnel_addresses_are_the_nodes_own_too(clean_api):
    (name,) = clean_api.add_nodes(1)
    clean_api.admin.patch(
        f"/api/v1/nodes/{name}",
        {"metadata": {"annotations": {"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.9.1"}}},
    )
    run_module("host_endpoints", clean_api)
    assert "10.244.9.1" in heps(clean_api)[f"{name}-hostfence"]["spec"]["expectedIPs"]


@pytest.mark.one_flavour
def test_foreign_host_endpoints_are_reported_and_left(clean_api):
    (name,) = clean_api.add_nodes(1)
    clean_api.create("HostEndpoint", name, {"node": name, "interfaceName": "*"})
    clean_api.create("HostEndpoint", "gone-hep", {"node": "gone", "interfaceName": "eth0"})
    result = run_module("host_endpoints", clean_api)
    foreign = {f["name"]: f for f in result["foreign"]}
    assert foreign[name]["active_instead_of_ours"]
    assert not foreign["gone-hep"]["node_exists"]
    assert not foreign["gone-hep"]["active_instead_of_ours"]
    assert any(f"uses the HostEndpoint {name} " in w for w in result["warnings"])
    assert {name, "gone-hep"} < set(heps(clean_api))
    removed = run_module("host_endpoints", clean_api, state="absent")
    assert [c["name"] for c in removed["changes"]] == [f"{name}-hostfence"]
    assert {name, "gone-hep"} == set(heps(clean_api))


def test_a_foreign_one_under_our_name_is_refused_before_anything_is_written(clean_api):
    first, second = clean_api.add_nodes(2)
    clean_api.create("HostEndpoint", f"{second}-hostfence", {"node": second, "interfaceName": "*"})
    result = run_module("host_endpoints", clean_api)
    assert result["failed"]
    assert f"HostEndpoint {second}-hostfence" in result["msg"]
    assert "kubectl label" in result["msg"]
    assert f"{first}-hostfence" not in heps(clean_api)


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"labels": {"host-endpoint": "has space"}}, "labels.host-endpoint"),
        ({"labels": {"a/b/c": "x"}}, "labels.a/b/c"),
        ({"labels": {"app.kubernetes.io/managed-by": "me"}}, "labels.app.kubernetes.io/managed-by"),
        ({"node_labels": ["-bad"]}, "node_labels[0]"),
        ({"interface": "a-name-far-too-long"}, "interface"),
        ({"interface": "eth0;rm"}, "interface"),
        ({"profiles": ["Upper"]}, "profiles[0]"),
        ({"profiles": ["a" * 129]}, "profiles[0]"),
        ({"profiles": ["kns.a", "kns.a"]}, "profiles[1]"),
        ({"ports": [{"name": "HTTP", "port": 80}]}, "ports[0].name"),
        ({"ports": [{"name": "p", "port": 70000}]}, "ports[0].port"),
        ({"ports": [{"name": "p", "port": 0}]}, "ports[0].port"),
        ({"ports": [{"name": "p", "port": 1}, {"name": "p", "port": 2}]}, "ports[1].name"),
        ({"node_selector": "a in (b"}, "node_selector"),
        ({"node_selector": "no=such"}, "node_selector"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(clean_api, options, field):
    clean_api.add_nodes(1)
    result = run_module("host_endpoints", clean_api, **options)
    assert result["failed"]
    assert result["msg"].startswith(f"{field}: ")
    assert "\n" not in result["msg"]
    assert "exception" not in result
    assert heps(clean_api) == {}


@pytest.mark.one_flavour
def test_a_user_without_the_right_is_told_which(clean_api):
    clean_api.add_nodes(1)
    nobody = clean_api.client_kubeconfig("nobody")
    result = run_module("host_endpoints", clean_api, kubeconfig=nobody)
    assert result["failed"]
    assert "403" in result["msg"]
    assert "nodes" in result["msg"]
    assert "give this user that permission" in result["msg"]


@pytest.mark.one_flavour
def test_killed_api_server_in_the_middle_and_a_second_run(clean_api):
    # So many that the last is not written before the server is gone, however slowly this test looks.
    total = 2000
    clean_api.add_nodes(total)
    outcome = {}
    worker = threading.Thread(target=lambda: outcome.update(run_module("host_endpoints", clean_api)))
    worker.start()
    while len(heps(clean_api)) < 50:
        time.sleep(0.02)
    clean_api.kill()
    worker.join()
    clean_api.restart()
    # A server that starts refuses reads with 429 until its cache is filled; the module waits for that.
    run_module("host_endpoints_info", clean_api)
    assert outcome["failed"]
    done = [c for c in outcome["changes"] if not c["error"]]
    assert 0 < len(done) < total
    # Never more is claimed than was stored; a write whose answer was lost may be there unclaimed.
    assert {c["name"] for c in done} <= set(heps(clean_api))
    again = run_module("host_endpoints", clean_api)
    assert again["summary"] == f"{total} of {total} nodes have their HostEndpoint"
    assert len(heps(clean_api)) == total
    assert not run_module("host_endpoints", clean_api)["changed"]


@pytest.mark.one_flavour
def test_a_server_that_says_429_is_asked_again(clean_api):
    """Priority and fairness gives this user one request at a time and refuses the others."""
    flowcontrol = "/apis/flowcontrol.apiserver.k8s.io/v1"
    rbac = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    user = [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "busy"}]
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    limited = {"nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0}
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "busy"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True}],
    }
    clean_api.admin.post(rbac, {"metadata": {"name": "busy"}, "subjects": user, "roleRef": admin})
    clean_api.admin.post(
        f"{flowcontrol}/prioritylevelconfigurations",
        {
            "metadata": {"name": "busy"},
            "spec": {"type": "Limited", "limited": {**limited, "limitResponse": {"type": "Reject"}}},
        },
    )
    clean_api.admin.post(
        f"{flowcontrol}/flowschemas",
        {
            "metadata": {"name": "busy"},
            "spec": {
                "priorityLevelConfiguration": {"name": "busy"},
                "matchingPrecedence": 2,
                "rules": [rule],
            },
        },
    )
    try:
        clean_api.add_nodes(60)
        time.sleep(2)  # the server learns of new flow schemas through a watch
        result = run_module("host_endpoints", clean_api, kubeconfig=clean_api.client_kubeconfig("busy"))
        refused = 'apiserver_flowcontrol_rejected_requests_total{flow_schema="busy"'
        metrics = clean_api.admin._request("GET", "/metrics", None, {}, "").data.decode()
    finally:
        clean_api.admin.delete(f"{flowcontrol}/flowschemas/busy")
        clean_api.admin.delete(f"{flowcontrol}/prioritylevelconfigurations/busy")
        clean_api.admin.delete(f"{rbac}/busy")
    assert not result["failed"], result["msg"]
    assert result["summary"] == "60 of 60 nodes have their HostEndpoint"
    assert refused in metrics, "the server refused nothing, so this proved nothing"


@pytest.mark.one_flavour
def test_info_tells_who_covers_which_node(clean_api):
    first, second = clean_api.add_nodes(2)
    clean_api.create("HostEndpoint", first, {"node": first, "interfaceName": "*"})
    info = run_module("host_endpoints_info", clean_api)
    assert info["uncovered"] == [second]
    assert info["summary"] == "1 of 2 nodes have a HostEndpoint"
    run_module("host_endpoints", clean_api)
    info = run_module("host_endpoints_info", clean_api)
    covering = {n["name"]: (n["host_endpoint"], n["made_by"]) for n in info["nodes"]}
    assert covering == {first: (first, "someone else"), second: (f"{second}-hostfence", "hostfence")}
    assert not info["auto"]["enabled"]
    assert {r["kind"] for r in info["resources"]} == {"HostEndpoint"}
