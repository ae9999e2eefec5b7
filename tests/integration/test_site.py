# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""site.yml and teardown.yml as an installer runs them, on every flavour of Calico's API.

The tests of a flavour share one cluster and run in the order of this file: the first ones protect it, the
following leave it converged, the last takes everything away.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from role_run import run_playbook

from testbed import node_objects

TAGS = ["preflight", "crds", "access", "felix", "host_endpoints", "policies", "failsafes", "report"]
NODES = 4
# Changed by the API server itself (after a restart for a minute), or not stored at all.
RESTLESS = {
    "apiservices",
    "componentstatuses",
    "endpoints",
    "endpointslices",
    "events",
    "flowschemas",
    "ipaddresses",
    "leases",
    "prioritylevelconfigurations",
    "servicecidrs",
}
FAST = {"policies_settle": 0, "teardown_settle": 0}


def stored(api):
    """Resource version of every object in the API, of whatever kind."""
    groups = [f"/apis/{g['preferredVersion']['groupVersion']}" for g in api.admin.get("/apis")["groups"]]
    found = {}
    with ThreadPoolExecutor(8) as pool:
        for objects in pool.map(lambda root: _stored(api, root), ["/api/v1", *groups]):
            found.update(objects)
    return found


def _stored(api, root):
    kinds = [
        r["name"]
        for r in api.admin.get(root)["resources"]
        if "list" in r["verbs"] and "/" not in r["name"] and r["name"] not in RESTLESS
    ]
    return {
        (plural, o["metadata"].get("namespace", ""), o["metadata"]["name"]): o["metadata"]["resourceVersion"]
        for plural in kinds
        for o in api.admin.list(f"{root}/{plural}")
    }


def of_plural(objects, plural):
    return {name for kind, _namespace, name in objects if kind == plural}


