# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input and faults, as who runs site.yml meets them.

Whatever is refused must be refused in one clear line, without a traceback, and before anything is written.
Whatever is cut short must be finished by a second run.
"""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import permissions
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.flavour import Flavour, FlavourKind
from role_run import ROOT, end_of, run_playbook, start_playbook
from test_site import stored

from testbed import crds
from testbed.pki import Authority

# The flavour makes no difference here; tests/unit and test_policies.py have what depends on it.
pytestmark = pytest.mark.one_flavour

V1 = "crd.projectcalico.org"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NODES = 3
FAST = {"policies_settle": 0, "access_namespace": "hostfence-faults"}
# Playbooks that write nothing disturb each other in nothing.
AT_ONCE = 2

RULE = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [22]}}


def policy(*rules, name="mine", api_version="projectcalico.org/v3", kind="GlobalNetworkPolicy", **spec):
    body = {"selector": "all()", "types": ["Ingress"], "ingress": list(rules), **spec}
    return yaml.safe_dump({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": body})


# What a directory of policies may hold: text, and what must be said of it.
BAD_POLICIES = {
    "not YAML": ("a: [1\n", ["bad.yml", "line 2", "not YAML"]),
    "unknown kind": (policy(RULE, kind="NetworkPolcy"), ["bad.yml", "kind", "NetworkPolcy"]),
    "nothing but others' kinds": (
        policy(RULE, kind="NetworkPolicy"),
        ["nothing-but-others'-kinds", "holds no document of a set", "left alone: 1 NetworkPolicy (mine)"],
    ),
    "wrong API group": (
        policy(RULE, api_version="networking.k8s.io/v1"),
        ["apiVersion", "networking.k8s.io/v1", "projectcalico.org/v3"],
    ),
    "invalid selector": (policy(RULE, selector="role == "), ["mine", "spec.selector", "role == "]),
    "unknown field": (policy(RULE, prednat=True), ["mine", "spec.prednat", "preDNAT"]),
    "net too long": (
        policy({**RULE, "source": {"nets": ["10.0.0.0/33"]}}),
        ["spec.ingress[0].source.nets[0]", "10.0.0.0/33"],
    ),
    "port too high": (
        policy({**RULE, "destination": {"ports": [70000]}}),
        ["spec.ingress[0].destination.ports[0]", "70000", "65535"],
    ),
    "ports without protocol": (
        policy({"action": "Allow", "destination": {"ports": [22]}}),
        ["spec.ingress[0]", "protocol", "ports"],
    ),
    "two of one name": (policy(RULE) + "---\n" + policy(RULE), ["bad.yml", "metadata.name", "mine"]),
}

# Variables, and what must be said of them: field, value and remedy.
BAD_VARIABLES = {
    "unknown mode": (
        {"host_endpoints_mode": "sidecar"},
        ["host_endpoints_mode", "sidecar", "direct, auto"],
    ),
    "namespace": (
        {"access_namespace": "Host_fence"},
        ["access_namespace: 'Host_fence'", "lower-case letters, digits and '-', with a letter"],
    ),
    "service account": (
        {"access_service_account": "-hostfence"},
        [
            "access_service_account: '-hostfence'",
            "'-' and '.', with a letter or digit at both ends",
        ],
    ),
    "label's value": ({"host_endpoints_labels": {"zone": "a b"}}, ["labels", "zone", "a b"]),
    "label's key": ({"host_endpoints_labels": {"-x": "a"}}, ["labels", "-x"]),
    "node label's key": ({"host_endpoints_node_labels": ["a b"]}, ["node_labels", "a b"]),
    "interface": (
        {"host_endpoints_interface": "a-name-longer-than-15"},
        ["interface", "a-name-longer-than-15", "15"],
    ),
    "port of a host": (
        {"host_endpoints_ports": [{"name": "web", "port": 70000}]},
        ["ports", "70000", "65535"],
    ),
    "node selector": ({"host_endpoints_node_selector": "zone in a"}, ["node_selector", "zone in a"]),
    "selector of nobody": (
        {"host_endpoints_node_selector": "zone=nowhere"},
        ["node_selector", "zone=nowhere", "selects no node"],
    ),
    "net of nodes": (
        {"policies_node_cidrs": ["10.0.0.0/33"]},
        ["policies_node_cidrs[0]: '10.0.0.0/33'", "not a network", "192.0.2.0/24"],
    ),
    "SSH port": (
        {"policies_ssh_port": 70000, "policies_ssh_sources": ["192.0.2.0/24"]},
        ["ports", "70000", "65535"],
    ),
    "state": ({"policies_state": "on"}, ["policies_state", "kept, staged, audited, enforced, absent"]),
    "unknown set": ({"policies_sets": ["lockdown"]}, ["policies_sets", "lockdown", "ingress-lockdown"]),
    "no such directory": (
        {"policies_sets": ["ingress-lockdown", "./nowhere"]},
        ["nowhere", "no such file or directory"],
    ),
    "selector of policies": ({"policies_selector": "all("}, ["selector", "all("]),
    "enforced for nobody": ({"policies_state": "enforced"}, ["policies_ssh_sources", "must not be empty"]),
    "failsafe's protocol": (
        {"felix_failsafe_inbound_host_ports": [{"protocol": "icmp", "port": 22}]},
        ["failsafeInboundHostPorts[0].protocol", "icmp", "UDP"],
    ),
    "failsafe's net": (
        {"felix_failsafe_outbound_host_ports": [{"protocol": "tcp", "port": 22, "net": "abc"}]},
        ["failsafeOutboundHostPorts[0].net", "abc"],
    ),
    "failsafe's port": (
        {"felix_failsafe_inbound_host_ports": [{"protocol": "tcp", "port": 70000}]},
        ["failsafeInboundHostPorts[0].port", "70000"],
    ),
    # What is read after the first write.
    "window": ({"enforce_window": 500}, ["enforce.window: 500", "from 30 to 240 seconds"]),
    "wave": ({"enforce_waves": ["all()", "has("]}, ["enforce.waves[1]: 'has('", "expected a label name"]),
    "who confirms": ({"enforce_confirm": "later"}, ["confirm", "auto, manual", "later"]),
    "pause": ({"enforce_bake": -1}, ["enforce.bake: -1", "not below 0"]),
    "proof": (
        {"enforce_proofs": [{"host": "192.0.2.1", "port": 0}]},
        ["enforce.proofs[0].port: 0", "from 1 to 65535"],
    ),
    "jump hosts": ({"enforce_admin_sources": "office"}, ["enforce.admin_sources[0]: 'office'", "a network"]),
    "age of a window": ({"audit_max_age": "a month"}, ["audit.max_age: 'a month'", "10m, 1d12h or 2w"]),
    "accepted for good": ({"audit_accepted": [{"port": 9100}]}, ["audit_accepted[0].reason", "in words"]),
    "when a report fails": ({"report_fail_on": "always"}, ["report_fail_on", "never, failed, attention"]),
}

# Taken away one at a time from a user who has all the others.
LACKING = [
    ("", "nodes", "list"),
    (V1, "hostendpoints", "create"),
    (V1, "felixconfigurations", "patch"),
    (V1, "tiers", "delete"),
    (V1, "globalnetworkpolicies", "list"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "list"),
]


def refused(run, *said):
    """A run that ended in one clear message."""
    assert run.code != 0, run.output
    assert "Traceback" not in run.output, run.output
    text = message(run)
    missing = [part for part in said if part not in text]
    assert not missing, f"not said: {missing}\n{text}\n{run.output}"


def message(run):
    """What the failed task says, on one line."""
    found = re.findall(r'^fatal: .*?"msg": "(.*?[^\\])"[,}\n]', run.output, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, run.output
    text = found[0].removeprefix("Validation of arguments failed:\\n")
    assert "\\n" not in text, text
    return text.replace('\\"', '"').replace("\\\\", "\\")


class Cluster:
    """A fresh cluster that bad input is tried on, and what it held before."""

    def __init__(self, api, directory):
        self.api = api
        self.directory = directory
        api.reset()
        api.add_nodes(NODES)
        self.before = stored(api)

    def site(self, *flags, kubeconfig=None, **variables):
        return run_playbook(kubeconfig or self.api.kubeconfig, "site.yml", *flags, **{**FAST, **variables})

    def policies_of(self, name):
        directory = self.directory / name.replace(" ", "-")
        directory.mkdir()
        (directory / "bad.yml").write_text(BAD_POLICIES[name][0])
        return {"policies_sets": ["ingress-lockdown", f"{directory}/"]}

    def kubeconfig(self, name, **changes):
        """The administrator's kubeconfig with other fields of the cluster or the user."""
        config = yaml.safe_load(Path(self.api.kubeconfig).read_text())
        for part, fields in changes.items():
            config[f"{part}s"][0][part] = fields(config[f"{part}s"][0][part])
        path = self.directory / name
        path.write_text(yaml.safe_dump(config))
        return str(path)

    def unchanged(self):
        assert stored(self.api) == self.before


