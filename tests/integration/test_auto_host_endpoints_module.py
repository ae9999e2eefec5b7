# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module auto_host_endpoints with a node controller at work: the real one, or the testbed's stand-in.

HOSTFENCE_CALICO_BIN names the directory of the real one. It does not run on the CRDs of Calico 3.28, which
have no status subresource; the stand-in does there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.host_endpoint import (
    active_wildcard,
    effective_labels,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import auto_host_endpoints as auto
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster, ClusterError
from module_run import run_module

from testbed.api import ApiError

ROOT = Path(__file__).resolve().parent.parent.parent
LABELS = {"host-endpoint": "ingress"}
NOTE = "hostfence.io/auto-host-endpoints"
KIND = "KubeControllersConfiguration"
DEPLOYMENT = "/apis/apps/v1/namespaces/calico-system/deployments/calico-kube-controllers"
DAEMONSET = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node"
APPLY = "application/apply-patch+yaml"

# What is the same whatever the CRDs are like is looked at once.
one_flavour = pytest.mark.parametrize("api", ["ours-v1"], indirect=True, scope="session")


class NodeController:
    """kube-controllers' node controller, real or not, started again when it ends as a Deployment would."""

    def __init__(self, api) -> None:
        self._api = api
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, override: str = "") -> None:
        binaries = os.environ.get("HOSTFENCE_CALICO_BIN")
        real = bool(binaries) and self._api.flavour != "v1-3.28.2"
        command = self._real(binaries) if real else self._stand_in(override)
        environment = {**os.environ, "KUBECONFIG": self._api.kubeconfig, "ENABLED_CONTROLLERS": "node"}
        environment |= {"DATASTORE_TYPE": "kubernetes"} | (
            {"AUTO_HOST_ENDPOINTS": override} if override else {}
        )
        # The shell holds a pipe of ours: when this process dies, so does the controller.
        self._running = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        if self._running:
            os.killpg(self._running.pid, 15)
            self._running.wait()
            self._running = None

    def _real(self, binaries: str) -> list[str]:
        # Its metrics would listen on all addresses of this machine.
        self._api.admin.patch(self._api.path(KIND, "default"), {"spec": {"prometheusMetricsPort": 0}})
        again = "trap 'kill $!; exit' TERM; while :; do \"$0\" & wait $!; sleep 0.3; done"
        return ["sh", "-c", again, str(Path(binaries) / "kube-controllers")]

    def _stand_in(self, override: str) -> list[str]:
        value = ["--auto-host-endpoints", override] if override else []
        module = "testbed.standins.node_controller"
        return [sys.executable, "-m", module, "--kubeconfig", self._api.kubeconfig, *value]


@pytest.fixture
def node_controller(clean_api) -> Iterator[NodeController]:
    controller = NodeController(clean_api)
    try:
        yield controller
    finally:
        controller.stop()


@pytest.fixture(autouse=True)
def _placeholders(clean_api) -> Iterator[None]:
    """What a test did to the workloads is gone for the next one: a reset makes them anew."""
    yield
    for path in (DEPLOYMENT, DAEMONSET):
        with contextlib.suppress(ApiError):
            clean_api.admin.delete(path)


def run(api, check=False, diff=False, **options):
    return run_module("auto_host_endpoints", api, check=check, diff=diff, **options)


def succeed(name, api, **options):
    result = run_module(name, api, **options)
    assert not result["failed"], result["msg"]


def heps(api):
    return {h["metadata"]["name"]: h for h in api.admin.list(api.path("HostEndpoint"))}


def configuration(api):
    return api.admin.get(api.path(KIND, "default"))


def host_endpoint(api):
    return configuration(api)["spec"]["controllers"]["node"]["hostEndpoint"]


def node_labels(api):
    return {n["metadata"]["name"]: n["metadata"]["labels"] for n in api.admin.list("/api/v1/nodes")}


def versions(api):
    """Of everything that the module may write."""
    objects = [configuration(api), *api.admin.list("/api/v1/nodes")]
    return [o["metadata"]["resourceVersion"] for o in objects]


