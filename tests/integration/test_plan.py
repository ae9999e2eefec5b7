# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module plan: one look at a real API server, nothing written."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.host_view import HostView
from builders import GNP, policy
from module_run import run_module
from role_run import ROOT
from test_access import in_process
from test_site import of_plural, stored

RECORDING = ROOT / "tests" / "unit" / "recordings" / "clusters" / "three-nodes.json"
NODES = 3
OPEN = [{"protocol": "tcp", "port": 6443}]
LOGINS = [
    {"node": f"sim-000{n}", "ssh_connection": f"192.0.2.1 40000 100.64.0.{n} 22"} for n in range(1, NODES + 1)
]
EVERYTHING = {
    "crds": {},
    "access": {"namespace": "hostfence-plan"},
    "felix": {"failsafe_inbound_host_ports": [{"protocol": "tcp", "port": 22}]},
    "host_endpoints": {},
    "policies": {"sets": [{"name": "edge", "definitions": [policy("edge")]}]},
}


def plan(api, **options):
    return run_module("plan", api, **options)


def steps(result):
    return {step["subject"] or step["name"]: step for step in result["plan"]["steps"]}


def titles(step):
    return [f"{w['action']} {w['kind']} {w['name']}" for w in step["writes"]]


@pytest.fixture
def cluster(clean_api):
    clean_api.add_nodes(NODES)
    return clean_api


def test_a_fresh_cluster(cluster):
    before = stored(cluster)
    found = plan(cluster, preflight={"permissions_for": ["policies"]}, **EVERYTHING)
    assert not found["failed"], found.get("msg")
    assert stored(cluster) == before
    assert found["plan"]["schema"] == "hostfence.plan/1"
    assert found["refusals"] == []
    by_name = steps(found)
    assert titles(by_name["crds"]) == []
    assert titles(by_name["access"]) == [
        "create Namespace hostfence-plan",
        "create ServiceAccount hostfence",
        "create ClusterRole hostfence",
        "create ClusterRoleBinding hostfence",
    ]
    assert titles(by_name["felix"]) == ["update FelixConfiguration default"]
    assert titles(by_name["host_endpoints"]) == [
        f"create HostEndpoint sim-000{n}-hostfence" for n in range(1, NODES + 1)
    ]
    assert by_name["host_endpoints"]["after"]["nodes"] == [f"sim-000{n}" for n in range(1, NODES + 1)]
    staged = "StagedGlobalNetworkPolicy" in cluster.kinds
    assert len(by_name["edge"]["after"]["staged"]) == staged
    assert not found["changes_enforcement"]
    assert any("nothing that is enforced changes" in line for line in found["screen"])
    assert len(found["screen"]) <= 40


def test_the_writes_are_those_that_the_modules_do(cluster):
    found = steps(plan(cluster, **EVERYTHING))
    assert not run_module("host_endpoints", cluster)["failed"]
    for write in found["host_endpoints"]["writes"]:
        live = cluster.admin.get(cluster.path("HostEndpoint", write["name"]))
        assert live["spec"] == write["after"]["spec"]
    done = run_module("policies", cluster, name="edge", definitions=[policy("edge")], settle=0)
    assert [(w["action"], w["kind"], w["name"]) for w in done["writes"]] == [
        (w["action"], w["kind"], w["name"]) for w in found["edge"]["writes"]
    ]
    again = steps(plan(cluster, host_endpoints={}, policies=EVERYTHING["policies"]))
    assert titles(again["host_endpoints"]) == titles(again["edge"]) == []


@pytest.mark.one_flavour
def test_every_kind_is_listed_once(cluster, monkeypatch):
    assert not run_module("host_endpoints", cluster)["failed"]
    listed, asked = Counter(), Counter()
    send = Cluster._send

    def noted(self, method, path, body, params, content_type):
        # The objects `default` and those of access are asked for by name; pages are one list.
        if method == "GET" and params and "limit" in params and "continue" not in params:
            listed[path.rpartition("/")[2]] += 1
        if method == "GET":
            asked[path, str(params)] += 1
        return send(self, method, path, body, params, content_type)

    monkeypatch.setattr(Cluster, "_send", noted)
    options = {"preflight": {"permissions_for": ["policies"]}, **EVERYTHING}
    found = in_process("plan", cluster.kubeconfig, options)
    assert not found.get("failed"), found.get("msg")
    assert {kind: count for kind, count in listed.items() if count > 1} == {}
    assert {path: count for path, count in asked.items() if count > 1} == {}
    assert sum("kube-proxy" in path for path, _params in asked) == 1
    assert {"nodes", "hostendpoints", "globalnetworkpolicies", "felixconfigurations"} <= listed.keys()