@pytest.fixture(scope="module")
def fresh(api, tmp_path_factory):
    return Cluster(api, tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def refusals(fresh, request):
    """The runs with bad input that tests were chosen for, begun at once."""
    chosen = {
        getattr(item, "callspec", None) and item.callspec.params.get("name") for item in request.session.items
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {n: pool.submit(fresh.site, **v) for n, (v, _said) in BAD_VARIABLES.items() if n in chosen}
        # One step alone is quicker, and still has a good set to write before the bad one.
        for name in BAD_POLICIES.keys() & chosen:
            runs[name] = pool.submit(fresh.site, "--tags", "policies", **fresh.policies_of(name))
        yield runs


@pytest.mark.parametrize("name", [*BAD_VARIABLES, *BAD_POLICIES])
def test_bad_input_is_refused_before_anything_is_written(fresh, refusals, name):
    run = refusals[name].result()
    refused(run, *{**BAD_VARIABLES, **BAD_POLICIES}[name][1])
    assert run.changed == 0, run.output
    fresh.unchanged()


def test_no_kubeconfig(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    run = fresh.site(kubeconfig=str(tmp_path / "absent"))
    refused(run, "no usable connection to a cluster", str(tmp_path / "absent"), "set kubeconfig")


def test_an_api_that_is_not_reachable(fresh):
    run = fresh.site(
        kubeconfig=fresh.kubeconfig("unreachable", cluster=lambda c: {**c, "server": "https://127.0.0.1:1"})
    )
    refused(run, "no answer from the API server https://127.0.0.1:1", "is the API server up")


def test_the_authority_of_another_cluster(fresh, tmp_path):
    (tmp_path / "pki").mkdir()
    other = Authority(tmp_path / "pki").pair.certificate
    run = fresh.site(
        kubeconfig=fresh.kubeconfig(
            "mismatch",
            cluster=lambda c: {"server": c["server"], "certificate-authority": str(other)},
        )
    )
    refused(run, "no answer from the API server", "check certificate-authority-data")


def test_credentials_that_are_not_accepted(fresh):
    run = fresh.site(kubeconfig=fresh.kubeconfig("stranger", user=lambda _: {"token": "not-a-token"}))
    refused(run, "401", "does not accept these credentials", "check the kubeconfig's user")


@pytest.fixture(scope="module")
def lacking(fresh):
    """Runs of users who lack one permission each."""
    # All that site.yml needs, so that nothing but the one is lacking.
    needed = permissions.required(Flavour(FlavourKind.V1, V1, "v1"), (*permissions.TASKS, permissions.ACCESS))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {}
        for number, taken in enumerate(LACKING):
            kept = [p for p in needed if (p.group, p.resource, p.verb) != taken]
            assert len(kept) == len(needed) - 1
            user = f"lacks-{number}"
            bind(fresh.api, user, permissions.rules(kept))
            kubeconfig = fresh.api.client_kubeconfig(user)
            runs[taken] = pool.submit(fresh.site, kubeconfig=kubeconfig)
        fresh.before = stored(fresh.api)
        yield runs


def bind(api, user, rules):
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": user}}
    api.admin.post(f"{RBAC}/clusterroles", {**kind, "kind": "ClusterRole", "rules": rules})
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {**kind, "kind": "ClusterRoleBinding", "subjects": [subject], "roleRef": role}
    api.admin.post(f"{RBAC}/clusterrolebindings", binding)


@pytest.mark.parametrize("taken", LACKING, ids=lambda taken: f"{taken[2]}-{taken[1]}")
def test_one_verb_that_is_lacking_is_named(fresh, lacking, taken):
    group, resource, verb = taken
    named = f"{verb} {resource}.{group}".rstrip(".")
    refused(lacking[taken].result(), f"this user may not {named}: ", "permissions")
    fresh.unchanged()


def test_a_host_endpoint_of_someone_else_under_our_name(fresh):
    api = fresh.api
    api.create("HostEndpoint", "sim-0002-hostfence", {"node": "sim-0002", "interfaceName": "eth9"})
    fresh.before = stored(api)
    try:
        refused(fresh.site(), "sim-0002-hostfence", "someone else", "delete")
        fresh.unchanged()
    finally:
        api.admin.delete(api.path("HostEndpoint", "sim-0002-hostfence"))


def test_a_migration_of_the_datastore(fresh):
    api = fresh.api
    kind = {"apiVersion": "migration.projectcalico.org/v1beta1", "kind": "DatastoreMigration"}
    [known] = crds.kinds([migrations()]).values()
    crds.install(api.admin, [migrations()])
    try:
        body = {**kind, "metadata": {"name": "default"}, "spec": {}, "status": {"phase": "Migrating"}}
        api.admin.post(known.path, body)
        fresh.before = stored(api)
        refused(fresh.site(), "migration is in phase Migrating", "wait")
        refused(fresh.site("--skip-tags", "preflight"), "migration is in phase Migrating", "wait")
        fresh.unchanged()
    finally:
        api.admin.delete(f"{DEFINITIONS}/{migrations()['metadata']['name']}")
        # The API's directory names a group for a while after it has gone.
        until(lambda: "migration.projectcalico.org" not in groups(api))


def groups(api):
    return {group["name"] for group in api.admin.get("/apis")["groups"]}


def migrations():
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "datastoremigrations.migration.projectcalico.org"},
        "spec": {
            "group": "migration.projectcalico.org",
            "names": {"kind": "DatastoreMigration", "plural": "datastoremigrations"},
            "scope": "Cluster",
            "versions": [
                {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def test_a_datastore_that_is_not_ready(fresh):
    api, path = fresh.api, fresh.api.path("ClusterInformation", "default")
    try:
        api.admin.patch(path, {"spec": {"datastoreReady": False}})
        fresh.before = stored(api)
        refused(fresh.site(), "datastore", "not ready", "unlock")
        fresh.unchanged()
    finally:
        api.admin.patch(path, {"spec": {"datastoreReady": True}})


def test_a_definition_in_another_version(fresh):
    api = fresh.api
    [ours] = [d for d in crds.load("ours", "v1") if d["spec"]["names"]["kind"] == "HostEndpoint"]
    other = yaml.safe_load(yaml.safe_dump(ours))
    other["spec"]["versions"][0]["name"] = "v2"
    replace_definition(api, other)
    try:
        fresh.before = stored(api)
        refused(fresh.site(), "hostendpoints.crd.projectcalico.org", "crd.projectcalico.org/v1")
        fresh.unchanged()
    finally:
        replace_definition(api, ours)


def replace_definition(api, definition):
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"
    api.admin.delete(path)
    until(
        lambda: (
            definition["metadata"]["name"] not in {d["metadata"]["name"] for d in api.admin.list(DEFINITIONS)}
        )
    )
    crds.install(api.admin, [definition])
    version = definition["spec"]["versions"][0]["name"]
    until(lambda: serves_only(api, version))


def serves_only(api, version):
    served = {
        v for v in ("v1", "v2") if any(r["kind"] == "HostEndpoint" for r in resources(api, f"/apis/{V1}/{v}"))
    }
    return served == {version}


def resources(api, root):
    groups = {v["groupVersion"] for g in api.admin.get("/apis")["groups"] for v in g["versions"]}
    return api.admin.get(root)["resources"] if root.removeprefix("/apis/") in groups else []


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


STEPS = ("--tags", "host_endpoints,policies")
MANY = 600
SOME = 40


@pytest.fixture
def large(clean_api):
    """A cluster whose HostEndpoints take a moment to write."""
    clean_api.add_nodes(MANY)
    return clean_api


def begin(api):
    """site.yml, in the middle of writing HostEndpoints."""
    process = start_playbook(api.kubeconfig, ROOT / "site.yml", *STEPS, **FAST)
    until(lambda: process.poll() is not None or len(host_endpoints(api)) >= SOME, 180)
    assert process.poll() is None, process.communicate()[0]
    return process


def host_endpoints(api):
    return {h["metadata"]["name"] for h in api.admin.list(api.path("HostEndpoint"))}


def converges(api):
    wanted = {f"sim-{number:04d}-hostfence" for number in range(1, MANY + 1)}
    done = run_playbook(api.kubeconfig, "site.yml", *STEPS, **FAST)
    assert done.code == 0, done.output
    assert host_endpoints(api) == wanted
    staged = api.admin.list(api.path("StagedGlobalNetworkPolicy"))
    assert len(staged) == 3
    before = stored(api)
    again = run_playbook(api.kubeconfig, "site.yml", *STEPS, **FAST)
    assert (again.code, again.changed) == (0, 0), again.output
    assert stored(api) == before


def test_ctrl_c_in_the_middle_of_writing(large):
    # It must reach the modules, too.
    process = begin(large)
    os.killpg(process.pid, signal.SIGINT)
    run = end_of(process)
    assert run.code != 0, run.output
    assert "Traceback" not in run.output, run.output
    converges(large)


def test_the_api_server_dies_in_the_middle_of_writing(large):
    process = begin(large)
    large.kill()
    try:
        refused(end_of(process), "writes were not done", "a second run does the rest")
    finally:
        large.restart()
    assert SOME <= len(host_endpoints(large)) < MANY
    converges(large)