def test_enabled_checked_again_and_disabled(clean_api, node_controller):
    names = clean_api.add_nodes(3)
    node_controller.start()

    before = versions(clean_api)
    foretold = run(clean_api, check=True, diff=True, node_labels=LABELS)
    assert foretold["changed"]
    assert foretold["summary"] == "0 of 3 nodes have an active HostEndpoint"
    assert foretold["diff"]["after"]["hostEndpoint"]["autoCreate"] == "Enabled"
    assert foretold["diff"]["after"]["node_labels"] == dict.fromkeys(names, LABELS)
    assert [v for v in versions(clean_api) if v in before[1:]] == before[1:]
    assert heps(clean_api) == {}

    enabled = run(clean_api, diff=True, node_labels=LABELS)
    assert enabled["changed"], enabled
    assert enabled["diff"] == foretold["diff"]
    assert enabled["summary"] == "3 of 3 nodes have an active HostEndpoint"
    assert enabled["enabled"]
    assert enabled["enabled_by_us"]
    assert enabled["host_endpoints"] == [f"{n}-auto-hep" for n in names]
    found = heps(clean_api)
    assert all(effective_labels(found[f"{n}-auto-hep"])["host-endpoint"] == "ingress" for n in names)

    before = versions(clean_api)
    again = run(clean_api, diff=True, node_labels=LABELS)
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert versions(clean_api) == before

    refused = run(clean_api, state="disabled")
    assert refused["failed"]
    assert "would leave 3 nodes without any (sim-0001, sim-0002, sim-0003)" in refused["msg"]
    assert "allow_uncovered" in refused["msg"]
    assert versions(clean_api) == before

    disabled = run(clean_api, state="disabled", allow_uncovered=True)
    assert disabled["changed"], disabled
    assert heps(clean_api) == {}
    assert any("created-by" in w and "sim-0001-auto-hep" in w for w in disabled["warnings"])
    assert not any("host-endpoint" in labels for labels in node_labels(clean_api).values())
    assert host_endpoint(clean_api)["autoCreate"] == "Disabled"
    assert not disabled["enabled_by_us"]

    assert not run(clean_api, state="disabled")["changed"]


@one_flavour
@pytest.mark.parametrize("theirs", ["spec", "label"])
def test_what_someone_else_writes_meanwhile_is_not_overwritten(clean_api, monkeypatch, theirs):
    clean_api.add_nodes(1)
    label = auto._Run._label

    def meanwhile(self, seen, plan):
        label(self, seen, plan)
        written = {
            "spec": {"spec": {"controllers": {"node": {"reconcilerPeriod": "7m"}}}},
            # What the plan does not rest on only makes another version.
            "label": {"metadata": {"labels": {"a": "b"}}},
        }
        clean_api.admin.patch(clean_api.path(KIND, "default"), written[theirs])

    monkeypatch.setattr(auto._Run, "_label", meanwhile)
    cluster = Cluster.of_options({"kubeconfig": clean_api.kubeconfig})
    wanted = auto.Request(auto.ENABLED, node_labels=LABELS, wait=False)
    if theirs == "label":
        auto.reconcile(cluster, wanted)
        assert host_endpoint(clean_api)["autoCreate"] == "Enabled"
        assert configuration(clean_api)["metadata"]["labels"] == {"a": "b"}
        return
    with pytest.raises(ClusterError, match="was changed by someone else while this run planned"):
        auto.reconcile(cluster, wanted)
    assert configuration(clean_api)["spec"]["controllers"]["node"]["reconcilerPeriod"] == "7m"
    assert host_endpoint(clean_api).get("autoCreate") != "Enabled"
    monkeypatch.setattr(auto._Run, "_label", label)
    auto.reconcile(cluster, wanted)
    assert host_endpoint(clean_api)["autoCreate"] == "Enabled"