@pytest.mark.one_flavour
def test_the_sets_to_write_come_with_all_options_in_the_order_of_their_writes(cluster):
    sets = [{"name": name, "definitions": [policy(name)]} for name in ("a", "b")]
    found = plan(cluster, policies={"sets": sets})
    assert not found["failed"], found.get("msg")
    written = [step["subject"] for step in found["plan"]["steps"] if step["writes"]]
    assert [(one["name"], one["state"]) for one in found["sets_to_write"]] == [
        (name, "staged") for name in written
    ]
    assert found["policy_sets"] == ["b", "a"]
    for one in found["sets_to_write"]:
        done = run_module("policies", cluster, **one, settle=0)
        assert not done["failed"], done.get("msg")
    assert plan(cluster, policies={"sets": sets})["sets_to_write"] == []


@pytest.mark.one_flavour
def test_what_would_cut_this_machine_off_is_refused(cluster):
    assert not run_module("host_endpoints", cluster)["failed"]
    assert not run_module("felix_configuration", cluster, failsafe_inbound_host_ports=OPEN)["failed"]
    sets = [{"name": "shut", "state": "enforced", "definitions": [policy("ssh", "Deny")]}]
    found = plan(cluster, policies={"sets": sets, "lint": False}, logins=LOGINS)
    assert not found["failed"], found.get("msg")
    [refusal] = found["refusals"]
    assert "set shut is not written: SSH from 192.0.2.1 to sim-0001 and 2 more nodes" in refusal
    assert found["changes_enforcement"]
    assert found["deciding_steps"] == ["policies"]
    shut = steps(found)["shut"]
    assert [risk["node"] for risk in shut["at_risk"]] == ["sim-0001", "sim-0002", "sim-0003"]


@pytest.mark.one_flavour
def test_what_is_planned_before_decides_too(clean_api):
    """No HostEndpoint is there yet; that of the same plan puts the nodes under the policy."""
    clean_api.add_nodes(NODES)
    sets = [{"name": "shut", "state": "enforced", "definitions": [policy("ssh", "Deny")]}]
    felix = {"failsafe_inbound_host_ports": OPEN}
    alone = plan(clean_api, policies={"sets": sets, "lint": False}, logins=LOGINS)
    assert alone["refusals"] == []
    together = plan(
        clean_api, felix=felix, host_endpoints={}, policies={"sets": sets, "lint": False}, logins=LOGINS
    )
    assert "set shut is not written" in together["refusals"][0]


@pytest.mark.one_flavour
def test_nodes_that_cannot_be_logged_in_to_refuse_enforcing(cluster):
    sets = [{"name": "edge", "state": "enforced", "definitions": [policy("edge")], "default_action": "Pass"}]
    logins = [{**LOGINS[0]}, {"node": "sim-0002", "reached": False, "host": "100.64.0.2"}]
    found = plan(cluster, host_endpoints={}, policies={"sets": sets}, logins=logins)
    [refusal] = found["refusals"]
    assert "cannot log in to them" in refusal
    assert "sim-0002, sim-0003" in refusal
    assert (
        plan(cluster, host_endpoints={}, policies={"sets": sets}, logins=logins, prove=False)["refusals"]
        == []
    )


@pytest.mark.one_flavour
def test_a_saved_plan_is_only_good_for_what_it_saw(cluster, tmp_path):
    path = tmp_path / "plan.json"
    made = plan(cluster, save=str(path), **EVERYTHING)
    assert not made["failed"], made.get("msg")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == made["plan"]
    same = plan(cluster, plan_file=str(path), **EVERYTHING)
    assert not same["failed"], same.get("msg")
    assert same["plan"] == made["plan"]

    other = {**EVERYTHING, "felix": {"failsafe_inbound_host_ports": OPEN}}
    refused = plan(cluster, plan_file=str(path), **other)
    assert "asked for otherwise than in the plan: felix.failsafe_inbound_host_ports" in refused["msg"]
    cluster.create(GNP, "by-hand", {"selector": "all()", "types": ["Ingress"], "ingress": []})
    cluster.admin.patch("/api/v1/nodes/sim-0002", {"metadata": {"labels": {"zone": "b"}}})
    refused = plan(cluster, plan_file=str(path), **EVERYTHING)
    assert refused["failed"]
    assert "Nothing was written. the cluster has moved: changed: Node sim-0002" in refused["msg"]
    assert "new: GlobalNetworkPolicy by-hand" in refused["msg"]


