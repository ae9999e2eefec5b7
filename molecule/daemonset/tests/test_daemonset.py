# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Agents on real kubelets: what their pods are and may do, and what becomes of HostEndpoints in trouble."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import Cluster

from testbed.api import Api, ApiError
from testbed.cluster import Testbed
from testbed.state import run_directory

testinfra_hosts = ["ansible://nodes"]
NODES = ("node1", "node2", "node3")
HEPS = "/apis/crd.projectcalico.org/v1/hostendpoints"
PODS = "/api/v1/namespaces/hostfence-agents/pods"
ATTEMPTS = Path(__file__).parents[3] / "tests/integration/agent_attempts.py"
# What it may take to be back after somebody edited or deleted it.
BACK_SECONDS = 5
# What it may take after packets that were lost for minutes pass again.
HEALED_SECONDS = 90
# After this long an agent must have noticed that nobody answers.
NOTICED_SECONDS = 55


@pytest.fixture(scope="module")
def testbed():
    return Testbed(run_directory(), print)


@pytest.fixture(scope="module")
def api():
    return Api(run_directory() / "kubeconfig")


@pytest.fixture(scope="module")
def cluster():
    return Cluster.of_options({"kubeconfig": str(run_directory() / "kubeconfig")})


@pytest.fixture(scope="module", autouse=True)
def lost(testbed, api):
    """From the first test on node3's agent loses all packets, without a word; a late one lets them pass."""
    command = testbed.in_pod_network("hostfence-agents", pod_of(api, "node3")["metadata"]["name"])

    def firewall(*arguments):
        subprocess.run([*command, "iptables", *arguments], check=True)

    for chain in ("INPUT", "OUTPUT"):
        firewall("-A", chain, "-j", "DROP")
    lost_at = time.monotonic()
    api.delete(f"{HEPS}/node3-hostfence")
    healed = []

    def heal():
        while time.monotonic() < lost_at + NOTICED_SECONDS:
            time.sleep(1)
        assert find(api, "node3") is None
        healed.append(datetime.now(timezone.utc).isoformat())
        firewall("-F")
        return healed[0]

    yield heal
    if not healed:
        firewall("-F")


def pod_of(api, node):
    selector = {"labelSelector": "app.kubernetes.io/name=hep-ds", "fieldSelector": f"spec.nodeName={node}"}
    (pod,) = [p for p in api.list(PODS, **selector) if "deletionTimestamp" not in p["metadata"]]
    return pod


def log_of(cluster, pod):
    lines = cluster.text(f"{PODS}/{pod['metadata']['name']}/log").splitlines()
    return [json.loads(line) for line in lines]


def find(api, node):
    try:
        return api.get(f"{HEPS}/{node}-hostfence")
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def eventually(seen, seconds):
    begun = time.monotonic()
    while not seen():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s"
        time.sleep(0.1)


