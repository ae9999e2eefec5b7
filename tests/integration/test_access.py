# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role access: its ServiceAccount can do all of the work, and nothing beside it."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import lease, permissions
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import Flavour, FlavourKind
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.permissions import (
    Permission,
    required,
)
from ansible_collections.hostfence.calico.plugins.modules import (
    auto_host_endpoints,
    cluster_info,
    confirm,
    enforce,
    failsafe_resources_info,
    felix_configuration,
    flow_audit,
    host_endpoints,
    host_endpoints_info,
    plan,
    policies,
    policies_info,
    policy_lint,
    rollback,
)
from builders import flows_document
from module_run import run_module
from role_run import run_roles

from testbed import crds
from testbed.api import ApiError
from tests.unit.controller.ssh_server import needs_sshd, ssh_server

MODULES = {
    "auto_host_endpoints": auto_host_endpoints,
    "cluster_info": cluster_info,
    "confirm": confirm,
    "enforce": enforce,
    "failsafe_resources_info": failsafe_resources_info,
    "felix_configuration": felix_configuration,
    "host_endpoints": host_endpoints,
    "host_endpoints_info": host_endpoints_info,
    "policies": policies,
    "plan": plan,
    "policies_info": policies_info,
    "flow_audit": flow_audit,
    "policy_lint": policy_lint,
    "rollback": rollback,
}
NO_TIERS = Flavour(FlavourKind.V1, "crd.projectcalico.org", "v1")
NAMESPACE = "hostfence"
ACCOUNT = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/hostfence"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/hostfence"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TIER = {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "one"}, "spec": {}}
POLICY = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkPolicy",
    "metadata": {"name": "ssh"},
    "spec": {
        "order": 1,
        "selector": "all()",
        "types": ["Ingress"],
        "ingress": [{"action": "Allow", "source": {"selector": "net == 'office'"}}, {"action": "Allow"}],
    },
}
NETS = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkSet",
    "metadata": {"name": "office", "labels": {"net": "office"}},
    "spec": {"nets": []},
}


@pytest.fixture
def account(clean_api, tmp_path):
    """The ServiceAccount that the role made, as something with a kubeconfig."""
    done = run_roles(clean_api.kubeconfig, ["access"])
    assert done.code == 0, done.output
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    token = clean_api.admin.post(f"{ACCOUNT}/token", review)["status"]["token"]
    config = yaml.safe_load(Path(clean_api.kubeconfig).read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    return SimpleNamespace(kubeconfig=str(tmp_path / "kubeconfig"))


@pytest.mark.one_flavour
def test_the_objects_and_no_second_change(clean_api):
    rules = run_module("cluster_info", clean_api)["rules"]
    looked = run_roles(clean_api.kubeconfig, ["access"], "--check", access_namespace="fresh")
    assert (looked.code, looked.changed) == (0, 1), looked.output
    first = run_roles(clean_api.kubeconfig, ["access"])
    assert (first.code, first.changed) == (0, 1), first.output
    assert clean_api.admin.get(ROLE)["rules"] == rules
    again = run_roles(clean_api.kubeconfig, ["access"])
    assert (again.code, again.changed) == (0, 0), again.output


@pytest.mark.one_flavour
def test_a_namespace_of_somebody_else_does_not_become_ours(clean_api):
    done = run_roles(clean_api.kubeconfig, ["access"], access_namespace="kube-public")
    assert done.code == 0, done.output
    labels = clean_api.admin.get("/api/v1/namespaces/kube-public")["metadata"]["labels"]
    assert "app.kubernetes.io/managed-by" not in labels
    clean_api.admin.delete("/api/v1/namespaces/kube-public/serviceaccounts/hostfence")


@pytest.mark.one_flavour
def test_a_namespace_that_is_going_is_waited_for(clean_api):
    path = "/api/v1/namespaces/hostfence"

    def deleted():
        done = run_roles(clean_api.kubeconfig, ["access"])
        assert done.code == 0, done.output
        clean_api.admin.delete(path)
        going = clean_api.admin.get(path)
        assert going["status"]["phase"] == "Terminating"
        return going

    gone = threading.Timer(3, clean_api.end_namespace, [deleted()])
    gone.start()
    done = run_roles(clean_api.kubeconfig, ["access"])
    gone.join()
    assert (done.code, done.changed) == (0, 1), done.output
    assert clean_api.admin.get(ACCOUNT)

    stays = deleted()
    done = run_roles(clean_api.kubeconfig, ["access"], access_wait_timeout=1)
    assert done.code != 0, done.output
    assert "Namespace hostfence is being deleted, and was not gone after access_wait_timeout 1 s" in done.text
    clean_api.end_namespace(stays)


@pytest.mark.one_flavour
def test_what_preflight_asks_for_is_enough_to_grant_it(clean_api):
    """A user who is no administrator, and has nothing but what preflight would miss."""
    tasks = [permissions.ACCESS, *permissions.TASKS]
    rules = run_module("cluster_info", clean_api, permissions_for=tasks)["rules"]
    metadata = {"name": "granter", "labels": {"app.kubernetes.io/managed-by": "hostfence"}}
    clean_api.admin.post(ROLE.rpartition("/")[0], {"metadata": metadata, "rules": rules})
    clean_api.admin.post(
        BINDINGS,
        {
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "granter"},
            "subjects": [{"kind": "User", "name": "granter"}],
        },
    )
    granter = SimpleNamespace(kubeconfig=clean_api.client_kubeconfig("granter"))
    granted = run_roles(granter.kubeconfig, ["access"])
    assert (granted.code, granted.changed) == (0, 1), granted.output
    assert run_module("cluster_info", granter, permissions_for=tasks)["missing_permissions"] == []


