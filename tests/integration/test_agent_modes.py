# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role's modes daemonset and job, as far as they go without a kubelet; molecule has the rest."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from module_run import run_module
from role_run import run_roles

pytestmark = pytest.mark.one_flavour
OURS = {"labelSelector": "app.kubernetes.io/managed-by=hostfence"}
MODE = {"labelSelector": "app.kubernetes.io/managed-by=hostfence,hostfence.io/mode"}
COLLECTIONS = (
    "/api/v1/namespaces",
    "/api/v1/serviceaccounts",
    "/api/v1/configmaps",
    "/apis/apps/v1/daemonsets",
    "/apis/batch/v1/jobs",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
)


@pytest.fixture(autouse=True)
def _namespace_controller(clean_api):
    """Ends namespaces as kube-controller-manager would, which does not run here."""
    over = threading.Event()

    def work():
        while not over.wait(0.5):
            for namespace in clean_api.admin.list("/api/v1/namespaces", **OURS):
                if namespace["metadata"].get("deletionTimestamp"):
                    clean_api.end_namespace(namespace)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def ours(api):
    """What the modes have in the cluster, by kind."""
    return {
        c.rpartition("/")[2]: len(api.admin.list(c, **MODE)) for c in COLLECTIONS if api.admin.list(c, **MODE)
    }


def run(api, mode="daemonset", *flags, kubeconfig=None, **variables):
    return run_roles(
        kubeconfig or api.kubeconfig,
        ["host_endpoints"],
        *flags,
        host_endpoints_mode=mode,
        host_endpoints_wait_timeout=2,
        **variables,
    )


def test_ports_are_the_same_however_they_are_written(clean_api):
    (node,) = clean_api.add_nodes(1)
    given = [{"name": "ssh", "port": "22"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    first = run(clean_api, host_endpoints_ports=given)
    assert "no pod was made" in first.text, first.output
    (program,) = clean_api.admin.list("/api/v1/configmaps", **MODE)
    ports = json.loads(program["data"]["config.json"])["ports"]
    assert run(clean_api, "direct", host_endpoints_ports=given).code == 0
    hep = clean_api.admin.get(clean_api.path("HostEndpoint", f"{node}-hostfence"))
    assert hep["spec"]["ports"] == ports


def test_refused_where_tokens_do_not_name_the_node(clean_api):
    clean_api.add_nodes(1)
    # Stands in for a server before 1.30: which one it is, the role reads from the server's own version.
    done = run(clean_api, __host_endpoints_tokens_name_nodes=False)
    assert done.code != 0
    assert "'daemonset' needs Kubernetes 1.30 or newer" in done.text
    assert "Set host_endpoints_mode to 'auto' or 'direct'" in done.text
    assert ours(clean_api) == {}
    said = run(clean_api, __host_endpoints_tokens_name_nodes=False, host_endpoints_daemonset_unscoped=True)
    assert "no pod was made" in said.text
    assert set(ours(clean_api)) == {c.rpartition("/")[2] for c in COLLECTIONS[:7] if not c.endswith("jobs")}


def test_check_mode_tells_and_writes_nothing(clean_api):
    clean_api.add_nodes(1)
    for mode in ("daemonset", "job"):
        done = run(clean_api, mode, "--check")
        assert done.code == 0, done.output
        assert done.changed > 0
        assert ours(clean_api) == {}
        assert clean_api.admin.list(clean_api.path("HostEndpoint")) == []


def test_bad_settings_are_refused_before_anything_is_written(clean_api):
    clean_api.add_nodes(1)
    for mode in ("daemonset", "job"):
        done = run(clean_api, mode, host_endpoints_labels={"no label": "x"})
        assert "labels.no label" in done.text
        assert ours(clean_api) == {}


def test_other_modes_and_teardown_take_all_of_it(clean_api):
    clean_api.add_nodes(1)
    run(clean_api)
    agents = ours(clean_api)
    assert agents["daemonsets"] == 1
    refused = run(clean_api, "direct", host_endpoints_labels={"no label": "x"})
    assert "labels.no label" in refused.text
    assert ours(clean_api) == agents
    direct = run(clean_api, "direct")
    assert direct.code == 0, direct.output
    assert ours(clean_api) == {}
    assert run(clean_api, "direct").changed == 0
    run(clean_api)
    torn_down = run_roles(clean_api.kubeconfig, ["teardown"], teardown_settle=0)
    assert torn_down.code == 0, torn_down.output
    assert ours(clean_api) == {}


def test_the_account_of_role_access_can_do_it(clean_api, tmp_path):
    clean_api.add_nodes(1)
    tasks = ["host_endpoints_direct", "host_endpoints_daemonset", "host_endpoints_job"]
    granted = run_roles(clean_api.kubeconfig, ["access"], access_permissions_for=tasks)
    assert granted.code == 0, granted.output
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = "/api/v1/namespaces/hostfence/serviceaccounts/hostfence/token"
    config = yaml.safe_load(Path(clean_api.kubeconfig).read_text())
    token = clean_api.admin.post(path, request)["status"]["token"]
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    account = tmp_path / "kubeconfig"
    account.write_text(yaml.safe_dump(config))
    checked = run_module("cluster_info", SimpleNamespace(kubeconfig=str(account)), permissions_for=tasks)
    assert checked["missing_permissions"] == []

    # All but the pods, which nobody runs here.
    daemonset = run(clean_api, kubeconfig=str(account))
    assert "no pod was made" in daemonset.text, daemonset.output
    job = run(clean_api, "job", kubeconfig=str(account))
    assert "Job hostfence-agents/hep-job" in job.text
    assert "no pod was made" in job.text
    assert set(ours(clean_api)) <= {"namespaces"}
