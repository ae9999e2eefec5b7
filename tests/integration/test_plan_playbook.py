# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""plan.yml as an installer runs it."""

from __future__ import annotations

import json

import pytest
from role_run import run_playbook
from test_site import FAST, stored

pytestmark = pytest.mark.one_flavour

NODES = 3


@pytest.fixture
def cluster(clean_api):
    clean_api.add_nodes(NODES)
    return clean_api


def test_the_plan_is_what_site_then_writes(cluster, tmp_path):
    before, file = stored(cluster), tmp_path / "plan.json"
    given = {**FAST, "access_namespace": "hostfence-planned", "hostfence_plan_file": str(file)}
    planned = run_playbook(cluster.kubeconfig, "playbooks/plan.yml", "--diff", **given)
    assert (planned.code, planned.changed) == (0, 0), planned.output
    assert stored(cluster) == before
    for said in (
        "create HostEndpoint sim-0001-hostfence, sim-0002-hostfence, sim-0003-hostfence",
        "nothing that is enforced changes",
        "+++ after: HostEndpoint sim-0001-hostfence",
    ):
        assert said in planned.output

    document = json.loads(file.read_text())
    done = run_playbook(cluster.kubeconfig, "site.yml", **given)
    assert done.code == 0, done.output
    made = {(kind, name) for kind, _namespace, name in stored(cluster).keys() - before.keys()}
    expected = {w["name"] for step in document["steps"] for w in step["writes"] if w["action"] == "create"}
    assert {name for _kind, name in made} == expected
    again = run_playbook(
        cluster.kubeconfig, "playbooks/plan.yml", **FAST, access_namespace="hostfence-planned"
    )
    assert again.output.count("nothing to do") == 5, again.output


def test_site_refuses_a_plan_that_no_longer_holds(cluster, tmp_path):
    file = str(tmp_path / "plan.json")
    given = {**FAST, "hostfence_plan_file": file}
    assert run_playbook(cluster.kubeconfig, "playbooks/plan.yml", **given).code == 0
    cluster.add_nodes(1, NODES + 1)
    before = stored(cluster)
    done = run_playbook(cluster.kubeconfig, "site.yml", **given)
    assert done.code != 0
    assert f"the cluster has moved: new: Node sim-000{NODES + 1}" in done.text
    assert stored(cluster) == before


def test_what_would_be_refused_is_said(cluster):
    done = run_playbook(
        cluster.kubeconfig,
        "playbooks/plan.yml",
        **FAST,
        policies_state="enforced",
        policies_node_cidrs=["100.64.0.0/10"],
        policies_cluster_cidrs=["10.244.0.0/16", "fd98::/48"],
        policies_ssh_sources=["192.0.2.0/24"],
    )
    assert done.code == 0, done.output
    assert "Fix first, or nothing is written" in done.text
    assert "cannot log in to them" in done.text


def test_verify_fails_where_the_cluster_is_not_as_it_is_wanted(cluster):
    given = {**FAST, "access_namespace": "hostfence-verified"}

    def verify():
        return run_playbook(cluster.kubeconfig, "playbooks/verify.yml", **given)

    nothing = verify()
    assert nothing.code != 0
    assert "create HostEndpoint sim-0001-hostfence" in nothing.text
    assert run_playbook(cluster.kubeconfig, "site.yml", **given).code == 0
    before = stored(cluster)
    done = verify()
    assert (done.code, done.changed) == (0, 0), done.output
    assert stored(cluster) == before

    cluster.admin.delete(cluster.path("HostEndpoint", "sim-0002-hostfence"))
    cluster.admin.patch(
        cluster.path("HostEndpoint", "sim-0003-hostfence"), {"metadata": {"labels": {"host-endpoint": None}}}
    )
    drifted = verify()
    assert drifted.code != 0
    assert (
        "The cluster is not as it is wanted: host_endpoints: update HostEndpoint sim-0003-hostfence; "
        "create HostEndpoint sim-0002-hostfence. Run hostfence.calico.site."
        in drifted.text
        or "The cluster is not as it is wanted: host_endpoints: create HostEndpoint sim-0002-hostfence; "
        "update HostEndpoint sim-0003-hostfence. Run hostfence.calico.site."
        in drifted.text
    ), drifted.output
    # What is there was shown all the same.
    assert "2 of 3 nodes have a HostEndpoint" in drifted.text