class Site:
    """One flavour's cluster and what happened to it so far."""

    def __init__(self, api):
        self.api = api
        self.namespace = f"hostfence-site-{api.flavour.replace('.', '-')}"
        api.reset()
        api.add_nodes(NODES)
        api.create("HostEndpoint", "by-hand", {"node": "sim-0001", "interfaceName": "eth9"})
        api.create("GlobalNetworkSet", "by-hand", {"nets": ["198.51.100.0/24"]})
        api.create(
            "GlobalNetworkPolicy",
            "by-hand",
            {"order": 1, "selector": "has(pods)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]},
        )
        self.fresh = stored(api)
        self.looked = self.run("--check", "--diff")
        self.after_look = stored(api)
        self.first = self.run()
        self.converged = stored(api)

    def run(self, *flags, playbook="site.yml", **variables):
        given = {**FAST, "access_namespace": self.namespace, **variables}
        return run_playbook(self.api.kubeconfig, playbook, *flags, **given)


@pytest.fixture(scope="module")
def site(api):
    return Site(api)


@pytest.mark.few_flavours
def test_a_look_at_a_fresh_cluster_writes_nothing_and_does_not_fail(site):
    assert site.looked.code == 0, site.looked.output
    assert site.looked.changed > 0
    assert site.after_look == site.fresh
    assert "+++ after: HostEndpoint sim-0001-hostfence" in site.looked.output


@pytest.mark.few_flavours
def test_the_first_run_protects_every_node(site):
    assert site.first.code == 0, site.first.output
    made = site.converged.keys() - site.fresh.keys()
    assert of_plural(made, "hostendpoints") == {f"sim-{n:04d}-hostfence" for n in range(1, NODES + 1)}
    staged = {
        name.removeprefix("default.").removeprefix("hostfence.")
        for name in of_plural(made, "stagedglobalnetworkpolicies")
    }
    shipped = {f"ingress-lockdown-{part}" for part in ("outbound", "inbound", "drop")}
    assert staged == (shipped if "StagedGlobalNetworkPolicy" in site.api.kinds else set())
    assert of_plural(made, "clusterroles") == of_plural(made, "clusterrolebindings") == {"hostfence"}
    assert not of_plural(made, "globalnetworkpolicies")
    assert f"{NODES} of {NODES} nodes have a HostEndpoint" in site.first.text


@pytest.mark.few_flavours
def test_what_was_there_is_as_it_was(site):
    assert {key: site.converged.get(key) for key in site.fresh} == site.fresh


@pytest.mark.few_flavours
def test_a_second_run_changes_and_writes_nothing(site):
    again = site.run()
    assert (again.code, again.changed) == (0, 0), again.output
    assert stored(site.api) == site.converged
    # What has nothing to do costs no task.
    assert int(re.findall(r"\bok=(\d+)", again.text)[0]) <= 25, again.output


@pytest.mark.one_flavour
def test_a_look_at_a_converged_cluster_finds_nothing_to_do(site):
    looked = site.run("--check", "--diff")
    assert (looked.code, looked.changed) == (0, 0), looked.output
    assert stored(site.api) == site.converged


@pytest.fixture(scope="module")
def alone(site):
    """Every step by its tag; on a converged cluster none disturbs another."""
    with ThreadPoolExecutor(2) as pool:
        yield {tag: pool.submit(site.run, "--tags", tag) for tag in TAGS}


@pytest.mark.one_flavour
@pytest.mark.parametrize("tag", TAGS)
def test_every_step_alone(site, alone, tag):
    run = alone[tag].result()
    assert (run.code, run.changed) == (0, 0), run.output
    assert stored(site.api) == site.converged
    if tag in ("report", "failsafes"):
        # They read: nothing else is planned or looked at for them.
        assert roles_at_work(run.output) <= {tag}, run.output
    if tag == "report":
        assert f"{NODES} of {NODES} nodes have a HostEndpoint" in run.text


def roles_at_work(output):
    """The roles of which a task was not skipped; Ansible itself checks the variables of every role."""
    tasks = re.split(r"^(?=TASK |PLAY )", output, flags=re.MULTILINE)
    at_work = (task for task in tasks if re.search(r"^(ok|changed|fatal):", task, re.MULTILINE))
    named = (re.match(r"TASK \[hostfence\.calico\.(\w+) : (?!Validating )", task) for task in at_work)
    return {name[1] for name in named if name}


@pytest.mark.one_flavour
def test_nothing_is_enforced_on_nodes_that_cannot_be_logged_in_to(site):
    refused = site.run(
        policies_state="enforced",
        policies_node_cidrs=["100.64.0.0/10"],
        policies_cluster_cidrs=["10.244.0.0/16", "fd98::/48"],
        policies_ssh_sources=["192.0.2.0/24"],
    )
    assert refused.code != 0, refused.output
    assert "What is enforced on these nodes would change or is to be proved" in refused.text
    assert "Nothing was written." in refused.text
    assert "sim-0001, sim-0002" in refused.text
    assert stored(site.api) == site.converged


@pytest.mark.one_flavour
def test_a_joining_node_gets_its_host_endpoint_and_nothing_else_changes(site):
    site.api.add_nodes(1, NODES + 1)
    joined = stored(site.api)
    done = site.run()
    assert done.code == 0, done.output
    after = stored(site.api)
    assert {name for _kind, _namespace, name in after.keys() - joined.keys()} == {
        f"sim-{NODES + 1:04d}-hostfence"
    }
    assert {key: after.get(key) for key in joined} == joined


@pytest.mark.few_flavours
def test_teardown_takes_what_is_ours_and_leaves_the_rest(site):
    node_objects.delete(site.api.admin, f"sim-{NODES + 1:04d}")
    done = site.run(playbook="playbooks/teardown.yml")
    assert done.code == 0, done.output
    left = stored(site.api)
    # Nothing on this cluster ends a namespace that was deleted: that is kube-controller-manager's work.
    # Calico's own API server shows a profile for each.
    deleted = {site.namespace, f"kns.{site.namespace}"}
    ending = {key for key in left.keys() - site.fresh.keys() if deleted & {*key}}
    assert site.api.admin.get(f"/api/v1/namespaces/{site.namespace}")["status"]["phase"] == "Terminating"
    assert left.keys() - ending == site.fresh.keys()
    assert {key: left[key] for key in site.fresh} == site.fresh