@pytest.fixture
def server(tmp_path):
    """A node that can be logged in to, for a watchdog."""
    (tmp_path / "ssh").mkdir()
    with ssh_server(tmp_path / "ssh") as found:
        yield found


@needs_sshd
@pytest.mark.one_flavour
def test_the_account_can_enforce_and_what_it_lacks_is_said(clean_api, account, server):
    clean_api.add_nodes(2)
    assert not run_module("host_endpoints", clean_api)["failed"]
    done = transactions(clean_api, lambda module, options: run_module(module, account, **options), server)
    assert [step["event"] for step in done["timeline"]][-1] == "settled"
    assert "for want of the permission get nodes/proxy" in " ".join(done["remarks"])
    watchdogs_left = clean_api.admin.list("/api/v1/namespaces/kube-system/serviceaccounts")
    assert [o for o in watchdogs_left if "watchdog" in o["metadata"]["name"]] == []


@needs_sshd
@pytest.mark.one_flavour
@pytest.mark.parametrize(
    ("taken", "says"),
    [
        (("", "serviceaccounts/token", "create"), 'cannot create resource "serviceaccounts/token"'),
        ((permissions._ADMISSION, "validatingadmissionpolicies", "patch"), "validatingadmissionpolicies"),
        (("coordination.k8s.io", "leases", "patch"), "leases"),
    ],
)
def test_without_one_of_the_watchdogs_permissions_nothing_is_switched(
    clean_api, account, server, taken, says
):
    clean_api.add_nodes(2)
    rules = clean_api.admin.get(ROLE)["rules"]
    for rule in rules:
        if taken[0] in rule["apiGroups"] and taken[1] in rule["resources"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != taken[2]]
    clean_api.admin.patch(ROLE, {"rules": [rule for rule in rules if rule["verbs"]]})
    options = {**transaction_options(server), "writes": rehearsal(clean_api, "enforced")}
    result = run_module("enforce", account, **options)
    assert result["failed"]
    assert says in result["msg"]
    assert "switched" not in [step["event"] for step in result["timeline"]]
    assert clean_api.admin.list(clean_api.path("GlobalNetworkPolicy")) == []


@pytest.mark.one_flavour
def test_the_account_can_do_all_of_the_work(clean_api, account):
    clean_api.add_nodes(2)
    work(clean_api, lambda module, options: run_module(module, account, **options))
    lacking = run_module(
        "cluster_info", account, permissions_for=["crds", "felix", "host_endpoints_auto", "policies"]
    )
    assert lacking["missing_permissions"] == []
    # As itself it changes nothing, for it may not.
    own = run_roles(account.kubeconfig, ["preflight", "access"])
    assert (own.code, own.changed) == (0, 0), own.output


