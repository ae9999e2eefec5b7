# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a job leaves: HostEndpoints as direct mode would write them, and nothing else."""

from __future__ import annotations

import pytest

from testbed.api import Api
from testbed.state import run_directory

testinfra_hosts = ["ansible://nodes"]
HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
OURS = {"labelSelector": "app.kubernetes.io/managed-by=hostfence,hostfence.io/mode"}


@pytest.fixture(scope="module")
def api():
    return Api(run_directory() / "kubeconfig")


def test_each_node_has_its_own(host, api):
    name = host.check_output("hostname")
    hep = api.get(f"{HEPS}/{name}-hostfence")
    assert hep["spec"]["node"] == name
    assert hep["spec"]["interfaceName"] == "*"
    assert hep["spec"]["profiles"] == ["projectcalico-default-allow"]
    assert hep["metadata"]["labels"]["host-endpoint"] == "ingress"
    assert set(hep["spec"]["expectedIPs"]) <= set(
        host.check_output("ip -o addr | awk '{print $4}'").replace("/24", "").replace("/64", "").split()
    )


def test_the_orphan_went_and_somebody_elses_stayed(api):
    names = {hep["metadata"]["name"] for hep in api.list(HEPS)}
    assert names == {"node1-hostfence", "node2-hostfence", "node3-hostfence", "by-hand"}


@pytest.mark.parametrize(
    "collection",
    [
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/batch/v1/jobs",
        "/api/v1/pods",
        "/api/v1/serviceaccounts",
        "/api/v1/configmaps",
        "/api/v1/namespaces",
    ],
)
def test_nothing_of_the_job_is_left(api, collection):
    assert api.list(collection, **OURS) == []