@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "not a plan"), ('{"schema": "hostfence.plan/9"}', "hostfence.plan/1"), ("no", "cannot be read")],
)
def test_what_is_no_plan_is_one_line(cluster, tmp_path, text, said):
    (tmp_path / "p").write_text(text)
    found = plan(cluster, plan_file=str(tmp_path / "p"), **EVERYTHING)
    assert found["failed"]
    assert said in found["msg"]
    assert "\n" not in found["msg"]


@pytest.mark.one_flavour
def test_a_stranger_gets_the_findings_and_no_step(cluster):
    stranger = cluster.client_kubeconfig("plan-stranger")
    found = plan(
        cluster, kubeconfig=stranger, preflight={"permissions_for": ["policies", "felix"]}, **EVERYTHING
    )
    assert not found["failed"], found.get("msg")
    assert found["plan"]["steps"] == []
    assert "list nodes" in found["refusals"][0]


@pytest.mark.one_flavour
def test_agents_are_compared_with_what_they_consist_of(cluster):
    labels = {"app.kubernetes.io/managed-by": "hostfence", "hostfence.io/mode": "daemonset"}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "plan-agents", "labels": labels},
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
    }

    def planned(definition):
        found = plan(cluster, host_endpoints={"mode": "daemonset", "agents": [definition]})
        assert not found["failed"], found.get("msg")
        [step] = found["plan"]["steps"]
        return [title for title in titles(step) if "ClusterRole" in title]

    assert planned(role) == ["create ClusterRole plan-agents"]
    put = run_module("host_endpoint_agents", cluster, definitions=[role])
    assert not put["failed"], put.get("msg")
    try:
        assert planned(role) == []
        assert planned({**role, "rules": []}) == ["update ClusterRole plan-agents"]
    finally:
        cluster.admin.delete("/apis/rbac.authorization.k8s.io/v1/clusterroles/plan-agents")


@pytest.mark.one_flavour
def test_calicos_own_host_endpoints(cluster):
    found = plan(cluster, host_endpoints={"mode": "auto"})
    assert not found["failed"], found.get("msg")
    [step] = found["plan"]["steps"]
    assert titles(step)[0] == "update KubeControllersConfiguration default"
    assert step["after"]["nodes"] == [f"sim-000{n}" for n in range(1, NODES + 1)]
    assert of_plural(stored(cluster), "hostendpoints") == set()


@pytest.mark.one_flavour
def test_the_recording_is_what_the_api_server_answers(cluster):
    """HOSTFENCE_RECORD=1 writes it anew."""
    view = HostView(Cluster.of_options({"kubeconfig": cluster.kubeconfig}))
    kinds = ("Node", "FelixConfiguration", "ClusterInformation")
    found = {
        "flavour": view.flavour.kind.value,
        "group": view.flavour.group,
        "version": view.flavour.version,
        "kinds": sorted(cluster.kinds),
        "calico_version": view.calico_version,
        "objects": {kind: view.of(kind) for kind in kinds},
    }
    if os.environ.get("HOSTFENCE_RECORD"):
        RECORDING.write_text(json.dumps(found, indent=1) + "\n")
    recorded = json.loads(RECORDING.read_text())
    assert {**recorded, "objects": None} == {**found, "objects": None}
    assert shape(recorded["objects"]) == shape(found["objects"])


def shape(objects):
    """What the plan reads; each installation has a clusterGUID of its own."""

    def spec(obj):
        return {key: value for key, value in (obj.get("spec") or {}).items() if key != "clusterGUID"}

    return {
        kind: [(o["metadata"]["name"], spec(o), (o.get("status") or {}).get("addresses")) for o in listed]
        for kind, listed in objects.items()
    }
