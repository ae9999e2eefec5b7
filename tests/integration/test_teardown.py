# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role teardown: everything of ours goes, everything else stays."""

from __future__ import annotations

import pytest
from builders import LEASE, network_set
from module_run import run_module
from role_run import run_roles

OUTBOUND = {"order": 10, "selector": "all()", "types": ["Egress"], "egress": [{"action": "Allow"}]}
LOCKDOWN = {"order": 20, "selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}
FAILSAFES = [{"protocol": "tcp", "port": 22}, {"protocol": "tcp", "port": 6443}]
OWNED = "app.kubernetes.io/managed-by=hostfence"
TEMPLATES = [{"generateName": "storage", "interfaceCIDRs": ["10.20.0.0/16"]}]
KINDS = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "GlobalNetworkSet", "Tier", "HostEndpoint")


def policy(name, spec):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def everything(api):
    """What a teardown must bring back: names and versions of all that it might touch."""
    found = {
        (kind, o["metadata"]["name"]): o["metadata"]["resourceVersion"]
        for kind in KINDS
        if kind in api.kinds
        for o in api.admin.list(api.path(kind))
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    for plural in ("clusterroles", "clusterrolebindings"):
        for obj in api.admin.list(f"{rbac}/{plural}"):
            found[(plural, obj["metadata"]["name"])] = obj["metadata"]["resourceVersion"]
    for obj in api.admin.list("/api/v1/serviceaccounts"):
        found[("serviceaccounts", obj["metadata"]["name"])] = obj["metadata"]["resourceVersion"]
    return found


def foreign(api):
    api.create("HostEndpoint", "by-hand", {"node": "sim-0001", "interfaceName": "eth9"})
    api.create("GlobalNetworkPolicy", "by-hand", {"order": 1, "selector": "has(pods)", "types": ["Ingress"]})
    api.create("GlobalNetworkSet", "by-hand", {"nets": ["198.51.100.0/24"]})


def protect(api):
    assert not run_module("host_endpoints", api)["failed"]
    for name, state, spec in (
        ("one", "enforced", OUTBOUND),
        ("two", "enforced", LOCKDOWN),
        ("three", "staged", LOCKDOWN),
    ):
        definitions = [policy(f"{name}-policy", spec), network_set(f"{name}-nets", "192.0.2.0/24")]
        done = run_module(
            "policies",
            api,
            name=name,
            state=state,
            definitions=definitions,
            settle=0,
            lint=False,
            # What is taken away here is asked about, not who it shuts out.
            reach=False,
            without_switch=True,
        )
        assert not done["failed"], done


def configure(api):
    """What teardown leaves as it is."""
    felix = {"spec": {"failsafeInboundHostPorts": FAILSAFES}}
    api.admin.patch(api.path("FelixConfiguration", "default"), felix)
    auto = {"autoCreate": "Enabled", "templates": TEMPLATES}
    controllers = {
        "metadata": {"annotations": {"hostfence.io/auto-host-endpoints": "enabled"}},
        "spec": {"controllers": {"node": {"hostEndpoint": auto}}},
    }
    api.admin.patch(api.path("KubeControllersConfiguration", "default"), controllers)


def says_what_stays(api, done):
    """What is said is so."""
    felix = api.admin.get(api.path("FelixConfiguration", "default"))["spec"]
    assert felix["failsafeInboundHostPorts"] == FAILSAFES
    assert "FelixConfiguration: failsafe lists and other fields" in done.text
    controllers = api.admin.get(api.path("KubeControllersConfiguration", "default"))["spec"]["controllers"]
    auto = controllers["node"]["hostEndpoint"]
    assert (auto["autoCreate"], auto["templates"]) == ("Disabled", TEMPLATES)
    assert "KubeControllersConfiguration: templates of automatic HostEndpoints stay" in done.text
    # Where teardown does not go.
    for place in ("lifeline", "audit -e audit_state=stopped", "audit_directory"):
        assert f"hostfence.calico.{place}" in done.text or f"stays in {place}" in done.text
    assert "definition hostendpoints." in done.text
    assert "removed with teardown_crds" in done.text


@pytest.mark.one_flavour
def test_all_of_ours_goes_and_nothing_else(clean_api):
    clean_api.add_nodes(2)
    foreign(clean_api)
    before = everything(clean_api)
    protect(clean_api)
    granted = run_roles(clean_api.kubeconfig, ["access"], access_namespace="hostfence-teardown")
    assert granted.code == 0, granted.output
    assert len(everything(clean_api)) > len(before) + 8
    configure(clean_api)

    done = run_roles(clean_api.kubeconfig, ["teardown"], teardown_settle=0)
    assert done.code == 0, done.output
    assert everything(clean_api) == before
    left = run_module("leftovers_info", clean_api)
    assert left["objects"] == []
    assert clean_api.admin.list(LEASE.rpartition("/")[0], labelSelector=OWNED) == []
    says_what_stays(clean_api, done)

    again = run_roles(clean_api.kubeconfig, ["teardown"], teardown_settle=0)
    assert (again.code, again.changed) == (0, 0), again.output


@pytest.mark.one_flavour
def test_no_allow_goes_while_a_deny_of_another_set_stands(clean_api):
    clean_api.add_nodes(1)
    protect(clean_api)
    writes = run_module("policies_absent", clean_api, check=True)["writes"]
    named = [(w["action"], w["name"].rpartition(".")[2]) for w in writes]
    if ("create", "all-sets-changing") in named:
        # A policy that allows all stands before them until the last is gone; the order is free.
        assert named[0] == ("create", "all-sets-changing")
        assert [n for n in named if n[0] == "delete"][-1] == ("delete", "all-sets-changing")
    else:
        assert named.index(("delete", "two-policy")) < named.index(("delete", "one-policy"))


@pytest.mark.parametrize("api", ["ours-v1", "ours-v3"], indirect=True)
def test_a_tier_with_somebody_elses_policy_stays_and_passes(clean_api):
    clean_api.add_nodes(1)
    protect(clean_api)
    clean_api.create("GlobalNetworkPolicy", "hostfence.by-hand", {"tier": "hostfence", "types": ["Ingress"]})
    done = run_module("policies_absent", clean_api, settle=0)
    assert not done["failed"], done
    tier = clean_api.admin.get(clean_api.path("Tier", "hostfence"))
    assert tier["spec"]["defaultAction"] == "Pass"
    left = [o for o in run_module("leftovers_info", clean_api)["objects"] if o["kind"] == "Tier"]
    assert [(o["name"], o["kept_by"]) for o in left] == [("hostfence", ["hostfence.by-hand"])]


@pytest.mark.one_flavour
def test_check_mode_tells_and_removes_nothing(clean_api):
    clean_api.add_nodes(1)
    protect(clean_api)
    during = everything(clean_api)
    looked = run_roles(clean_api.kubeconfig, ["teardown"], "--check", teardown_settle=0)
    assert (looked.code, looked.changed) == (0, 2), looked.output
    assert everything(clean_api) == during


# A namespace has nothing to do with the flavour.
@pytest.mark.one_flavour
def test_a_namespace_that_others_use_stays(clean_api):
    clean_api.add_nodes(1)
    name = "hostfence-shared"
    granted = run_roles(clean_api.kubeconfig, ["access"], access_namespace=name)
    assert granted.code == 0, granted.output
    clean_api.admin.post(f"/api/v1/namespaces/{name}/configmaps", {"metadata": {"name": "theirs"}})
    done = run_roles(clean_api.kubeconfig, ["teardown"], teardown_settle=0)
    assert done.code == 0, done.output
    assert f"Namespace {name}: others have configmaps/theirs in it" in done.text
    assert clean_api.admin.get(f"/api/v1/namespaces/{name}")["metadata"].get("deletionTimestamp") is None
    clean_api.admin.delete(f"/api/v1/namespaces/{name}")


@pytest.mark.parametrize("api", ["ours-v1", "ours-v3"], indirect=True)
def test_definitions_of_ours_are_found_with_what_is_under_them(clean_api):
    found = {
        d["name"].partition(".")[0]: d["kept_by"]
        for d in run_module("leftovers_info", clean_api)["definitions"]
    }
    assert found["hostendpoints"] == []
    assert found["felixconfigurations"] == ["default"]
