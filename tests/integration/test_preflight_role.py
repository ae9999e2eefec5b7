# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role preflight: one table, one line if it stops, nothing written."""

from __future__ import annotations

import pytest
from role_run import run_roles

from testbed import binaries, node_objects
from testbed.control_plane import ControlPlane


def ready(admin, names):
    for name in names:
        condition = {"type": "Ready", "status": "True"}
        admin.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition]}})


@pytest.mark.few_flavours
def test_a_fit_cluster_passes_with_its_table(clean_api):
    names = clean_api.add_nodes(2)
    ready(clean_api.admin, names)
    done = run_roles(clean_api.kubeconfig, ["preflight"], "--check", groups={"nodes": names})
    assert (done.code, done.changed) == (0, 0), done.output
    assert f"Calico {clean_api.calico_version}" in done.text
    assert "ok permissions all that will be needed" in done.text
    assert "ok inventory holds every node" in done.text
    assert "ok nodes 2 Ready" in done.text


@pytest.mark.one_flavour
def test_whatever_a_user_lacks_is_named_in_the_table(clean_api, tmp_path):
    """From granting permissions to the first read of all; a user whom role access made need not grant any."""
    clean_api.add_nodes(1)
    stranger = clean_api.client_kubeconfig("stranger")
    done = run_roles(stranger, ["preflight"])
    assert done.code != 0
    for permission in ("list nodes", "create namespaces", "patch clusterroles.rbac.authorization.k8s.io"):
        assert permission in done.text
    assert "Nothing was written. permissions: this user may not" in done.text
    assert "Traceback" not in done.output

    granted = run_roles(stranger, ["preflight"], preflight_granted_to="stranger")
    assert "list nodes" in granted.text
    assert "create namespaces" not in granted.text


# The judging is tested on facts; what is tested here is how the role ends.
@pytest.mark.one_flavour
def test_it_stops_in_one_line_after_the_whole_table(clean_api):
    names = clean_api.add_nodes(2)
    clean_api.admin.patch(
        clean_api.path("ClusterInformation", "default"), {"spec": {"datastoreReady": False}}
    )
    done = run_roles(clean_api.kubeconfig, ["preflight"], groups={"nodes": names[:1]})
    assert done.code != 0
    assert f"1 nodes are not in the group of nodes: {names[1]}" in done.text
    assert "Nothing was written. datastore: Calico says that it is not ready" in done.text
    assert "Traceback" not in done.output

    ignored = run_roles(
        clean_api.kubeconfig, ["preflight"], groups={"nodes": names}, preflight_ignore=["datastore"]
    )
    assert ignored.code == 0, ignored.output


@pytest.mark.one_flavour
def test_an_unknown_mode_is_refused(clean_api):
    done = run_roles(clean_api.kubeconfig, ["preflight"], preflight_mode="cronjob")
    assert done.code != 0
    assert "preflight_mode" in done.text
    assert "direct, auto" in done.text


def test_a_cluster_without_calico_is_let_through_and_told(tmp_path):
    control_plane = ControlPlane(tmp_path, binaries.locate(binaries.CONTROL_PLANE, print), tied=True)
    try:
        control_plane.start()
        nodes = node_objects.simulated(1, 1)
        node_objects.create(control_plane.api(), nodes)
        done = run_roles(str(control_plane.kubeconfig), ["preflight"])
        assert (done.code, done.changed) == (0, 0), done.output
        assert "the API knows none of Calico's kinds" in done.text
        assert "there is no DaemonSet of calico-node: nothing is enforced" in done.text
    finally:
        control_plane.stop()
