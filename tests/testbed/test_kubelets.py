# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The testbed with kubelets: pods run, nodes come and go, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.stream import stream

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from testbed import binaries  # noqa: E402
from testbed.api import Api, ApiError, Json  # noqa: E402
from testbed.errors import TestbedError  # noqa: E402
from testbed.kubelets import check_visible  # noqa: E402
from testbed.node_objects import is_ready  # noqa: E402
from testbed.process import Processes  # noqa: E402
from testbed.state import namespace_prefix  # noqa: E402

RUN = Path("/run/hostfence-testbed-test-kubelets")
PREFIX = namespace_prefix(RUN)
PODS = "/api/v1/namespaces/default/pods"
# What a kubelet and a container runtime write to when nobody keeps them from it.
MACHINE_PATHS = (
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/opt/containerd",
    "/usr/libexec/kubernetes",
    "/etc/cni",
)
MACHINE_SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
LISTENS_AND_ASKS_THE_API = """
import os, socket, ssl, time, urllib.request
listener = socket.create_server(("", 8080))
own = "/var/run/secrets/kubernetes.io/serviceaccount/"
server = "https://{KUBERNETES_SERVICE_HOST}:{KUBERNETES_SERVICE_PORT}/version".format(**os.environ)
trusted = ssl.create_default_context(cafile=own + "ca.crt")
print("answered", urllib.request.urlopen(server, context=trusted, timeout=10).status, flush=True)
time.sleep(3600)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the testbed needs root")


def run_testbed(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=ROOT,
        env={**os.environ, "HOSTFENCE_TESTBED": str(RUN)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def traces() -> dict[str, object]:
    """What kubelets and pods could leave on a machine or change in it."""
    netns = Path("/run/netns")
    ours = f"{PREFIX}-"
    return {
        "namespaces": [one.name for one in netns.iterdir() if one.name.startswith(ours)]
        if netns.is_dir()
        else [],
        "control groups": [
            str(path)
            for pattern in (f"{ours}*", f"*/{ours}*")
            for path in Path("/sys/fs/cgroup").glob(pattern)
        ],
        "mounts": [
            line.split()[1]
            for line in Path("/proc/self/mounts").read_text().splitlines()
            if ours in line or str(RUN) in line
        ],
        "processes": sorted(programs()),
        "paths": [path for path in MACHINE_PATHS if Path(path).exists()],
        "sysctls": {name: Path("/proc/sys", name).read_text() for name in MACHINE_SYSCTLS},
        "run": RUN.exists(),
        "interfaces": sorted(os.listdir("/sys/class/net")),
    }


def programs() -> Iterator[str]:
    """Processes in this testbed's network namespaces or control groups, or named with its directory."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_text()
            groups = (process / "cgroup").read_text()
        except OSError:
            continue
        if str(RUN) in command or f"/{PREFIX}-" in groups:
            yield command.replace("\0", " ")


def until(what: str, reached: Callable[[], object], seconds: int = 240) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached: {what}"
        time.sleep(0.1)