def test_templates_where_the_api_has_them(clean_api, node_controller):
    first, second = clean_api.add_nodes(2)
    node_controller.start()
    templates = [{"generate_name": "st", "interface_cidrs": ["100.64.0.1/32"], "labels": {"a": "b"}}]
    before = versions(clean_api)

    result = run(clean_api, create_default=False, templates=templates)

    if clean_api.flavour == "v1-3.28.2":
        assert "create_default: False: this cluster's API has no such field" in result["msg"]
        assert "templates: ['st']: this" in run(clean_api, templates=templates)["msg"]
        assert heps(clean_api) == {}
        assert versions(clean_api)[1:] == before[1:]
        assert host_endpoint(clean_api) == {"autoCreate": "Disabled"}
        return
    assert not result["failed"], result
    assert result["summary"] == "1 of 2 nodes have an active HostEndpoint"
    assert any(f"no template fits {second}" in w for w in result["warnings"])
    (made,) = heps(clean_api).values()
    assert made["metadata"]["name"] == f"{first}-st-auto-hep"
    assert effective_labels(made)["a"] == "b"
    assert not run(clean_api, create_default=False, templates=templates)["changed"]
    # What is not named stays as it is.
    assert not run(clean_api)["changed"]
    replaced = run(clean_api, create_default=True, templates=[])
    assert replaced["summary"] == "2 of 2 nodes have an active HostEndpoint"


class Watcher:
    """Follows every HostEndpoint event, and notes each moment at which a node was less than protected."""

    def __init__(self, api, nodes) -> None:
        self._nodes = nodes
        self._heps = heps(api)
        self.events = 0
        self.winners: dict[str, list[str]] = {n: [] for n in nodes}
        self.complaints: list[str] = []
        listed = api.admin.get(api.path("HostEndpoint"))
        self._stream = api.admin.watch(
            api.path("HostEndpoint"), resourceVersion=listed["metadata"]["resourceVersion"]
        )
        self._last = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        assert self._last.wait(30)

    def _follow(self) -> None:
        for event in self._stream:
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                self._heps.pop(name, None)
            else:
                self._heps[name] = event["object"]
            if name == "end-of-test":
                self._last.set()
                return
            self.events += 1
            self._look()

    def _look(self) -> None:
        for node in self._nodes:
            winner = active_wildcard(self._heps.values(), node)
            name = winner["metadata"]["name"] if winner else ""
            if self.winners[node][-1:] != [name]:
                self.winners[node].append(name)
            if winner is None:
                self.complaints.append(f"{node} had no HostEndpoint")
            elif winner["spec"].get("profiles") != ["projectcalico-default-allow"]:
                self.complaints.append(f"{name} had no profile")
            elif effective_labels(winner).get("host-endpoint") != "ingress":
                self.complaints.append(f"{name} had not the label that policies select by")


def test_changing_mode_and_back_leaves_no_node_unprotected(clean_api, node_controller):
    names = clean_api.add_nodes(4)
    node_controller.start()
    assert run_module("host_endpoints", clean_api, labels=LABELS)["changed"]
    watcher = Watcher(clean_api, names)

    # To auto: Calico's are there, and active by their names, before ours go.
    succeed("auto_host_endpoints", clean_api, node_labels=LABELS)
    succeed("host_endpoints", clean_api, state="absent")
    assert sorted(heps(clean_api)) == [f"{n}-auto-hep" for n in names]
    # And back: ours are there before Calico's go.
    succeed("host_endpoints", clean_api, labels=LABELS)
    succeed("auto_host_endpoints", clean_api, state="disabled")
    assert sorted(heps(clean_api)) == [f"{n}-hostfence" for n in names]

    clean_api.create("HostEndpoint", "end-of-test", {"node": "none", "interfaceName": "eth0"})
    watcher.wait()
    assert watcher.complaints == []
    assert watcher.events >= 4 * len(names)
    for node in names:
        ours, calicos = f"{node}-hostfence", f"{node}-auto-hep"
        assert watcher.winners[node][-3:] == [ours, calicos, ours][-len(watcher.winners[node]) :]