@needs_sshd
def test_every_permission_is_used_and_no_other(clean_api, monkeypatch, server):
    """What is asked of the API while everything is done, beside what the list says."""
    clean_api.add_nodes(2)
    recorded = Recorder(clean_api)
    monkeypatch.setattr(Cluster, "_send", recorded.of(Cluster._send))
    clean_api.admin.post(lease.COLLECTION, LEFT_BEHIND)
    work(clean_api, lambda module, options: in_process(module, clean_api.kubeconfig, options))
    provoke(clean_api, recorded)
    transactions(clean_api, lambda module, options: in_process(module, clean_api.kubeconfig, options), server)
    found = run_module("cluster_info", clean_api)["rules"]
    allowed = {
        Permission(g, r, v)
        for rule in found
        for g in rule["apiGroups"]
        for r in rule["resources"]
        for v in rule["verbs"]
    }
    # Calico itself checks those; the role crds, by way of kubernetes.core, has a test of its own.
    elsewhere = {
        p
        for p in allowed
        if p.resource.startswith("tier.")
        or (p.resource, p.verb) == ("tiers", "get")
        or p.resource == "customresourcedefinitions"
        # Of watchdogs, to whom nothing can be granted that is not held; and where no authority is known.
        or (p.resource, p.verb) in (("globalnetworksets", "watch"), ("configmaps", "get"))
        # Of a node that was cut off.
        or (p.resource, p.verb) == ("events", "create")
    }
    # Calico 3.28 has no tiers that others could use, and nothing that waits for a DaemonSet.
    tiered = ("tiers", "stagedglobalnetworkpolicies", "networkpolicies", "stagednetworkpolicies")
    later = {p for p in allowed if p.resource in tiered}
    later |= {Permission("apps", "daemonsets", "get")}
    # Nor is there a transaction without tiers.
    later |= nameless(required(NO_TIERS, ["enforce"])) - nameless(required(NO_TIERS, ["policies"]))
    expected = allowed - elsewhere - (later if "Tier" not in clean_api.kinds else set())
    # Watchdogs of pods are looked for where they may be; to make them is another task (enforce_pods).
    tried = {Permission("", "configmaps", "list")}
    assert sorted(map(str, recorded.used - allowed - tried)) == []
    assert sorted(map(str, expected - recorded.used)) == []


# By way of kubernetes.core, for which the flavour makes no difference.
@pytest.mark.one_flavour
@pytest.mark.parametrize("verb", ["create", "get", "list", "patch", ""])
def test_definitions_take_all_four_verbs(clean_api, account, verb):
    group = clean_api.kinds["HostEndpoint"].group_version.partition("/")[0]
    clean_api.admin.delete(f"{DEFINITIONS}/globalnetworksets.{group}")
    rules = clean_api.admin.get(ROLE)["rules"]
    for rule in rules:
        if "customresourcedefinitions" in rule["resources"]:
            rule["verbs"] = [v for v in rule["verbs"] if v != verb]
    clean_api.admin.patch(ROLE, {"rules": rules})
    try:
        done = run_roles(account.kubeconfig, ["crds"])
    finally:
        if verb:
            definitions = crds.load("ours", "v1" if group.startswith("crd.") else "v3")
            crds.install(
                clean_api.admin, [d for d in definitions if d["spec"]["names"]["kind"] == "GlobalNetworkSet"]
            )
    assert (done.code == 0) == (verb == ""), done.output


class Recorder:
    """Notes for each request of ours what the API server authorizes."""

    VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    PATH = re.compile(
        r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/[^/]+)?/(?P<resource>[^/]+)(?P<name>/.+)?"
    )
    # Open to everybody, and no resources of the cluster.
    OPEN = ("selfsubjectaccessreviews", "selfsubjectreviews")

    def __init__(self, api):
        self.api = api
        self.used = set()
        self.disturb = True

    def of(self, send):
        def request(cluster, method, path, *arguments, **options):
            self.note(method, path)
            if self.disturb and method == "PUT" and "/hostendpoints/" in path:
                self.disturb = False
                self.api.admin.patch(path, {"metadata": {"labels": {"their": "own"}}})
            return send(cluster, method, path, *arguments, **options)

        return request

    def note(self, method, path):
        found = self.PATH.fullmatch(path)
        if not found or found["resource"] in self.OPEN:
            return
        verb = self.VERBS.get(method) or ("get" if found["name"] else "list")
        # Of a part of an object, as of a ServiceAccount's token, the part is what is authorized.
        _name, _slash, part = (found["name"] or "")[1:].partition("/")
        resource = "/".join(filter(None, (found["resource"], part)))
        self.used.add(Permission(found["group"] or "", resource, verb))
        # Server-side apply of what does not exist yet is authorized a second time, as a creation.
        if verb == "patch" and not exists(self.api, path):
            self.used.add(Permission(found["group"] or "", found["resource"], "create"))


def exists(api, path):
    try:
        api.admin.get(path)
    except ApiError:
        return False
    return True


def nameless(permissions):
    """Without the names of objects, which requests are not noted with."""
    return {Permission(p.group, p.resource, p.verb) for p in permissions}


def in_process(name, kubeconfig, options):
    """Runs a module here, where its requests can be noted."""
    module = MODULES[name]
    with patch_module_args({"kubeconfig": kubeconfig, **options}), pytest.MonkeyPatch.context() as patched:
        results = []
        patched.setattr(
            basic.AnsibleModule, "_return_formatted", lambda _self, result: results.append(result)
        )
        with pytest.raises(SystemExit):
            module.main()
    return results[0]


# Of a run on another machine that died long ago: it is taken over.
LEFT_BEHIND = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": lease.NAME, "namespace": lease.NAMESPACE},
    "spec": {
        "holderIdentity": "another machine",
        "leaseDurationSeconds": 1,
        "renewTime": "2020-01-01T00:00:00.000000Z",
    },
}


