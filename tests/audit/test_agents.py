# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Agents of audit_mode daemonset: the command of the pod, in a node's network, with the one capability.

No kubelet runs here, so the pods' files, identity and capability are made as one would make them.
"""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from audited_cluster import RUN, AuditedCluster, Connections, wait_for

from testbed.api import Api, ApiError
from testbed.fabric import API_ADDRESS, API_PORT

NAMESPACE = "hostfence-audit"
AGENTS = {"audit_mode": "daemonset", "audit_agent_publish_seconds": 1}
TABLE = "hostfence_flows"


@pytest.fixture(scope="module")
def api(cluster: AuditedCluster) -> Iterator[Api]:
    cluster.policies("absent")
    cluster.playbook("audit", audit_state="started", **AGENTS)
    found = Api(RUN / "kubeconfig")
    yield found
    # As kube-controller-manager would, which does not run here.
    namespace = found.get(f"/api/v1/namespaces/{NAMESPACE}")
    namespace["spec"] = {"finalizers": []}
    found.put(f"/api/v1/namespaces/{NAMESPACE}/finalize", namespace)


def pod_of(api: Api, node: str) -> dict[str, Any]:
    """A pod as the DaemonSet controller makes it."""
    made = api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{NAMESPACE}")["spec"]["template"]
    metadata = {**made["metadata"], "generateName": "audit-"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**made["spec"], "nodeName": node},
    }
    return api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)


def credentials(api: Api, pod: dict[str, Any], directory: Path) -> Path:
    """The token and CA that a kubelet would mount."""
    bound_to = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"]}
    bound_to["uid"] = pod["metadata"]["uid"]
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600, "boundObjectRef": bound_to},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAMESPACE}/token"
    directory.mkdir()
    (directory / "token").write_text(api.post(path, request)["status"]["token"])
    (directory / "ca.crt").write_bytes(base64.b64decode(_kubeconfig()["certificate-authority-data"]))
    return directory


def _kubeconfig() -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((RUN / "kubeconfig").read_text())["clusters"][0]["cluster"]
    return found


class Agent:
    """The pod's command, while the context lasts."""

    def __init__(self, cluster: AuditedCluster, api: Api, node: str, directory: Path) -> None:
        pod = pod_of(api, node)
        container = pod["spec"]["containers"][0]
        volume = pod["spec"]["volumes"][0]["configMap"]
        files = api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{volume['name']}")["data"]
        for item in volume["items"]:
            path = directory / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[item["key"]])
        config = json.loads(files["agent.config.json"])
        (directory / "config.json").write_text(json.dumps({**config, "read_seconds": 1}))
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
        self.credentials = credentials(api, pod, directory / "serviceaccount")
        self._process = subprocess.Popen(
            [
                *cluster.inside(node),
                "setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all", "--no-new-privs",
                sys.executable, *container["command"][1:],
                "--config", str(directory / "config.json"), "--credentials", str(self.credentials),
            ],
            cwd=directory,
            env={
                "NODE_NAME": node,
                "KUBERNETES_SERVICE_HOST": API_ADDRESS,
                "KUBERNETES_SERVICE_PORT": str(API_PORT),
            },
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def __enter__(self) -> Agent:
        assert self._process.stdout
        assert "observing the flows" in self._process.stdout.readline()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._process.kill()
        self._process.communicate()

    def capabilities(self) -> set[str]:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return {line.split()[1] for line in status.splitlines() if line.startswith(("CapEff", "CapBnd"))}


def published(api: Api, node: str) -> dict[str, Any]:
    try:
        stored = api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/flows-{node}")
    except ApiError:
        return {"flows": []}
    found: dict[str, Any] = json.loads(
        gzip.decompress(base64.b64decode(stored["binaryData"]["flows.json.gz"]))
    )
    return found


def test_an_agent_with_one_capability_publishes_the_flows_of_its_node(
    cluster: AuditedCluster, api: Api, tmp_path: Path
) -> None:
    node, other = cluster.node, cluster.other

    def seen() -> dict[tuple[str, int], dict[str, Any]]:
        return {
            (record["flow"]["source"], record["flow"].get("destination_port")): record["seen"]
            for record in published(api, node.name)["flows"]
            if record["flow"]["direction"] == "ingress"
        }

    with Agent(cluster, api, node.name, tmp_path) as agent:
        # 12: CAP_NET_ADMIN
        assert agent.capabilities() == {f"{1 << 12:016x}"}
        flow = Connections(other.name, other.ipv4, node.ipv4, 7002, 5)
        cluster.connect([flow])
        wait_for(lambda: flow.flow in seen() and seen()[flow.flow]["count"] == 5)
        first = seen()[flow.flow]
        assert first["interface_by"] == "hook"
        cluster.connect([flow])
        wait_for(lambda: seen()[flow.flow]["count"] == 10)
        assert seen()[flow.flow]["first"] == first["first"] <= first["last"] < seen()[flow.flow]["last"]

        window = published(api, node.name)["window"]
        assert window["complete"], window
        told = cluster.playbook("audit", audit_state="collected", **AGENTS)
        assert "flows of 1 nodes" in told
        kept = json.loads((cluster.scratch / "audit" / "flows" / f"{node.name}.json").read_text())
        assert kept["mode"] == "agent"
        # Nobody else can take the table away, and it goes with its process.
        netfilter = [*cluster.inside(node.name), "nft"]
        assert subprocess.run([*netfilter, "delete", "table", "inet", TABLE], check=False).returncode
        subprocess.run([*netfilter, "flush", "ruleset"], check=False)
        assert TABLE in subprocess.run([*netfilter, "list", "tables"], capture_output=True, text=True).stdout
    assert TABLE not in subprocess.run([*netfilter, "list", "tables"], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("flows-{other}", {}, "its own node only"),
        ("kube-root-ca.crt", {}, "its own node only"),
        ("flows-{node}", {"data": {"more": "x"}}, "at most 49152 bytes"),
        (
            "flows-{node}",
            {"binaryData": {"flows.json.gz": base64.b64encode(bytes(49153)).decode()}},
            "at most",
        ),
        ("flows-{node}", {"labels": {"app.kubernetes.io/managed-by": "somebody"}}, "no labels but its own"),
    ],
)
def test_an_agent_may_publish_nothing_else(
    cluster: AuditedCluster, api: Api, tmp_path: Path, name: str, change: dict[str, Any], why: str
) -> None:
    node, other = cluster.node.name, cluster.other.name
    token = (credentials(api, pod_of(api, node), tmp_path / "credentials") / "token").read_text()
    called = name.format(node=node, other=other)
    labels = {"app.kubernetes.io/managed-by": "hostfence", "hostfence.io/mode": "audit"}
    metadata = {"name": called, "labels": change.pop("labels", labels)}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **change}
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{called}"

    status, answer = asked(token, "PATCH", f"{path}?fieldManager=hostfence&force=true", body)

    assert (status, why in answer) == (403 if "kube" not in called else status, True), answer
    assert asked(token, "GET", path)[0] == 403
    assert asked(token, "GET", "/api/v1/nodes")[0] == 403


def asked(token: str, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    cluster = _kubeconfig()
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    request = urllib.request.Request(
        cluster["server"] + path,
        json.dumps(body).encode() if body else None,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_taken_away_nothing_of_the_agents_is_left(cluster: AuditedCluster, api: Api) -> None:
    # No kubelet is there to say that they have ended.
    api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods", gracePeriodSeconds="0")
    api.post(
        f"/api/v1/namespaces/{NAMESPACE}/configmaps",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "flows-n1",
                "labels": {"app.kubernetes.io/managed-by": "hostfence", "hostfence.io/mode": "audit"},
            },
        },
    )
    assert not cluster.module("host_endpoint_agents", state="absent")["changed"]

    leave = {"state": "absent", "modes": ["audit"], "wait_timeout": 1}
    removed = cluster.module("host_endpoint_agents", **leave)["objects"]

    assert removed[0] == f"RoleBinding {NAMESPACE}/{NAMESPACE}"
    assert f"ConfigMap {NAMESPACE}/flows-n1" in removed
    for path in (
        "/apis/apps/v1/daemonsets",
        "/apis/rbac.authorization.k8s.io/v1/roles",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    ):
        assert not api.list(path, labelSelector="hostfence.io/mode=audit")
