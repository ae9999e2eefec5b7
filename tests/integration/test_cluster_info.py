# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module cluster_info against a real API server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from module_run import run_module

TASKS = ["crds", "felix", "host_endpoints_direct", "policies"]


def found(result, level):
    return {f["id"]: f"{f['message']} - {f['remedy']}" for f in result["findings"] if f["severity"] == level}


def make_ready(api, names):
    for name in names:
        condition = {"type": "Ready", "status": "True"}
        api.admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition]}})


def test_what_an_installation_of_calico_looks_like(clean_api):
    names = clean_api.add_nodes(3)
    make_ready(clean_api, names)
    result = run_module("cluster_info", clean_api, hosts=names, permissions_for=TASKS)
    assert not result["failed"], result
    assert result["changed"] is False
    assert result["calico_version"] == clean_api.calico_version
    assert result["datastore_ready"] is True
    assert result["tokens_name_nodes"] is True
    assert result["api_version"] == clean_api.kinds["HostEndpoint"].group_version
    assert [n["name"] for n in result["nodes"]] == names
    assert all(n["ready"] for n in result["nodes"])
    assert result["kube_controllers"]["name"] == "calico-kube-controllers"
    assert result["felix"] == {"namespace": "calico-system", "name": "calico-node", "desired": 0, "ready": 0}
    assert result["user"] == "hostfence-testbed-admin"
    assert result["missing_permissions"] == []
    assert found(result, "error") == {}
    assert "node" in result["schema"]["HostEndpoint"]
    assert "autoCreate" in result["schema"]["KubeControllersConfiguration"]


@pytest.mark.one_flavour
def test_few_requests_whatever_the_size(clean_api):
    clean_api.add_nodes(3)
    few = run_module("cluster_info", clean_api)["requests"]
    clean_api.add_nodes(200, first=4)
    many = run_module("cluster_info", clean_api)
    assert many["requests"] == few <= 16
    assert len(many["nodes"]) == 203


@pytest.mark.one_flavour
def test_missing_permissions_are_named_together(clean_api):
    clean_api.add_nodes(1)
    grant(clean_api, "reader", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])
    reader = SimpleNamespace(kubeconfig=clean_api.client_kubeconfig("reader"))
    result = run_module("cluster_info", reader, permissions_for=TASKS)
    assert not result["failed"], result
    assert result["user"] == "reader"
    group = clean_api.kinds["HostEndpoint"].group_version.partition("/")[0]
    assert f"create hostendpoints.{group}" in result["missing_permissions"]
    assert "list nodes" not in result["missing_permissions"]
    assert f"create hostendpoints.{group}" in found(result, "error")["permissions"]


@pytest.mark.one_flavour
def test_a_stranger_is_told_what_is_refused(clean_api):
    stranger = SimpleNamespace(kubeconfig=clean_api.client_kubeconfig("stranger"))
    result = run_module("cluster_info", stranger)
    assert result["failed"]
    assert "/api/v1/nodes: 403" in result["msg"]


@pytest.mark.one_flavour
def test_foreign_host_endpoints_and_collisions(clean_api):
    names = clean_api.add_nodes(2)
    for name in (f"{names[0]}-auto-hep", f"{names[0]}-by-hand", f"{names[1]}-hostfence"):
        node = names[0] if name.startswith(names[0]) else names[1]
        clean_api.create("HostEndpoint", name, {"node": node, "interfaceName": "*"})
    result = run_module("cluster_info", clean_api)
    assert result["wildcard_collisions"] == {names[0]: [f"{names[0]}-auto-hep", f"{names[0]}-by-hand"]}
    assert {h["made_by"] for h in result["host_endpoints"]} == {"someone else"}
    assert f"{names[1]}-hostfence" in found(result, "error")["HostEndpoints"]
    assert f"{names[0]}-auto-hep before {names[0]}-by-hand" in found(result, "warning")["wildcards"]


@pytest.mark.one_flavour
def test_an_environment_override_stops_the_mode_it_contradicts(clean_api):
    clean_api.add_nodes(1)
    path = "/apis/apps/v1/namespaces/calico-system/deployments/calico-kube-controllers"
    set_environment(clean_api, path, [{"name": "AUTO_HOST_ENDPOINTS", "value": "disabled"}])
    try:
        auto = run_module("cluster_info", clean_api, mode="auto")
        direct = run_module("cluster_info", clean_api, mode="direct")
    finally:
        set_environment(clean_api, path, None)
    assert auto["auto_host_endpoints"]["environment"] == "disabled"
    assert "AUTO_HOST_ENDPOINTS-" in found(auto, "error")["auto HostEndpoints"]
    assert "auto HostEndpoints" not in found(direct, "error")


@pytest.mark.one_flavour
def test_a_locked_datastore_stops(clean_api):
    clean_api.add_nodes(1)
    clean_api.admin.patch(
        clean_api.path("ClusterInformation", "default"), {"spec": {"datastoreReady": False}}
    )
    assert "datastore" in found(run_module("cluster_info", clean_api), "error")


def test_no_server(tmp_path):
    nowhere = SimpleNamespace(kubeconfig=str(tmp_path / "none"))
    result = run_module("cluster_info", nowhere)
    assert result["failed"]
    assert "\n" not in result["msg"]
    assert "kubeconfig" in result["msg"]


def set_environment(api, path, environment):
    container = api.admin.get(path)["spec"]["template"]["spec"]["containers"][0]
    container.pop("env", None)
    containers = [{**container, **({"env": environment} if environment else {})}]
    api.admin.patch(path, {"spec": {"template": {"spec": {"containers": containers}}}})


def grant(api, user, rules):
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    # Labelled as ours, so that the fixture's reset takes it away.
    metadata = {"name": user, "labels": {"app.kubernetes.io/managed-by": "hostfence"}}
    api.admin.post(f"{rbac}/clusterroles", {"metadata": metadata, "rules": rules})
    binding = {
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    api.admin.post(f"{rbac}/clusterrolebindings", binding)