def provoke(api, recorded):
    """What is done only where something is absent, or does not work."""
    for kind in ("KubeControllersConfiguration", "FelixConfiguration"):
        api.admin.delete(api.path(kind, "default"))
    in_process("felix_configuration", api.kubeconfig, {"failsafe_inbound_host_ports": []})
    options = {"state": "enabled", "wait": False}
    in_process("auto_host_endpoints", api.kubeconfig, options)
    path = api.path("KubeControllersConfiguration", "default")
    status = {"runningConfig": {"controllers": {"policyMigration": {"enabled": "Enabled"}}}}
    api.admin.patch(
        path + ("/status" if api.kinds["KubeControllersConfiguration"].has_status else ""), {"status": status}
    )
    stalled = in_process("auto_host_endpoints", api.kubeconfig, {**options, "wait": True, "wait_timeout": 1})
    assert stalled["failed"]


def work(api, run):
    """Everything that the collection does on the control plane, once."""

    def ok(module, /, **options):
        result = run(module, options)
        assert not result.get("failed"), (module, result)

    def sets(state):
        tier = [TIER] if "Tier" in api.kinds else []
        options = {"default_action": "Pass", "settle": 0, "without_switch": True}
        definitions = [*tier, NETS, *(policy(name) for name in ("first", "second"))]
        ok("policies", name="one", state=state, definitions=definitions, **options)
        # Somebody decides what we left open. Apply would leave that to them, so the objects are replaced.
        decide(api, "GlobalNetworkPolicy", {"performanceHints": ["AssumeNeededOnEveryNode"]})
        decide(api, "StagedGlobalNetworkPolicy", {"performanceHints": ["AssumeNeededOnEveryNode"]})
        decide(api, "GlobalNetworkSet", {"nets": ["198.51.100.0/24"]})
        decide(api, "Tier", {"order": 5})
        ok("policies", name="one", state=state, definitions=definitions, **options)

    ok("cluster_info")
    ok("host_endpoints")
    ok("host_endpoints", labels={"host-endpoint": "other"})
    sets("staged")
    sets("enforced")
    ok("policies_info")
    ok("policy_lint")
    ok("failsafe_resources_info")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sim-0001.json").write_text(json.dumps(flows_document("sim-0001", 443)))
        ok("flow_audit", flows=folder)
    ok("policies", name="one", state="absent", settle=0)
    for port in (22, 2222):
        ok("felix_configuration", failsafe_inbound_host_ports=[{"protocol": "TCP", "port": port}])
    ok("auto_host_endpoints", state="enabled", node_labels={"host-endpoint": "ingress"}, wait=False)
    ok("host_endpoints", state="absent")
    ok("auto_host_endpoints", state="absent", wait=False, allow_uncovered=True)
    ok("host_endpoints_info")
    ok("plan", felix={}, policies={"sets": [{"name": "one", "state": "absent"}]})


def transaction_options(server):
    node = server.node("controller", sys.executable)
    return {"nodes": [node], "watchdogs": 1, "waves": ["all"], "window": 30, "settle": 0}


def rehearsal(api, state):
    definitions = [] if state == "absent" else [NETS, policy("first")]
    given = {"name": "edge", "state": state, "definitions": definitions, "lint": False, "reach": False}
    return run_module("policies", api, check=True, **given)["rehearsal"]


def transactions(api, run, server):
    """All that a transaction does: enforced, staged, and confirmed by hand and taken back."""
    if "Tier" not in api.kinds:
        return {}
    options = transaction_options(server)
    done = {}

    def ok(module, **given):
        result = run(module, given)
        assert not result.get("failed"), (module, result.get("msg"))
        return result

    # A staged policy to which somebody adds something is replaced; so is the record of the last transaction.
    ok("enforce", writes=rehearsal(api, "staged"), **options)
    for _again in range(2):
        done = ok("enforce", writes=rehearsal(api, "enforced"), **options)
        ok("enforce", writes=rehearsal(api, "absent"), confirm="manual", **options)
        ok("confirm", settle=0)
    ok("enforce", writes=rehearsal(api, "enforced"), **options)
    ok("rollback", settle=0)
    return done


def policy(name):
    tier = {"tier": "one"} if name == "second" else {}
    spec = {**POLICY["spec"], **tier}
    return {**POLICY, "metadata": {"name": f"one.{name}" if tier else name}, "spec": spec}


def decide(api, kind, spec):
    """Write fields into our objects as somebody else."""
    for obj in api.admin.list(api.path(kind)) if kind in api.kinds else ():
        if obj["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "hostfence":
            api.admin.patch(api.path(kind, obj["metadata"]["name"]), {"spec": spec})