@one_flavour
def test_an_environment_variable_that_wins_is_named_before_anything_is_written(clean_api, node_controller):
    clean_api.add_nodes(1)
    containers = [
        {"name": "calico-kube-controllers", "env": [{"name": "AUTO_HOST_ENDPOINTS", "value": "disabled"}]}
    ]
    strategic = "application/strategic-merge-patch+json"
    clean_api.admin.patch(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": containers}}}}, strategic)
    before = versions(clean_api)

    result = run(clean_api, node_labels=LABELS)

    assert "AUTO_HOST_ENDPOINTS=disabled of kube-controllers wins" in result["msg"]
    assert "kubectl -n calico-system set env deployment/calico-kube-controllers AUTO_HOST" in result["msg"]
    assert not result.get("changed")
    assert versions(clean_api) == before


@one_flavour
def test_an_environment_variable_that_only_the_status_tells_of(clean_api, node_controller):
    clean_api.add_nodes(1)
    node_controller.start(override="enabled")
    # It makes them whatever the configuration says: that is what was asked for, and worth a warning.
    result = run(clean_api)
    assert not result["failed"], result
    assert any("AUTO_HOST_ENDPOINTS=enabled" in w for w in result["warnings"])

    result = run(clean_api, state="disabled", allow_uncovered=True)
    assert "AUTO_HOST_ENDPOINTS=enabled of kube-controllers wins over its configuration" in result["msg"]
    assert host_endpoint(clean_api)["autoCreate"] == "Enabled"


@one_flavour
def test_a_controller_that_is_not_there_is_told_from_one_that_is_down(clean_api, tmp_path):
    clean_api.add_nodes(1)
    progress = tmp_path / "progress"
    result = run(clean_api, wait_timeout=1, progress=str(progress))
    assert progress.read_text() == "0 of 1 nodes have an active HostEndpoint"
    assert "never wrote a status: kubectl -n calico-system logs" in result["msg"]
    # What was done is said although it did not help.
    assert result["changed"]
    assert result["enabled_by_us"]

    clean_api.admin.patch(f"{DEPLOYMENT}/status", {"status": {"readyReplicas": 0, "availableReplicas": 0}})
    assert "calico-system/calico-kube-controllers has no ready pod" in run(clean_api, wait_timeout=1)["msg"]
    clean_api.admin.patch(DEPLOYMENT, {"spec": {"replicas": 0}})
    assert "has 0 replicas: kubectl -n calico-system scale" in run(clean_api, wait_timeout=1)["msg"]
    clean_api.admin.delete(DEPLOYMENT)
    assert "there is no Deployment calico-kube-controllers" in run(clean_api, wait_timeout=1)["msg"]

    unwaited = run(clean_api, wait=False)
    assert not unwaited["failed"]
    assert unwaited["summary"] == "0 of 1 nodes have an active HostEndpoint"


def pretend_running(api, **controllers):
    """What kube-controllers would say of itself, without one that would act."""
    path = api.path(KIND, "default") + ("/status" if api.kinds[KIND].has_status else "")
    api.admin.patch(path, {"status": {"runningConfig": {"controllers": controllers}}})


@one_flavour
def test_the_migrator_that_waits_for_calico_node_is_said_by_name(clean_api):
    clean_api.add_nodes(1)
    enabled = {"autoCreate": "Enabled", "createDefaultHostEndpoint": "Enabled"}
    pretend_running(clean_api, node={"hostEndpoint": enabled}, policyMigration={"enabled": "Enabled"})
    counts = dict.fromkeys(("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled"), 3)
    clean_api.admin.patch(f"{DAEMONSET}/status", {"status": {**counts, "numberUnavailable": 1}})

    result = run(clean_api, wait_timeout=1)

    assert (
        "policy-name migrator waits for the rollout of DaemonSet calico-system/calico-node (1 of 3 pods are "
        "unavailable)"
    ) in result["msg"]
    assert "policyMigration.enabled: Disabled" in result["msg"]


@one_flavour
def test_a_host_endpoint_of_somebody_else_under_a_needed_name_is_refused(clean_api):
    (name,) = clean_api.add_nodes(1)
    clean_api.create("HostEndpoint", f"{name}-auto-hep", {"node": name, "interfaceName": "*"})
    before = versions(clean_api)
    result = run(clean_api, node_labels=LABELS)
    assert f"names that it needs ({name}-auto-hep)" in result["msg"]
    assert versions(clean_api) == before


@one_flavour
def test_labels_on_nodes_are_ours_exactly(clean_api, node_controller):
    first, second = clean_api.add_nodes(2)
    clean_api.admin.patch(f"/api/v1/nodes/{first}", {"metadata": {"labels": {"tier": "theirs"}}})
    before = versions(clean_api)
    taken = run(clean_api, node_labels={"tier": "ours"})
    assert "node_labels.tier: 'ours': Node sim-0001 has it already as 'theirs'" in taken["msg"]
    assert versions(clean_api) == before

    node_controller.start()
    run(clean_api, node_labels={"tier": "theirs", "mine": "1"})
    run(clean_api, node_labels={"mine": "2"}, node_selector=f"kubernetes.io/hostname={second}")
    labels = node_labels(clean_api)
    assert labels[first]["tier"] == "theirs", "a label that somebody else set too stays"
    assert "mine" not in labels[first]
    assert "tier" not in labels[second]
    assert labels[second]["mine"] == "2"


@one_flavour
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"node_labels": {"bad key": "x"}}, "node_labels.bad key"),
        ({"node_labels": LABELS, "node_selector": "a in"}, "node_selector: 'a in'"),
        ({"node_selector": "a in"}, "node_selector: 'a in'"),
        ({"node_labels": LABELS, "node_selector": "no=such"}, "selects no node"),
        ({"wait_timeout": 0}, "wait_timeout: 0"),
        ({"create_default": False}, "create_default: False"),
        (
            {"templates": [{"generate_name": "t", "interface_cidrs": ["10.0.0.1"]}]},
            "templates[0].interface_cidrs",
        ),
        (
            {"templates": [{"generate_name": "t", "interface_pattern": "(?!x)"}]},
            "templates[0].interface_pattern",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(clean_api, options, complaint):
    clean_api.add_nodes(1)
    before = versions(clean_api)
    result = run(clean_api, **options)
    assert result["failed"]
    assert complaint in result["msg"]
    assert "\n" not in result["msg"]
    assert versions(clean_api) == before


@one_flavour
def test_without_permission_nothing_is_half_done(clean_api):
    clean_api.add_nodes(1)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    group = clean_api.kinds[KIND].group_version.split("/")[0]
    rules = [
        {"apiGroups": ["", "apps", group], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]},
    ]
    owned = {"labels": {"app.kubernetes.io/managed-by": "hostfence"}, "name": "half"}
    role = {"kind": "ClusterRole", "name": "half", "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "User", "name": "half", "apiGroup": "rbac.authorization.k8s.io"}
    clean_api.admin.post(f"{rbac}/clusterroles", {"metadata": owned, "rules": rules})
    clean_api.admin.post(
        f"{rbac}/clusterrolebindings", {"metadata": owned, "roleRef": role, "subjects": [subject]}
    )

    result = run(clean_api, node_labels=LABELS, kubeconfig=clean_api.client_kubeconfig("half"))

    assert "403" in result["msg"]
    assert "kubecontrollersconfigurations" in result["msg"]
    assert not any("host-endpoint" in labels for labels in node_labels(clean_api).values())


@one_flavour
def test_a_configuration_that_does_not_exist_is_made(clean_api):
    clean_api.add_nodes(1)
    clean_api.admin.delete(clean_api.path(KIND, "default"))
    assert run(clean_api, check=True)["changed"]
    with pytest.raises(ApiError):
        configuration(clean_api)

    assert run(clean_api, wait=False)["changed"]

    # Without a list in its environment, kube-controllers runs those that are named: none may be lost.
    named = configuration(clean_api)["spec"]["controllers"]
    assert {"namespace", "node", "policy", "serviceAccount", "workloadEndpoint"} <= named.keys()
    assert configuration(clean_api)["metadata"]["annotations"] == {NOTE: "enabled"}


@one_flavour
def test_absent_takes_away_what_is_ours_alone(clean_api, node_controller):
    clean_api.add_nodes(1)
    node_controller.start()
    enabled = {"spec": {"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled"}}}}}
    clean_api.admin.patch(clean_api.path(KIND, "default"), enabled)
    assert run(clean_api, node_labels=LABELS)["enabled_by_us"] is False

    left = run(clean_api, state="absent")
    assert left["changed"]
    assert left["enabled"]
    assert "did not enable" in left["summary"]
    assert host_endpoint(clean_api)["autoCreate"] == "Enabled"
    assert not any("host-endpoint" in labels for labels in node_labels(clean_api).values())
    assert not run(clean_api, state="absent")["changed"]

    run(clean_api, state="disabled", allow_uncovered=True)
    run(clean_api, node_labels=LABELS)
    gone = run(clean_api, state="absent", allow_uncovered=True)
    assert gone["changed"]
    assert heps(clean_api) == {}
    assert host_endpoint(clean_api)["autoCreate"] == "Disabled"
    assert NOTE not in (configuration(clean_api)["metadata"].get("annotations") or {})