def test_the_pod_has_no_privilege(host, api):
    pod = pod_of(api, host.check_output("hostname"))
    assert not any(pod["spec"].get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC"))
    assert {kind for volume in pod["spec"]["volumes"] for kind in volume} == {
        "name",
        "configMap",
        "projected",
    }
    pid = host.check_output("pgrep -f -o 'python3 -B -m agent keep'")
    status = dict(
        line.split(":\t", 1)
        for line in host.check_output(f"cat /proc/{pid}/status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert {status[f"Cap{which}"] for which in ("Eff", "Bnd", "Prm", "Inh", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    root = next(m for m in host.check_output(f"cat /proc/{pid}/mounts").splitlines() if m.split()[1] == "/")
    assert "ro" in root.split()[3].split(",")


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_back_after_it_was_edited_or_deleted(api, node):
    wanted = find(api, node)
    # Not profiles or interface: a Felix would cut the agent off for as long as they are wrong.
    wrong = {"metadata": {"labels": {"host-endpoint": "x"}}, "spec": {"expectedIPs": ["192.0.2.1"]}}
    api.patch(f"{HEPS}/{node}-hostfence", wrong)
    eventually(lambda: find(api, node)["spec"] == wanted["spec"], BACK_SECONDS)
    assert find(api, node)["metadata"]["labels"] == wanted["metadata"]["labels"]
    api.delete(f"{HEPS}/{node}-hostfence")
    eventually(lambda: find(api, node) is not None, BACK_SECONDS)
    assert find(api, node)["spec"] == wanted["spec"]


def test_everything_else_is_refused_from_inside_a_pod(api, cluster):
    """The whole list, by a pod of the agents' ServiceAccount on node1, about node2."""
    config_map = {"metadata": {"name": "attempts"}, "data": {"attempts.py": ATTEMPTS.read_text()}}
    api.post("/api/v1/namespaces/hostfence-agents/configmaps", config_map)
    spec = pod_of(api, "node1")["spec"]
    agent = spec["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        del agent[probe]
    agent["command"] = ["python3", "-B", "/opt/attempts/attempts.py"]
    agent["env"] += [
        {"name": "PYTHONPATH", "value": "/opt/hostfence"},
        {"name": "OTHER_NODE", "value": "node2"},
    ]
    agent["volumeMounts"].append({"name": "attempts", "mountPath": "/opt/attempts"})
    spec["volumes"].append({"name": "attempts", "configMap": {"name": "attempts"}})
    spec["restartPolicy"] = "Never"
    for name in ("node1", "node2"):
        labels = {"enforced": "yes", "node-role.kubernetes.io/control-plane": ""}
        api.patch(f"{HEPS}/{name}-hostfence", {"metadata": {"labels": labels}})
    api.post(PODS, {"metadata": {"name": "attempts"}, "spec": spec})
    eventually(lambda: api.get(f"{PODS}/attempts")["status"]["phase"] in ("Succeeded", "Failed"), 60)
    *attempts, count = [json.loads(line) for line in cluster.text(f"{PODS}/attempts/log").splitlines()]
    assert [attempt for attempt in attempts if attempt["status"] != 403] == []
    assert count["refused"] == count["of"] == len(attempts) > 40
    api.delete(f"{PODS}/attempts")
    api.delete("/api/v1/namespaces/hostfence-agents/configmaps/attempts")


def test_works_on_while_its_kubelet_is_dead(testbed, api):
    testbed.stop_kubelet("node2")
    try:
        api.delete(f"{HEPS}/node2-hostfence")
        eventually(lambda: find(api, "node2") is not None, BACK_SECONDS)
    finally:
        testbed.start_kubelet("node2")


def test_a_killed_pod_is_replaced_and_finds_all_well(api, cluster):
    killed, version = pod_of(api, "node1"), find(api, "node1")["metadata"]["resourceVersion"]
    api.delete(f"{PODS}/{killed['metadata']['name']}")

    def is_back():
        pods = api.list(
            PODS, labelSelector="app.kubernetes.io/name=hep-ds", fieldSelector="spec.nodeName=node1"
        )
        fresh = [p for p in pods if p["metadata"]["uid"] != killed["metadata"]["uid"]]
        return any(
            c["type"] == "Ready" and c["status"] == "True" for p in fresh for c in p["status"]["conditions"]
        )

    eventually(is_back, 60)
    assert find(api, "node1")["metadata"]["resourceVersion"] == version
    assert len(log_of(cluster, pod_of(api, "node1"))) == 1


def test_takes_the_token_that_replaces_its_old_one(host, api):
    name = host.check_output("hostname")
    if name != "node1":
        pytest.skip("one node is enough")
    pod = pod_of(api, name)["metadata"]
    volumes = f"/var/lib/kubelet/pods/{pod['uid']}/volumes/kubernetes.io~projected"

    def write(text):
        token = host.check_output(f"readlink -f {volumes}/*/token")
        host.check_output(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d > {token}")

    bound_to = {"kind": "Pod", "apiVersion": "v1", "name": pod["name"], "uid": pod["uid"]}
    request = {"spec": {"expirationSeconds": 3600, "boundObjectRef": bound_to}}
    path = "/api/v1/namespaces/hostfence-agents/serviceaccounts/hep-sa/token"
    fresh = api.post(path, request)["status"]["token"]

    def is_shut_out():
        write("worth nothing any more")
        api.delete(f"{HEPS}/{name}-hostfence")
        time.sleep(2)
        found = find(api, name)
        if host.check_output(f"cat {volumes}/*/token") != "worth nothing any more":
            # The kubelet has put the file right meanwhile, so nothing was tried.
            return False
        assert found is None
        return True

    assert any(is_shut_out() for _attempt in range(3))
    write(fresh)
    eventually(lambda: find(api, name) is not None, 60)


def test_a_connection_that_died_in_silence_is_replaced(api, cluster, lost):
    healed_at = lost()
    eventually(lambda: find(api, "node3") is not None, HEALED_SECONDS)
    lines = log_of(cluster, pod_of(api, "node3"))
    found = [line for line in lines if line["message"] == "lost the watch, trying again"]
    assert {line["watch"] for line in found} == {"Node", "HostEndpoint"}
    # Nobody but its own kernel can have told it so.
    assert all(line["time"] < healed_at for line in found[:2])


def test_all_are_back_after_the_api_server_was_restarted(testbed, api):
    testbed.stop_api()
    testbed.start_api()
    for node in NODES:
        api.delete(f"{HEPS}/{node}-hostfence")
    eventually(lambda: all(find(api, node) for node in NODES), 60)