def pod(name: str, command: list[str], node: str = "") -> Json:
    """A pod as Hostfence's own: without root, rights or a writable disk."""
    container = {
        "name": "main",
        "image": os.environ["HOSTFENCE_AGENT_IMAGE"],
        "command": command,
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def start(api: Api, body: Json) -> Json:
    """Creates a pod in a namespace that has its ServiceAccount, and waits until it runs."""
    api.post(PODS, body)
    path = f"{PODS}/{body['metadata']['name']}"
    until("the pod runs", lambda: api.get(path)["status"]["phase"] == "Running")
    return api.get(path)


def in_pod(name: str, *command: str) -> str:
    core = client.CoreV1Api(config.new_client_from_config(str(RUN / "kubeconfig")))
    return stream(
        core.connect_get_namespaced_pod_exec, name, "default", command=list(command), stdout=True, stderr=True
    )


def connects(pod_name: str, address: str, port: int) -> bool:
    code = f"import socket; socket.create_connection(('{address}', {port}), 2); print('connected')"
    return in_pod(pod_name, "python3", "-c", code).strip() == "connected"


@pytest.fixture(scope="module")
def before():
    # Built here, where no time limit of ours ends it.
    binaries.locate(binaries.WITH_KUBELETS, print)
    run_testbed("down")
    return traces()


@pytest.fixture(scope="module")
def up(before):
    done = run_testbed("up", "--kubelets")
    assert done.returncode == 0, done.stderr
    exported = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
    os.environ["HOSTFENCE_AGENT_IMAGE"] = exported["HOSTFENCE_AGENT_IMAGE"]
    yield done
    run_testbed("down")


@pytest.fixture(scope="module")
def api(up):
    return Api(RUN / "kubeconfig")


@pytest.fixture(scope="module")
def running(api):
    return start(api, pod("running", ["python3", "-c", LISTENS_AND_ASKS_THE_API], "node2"))


def test_kubelets_register_ready_nodes_with_their_addresses_and_labels(api):
    nodes = {node["metadata"]["name"]: node for node in api.list("/api/v1/nodes")}

    assert set(nodes) == {"node1", "node2", "node3"}
    assert all(is_ready(node) for node in nodes.values())
    assert [
        entry["address"] for entry in nodes["node2"]["status"]["addresses"] if entry["type"] == "InternalIP"
    ] == ["10.99.0.12", "fd99::12"]
    assert nodes["node2"]["metadata"]["labels"]["topology.kubernetes.io/zone"] == "b"
    roles = [
        name
        for name, node in nodes.items()
        if any("control-plane" in key for key in node["metadata"]["labels"])
    ]
    assert roles == ["node1"]
    assert nodes["node1"]["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")


def test_calicos_place_holders_are_rolled_out(api):
    status = api.get("/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node")["status"]

    assert (status["desiredNumberScheduled"], status["numberReady"]) == (3, 3)


def test_a_pod_without_rights_runs_in_a_network_of_its_own_and_reaches_the_api(api, running):
    assert running["status"]["podIP"].startswith("10.244.2.")
    core = client.CoreV1Api(config.new_client_from_config(str(RUN / "kubeconfig")))
    until(
        "the API's answer in the log",
        lambda: core.read_namespaced_pod_log("running", "default") == "answered 200\n",
    )


def test_exec_shows_the_rights_that_the_pod_was_given(running):
    # One stream for both: what comes on two is shown in any order.
    asked = "exec 2>&1; id -u; touch /new; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status"
    shown = in_pod("running", "sh", "-c", asked)

    expected = "65532 touch: /new: Read-only file system CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2"
    assert " ".join(shown.split()) == expected


def test_pods_reach_one_another_across_nodes(api, running):
    start(api, pod("caller", ["sleep", "3600"], "node3"))

    assert connects("caller", running["status"]["podIP"], 8080)


def test_a_pods_packets_can_be_lost_and_found(running):
    assert connects("running", "10.96.0.1", 443)
    for chain in ("INPUT", "OUTPUT"):
        done = run_testbed("in-pod-network", "default", "running", "iptables", "-A", chain, "-j", "DROP")
        assert done.returncode == 0, done.stderr
    assert not connects("running", "10.96.0.1", 443)
    run_testbed("in-pod-network", "default", "running", "iptables", "-F")
    assert connects("running", "10.96.0.1", 443)


def test_a_kubelet_asks_who_is_there(api, running):
    code = (
        "import ssl, urllib.request, urllib.error\n"
        "context = ssl._create_unverified_context()\n"
        "try: urllib.request.urlopen('https://10.99.0.12:10250/pods', context=context, timeout=5)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )

    assert in_pod("running", "python3", "-c", code).strip() == "401"


def test_a_node_joins_with_its_kubelet_and_leaves(api):
    added = run_testbed("add-node")
    assert added.returncode == 0, added.stderr
    assert is_ready(api.get("/api/v1/nodes/node4"))
    start(api, pod("on-the-new-node", ["sleep", "3600"], "node4"))

    removed = run_testbed("remove-node", "node4")

    assert removed.returncode == 0, removed.stderr
    with pytest.raises(ApiError, match="NotFound"):
        api.get("/api/v1/nodes/node4")
    assert not api.list("/api/v1/pods", fieldSelector="spec.nodeName=node4")
    assert not [group for group in traces()["control groups"] if group.endswith("-node4")]
    assert run_testbed("status").returncode == 0


def test_a_killed_kubelet_comes_back_to_its_pods(api, running):
    assert run_testbed("stop-kubelet", "node2").returncode == 0
    assert run_testbed("stop-kubelet", "node2").stderr == "testbed: no kubelet runs on node2\n"
    assert [command for command in programs() if "time.sleep(3600)" in command]

    assert run_testbed("start-kubelet", "node2").returncode == 0

    until("exec", lambda: _ran("running"))
    container = api.get(f"{PODS}/running")["status"]["containerStatuses"][0]
    assert container["restartCount"] == 0
    assert container["state"]["running"] == running["status"]["containerStatuses"][0]["state"]["running"]


def _ran(name: str) -> bool:
    try:
        return "65532" in in_pod(name, "id", "-u")
    except client.ApiException:
        return False


def test_the_api_server_comes_back_and_goes_on(api, running):
    assert run_testbed("stop-api").returncode == 0
    assert api.unready()
    assert "start-api" in run_testbed("status").stderr

    assert run_testbed("start-api").returncode == 0

    start(api, pod("later", ["sleep", "3600"]))


def test_further_node_objects_are_refused(before):
    done = run_testbed("up", "--kubelets", "--extra-node-objects", "5")

    assert done.returncode == 1
    assert done.stderr.startswith("testbed: --extra-node-objects: ")


@pytest.mark.parametrize("hidden", ["/run/cache", "/var/run/cache", "/var/lib/someone/.cache"])
def test_programs_that_no_node_can_see_are_refused(hidden):
    check_visible([Path("/usr/bin/kubelet")])

    with pytest.raises(TestbedError, match="XDG_CACHE_HOME"):
        check_visible([Path(hidden)])


def test_down_leaves_nothing(before, up):
    running = Processes(RUN).all()
    assert {"kubelet-node1", "containerd-node3", "kube-scheduler"} <= {process.name for process in running}
    assert traces()["control groups"]

    down = run_testbed("down")

    assert down.returncode == 0, down.stderr
    assert traces() == before


def test_a_killed_up_can_be_taken_down(before):
    starting = subprocess.Popen(
        [sys.executable, "-m", "testbed", "up", "--kubelets"],
        cwd=ROOT,
        env={**os.environ, "HOSTFENCE_TESTBED": str(RUN)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until("a kubelet", lambda: Processes(RUN).get("kubelet-node3"))
    starting.kill()
    starting.communicate(timeout=60)

    assert run_testbed("down").returncode == 0
    assert traces() == before
