# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the agent as its pod would, without a kubelet: the same files and rights, a token of a real pod."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import urllib3
import yaml
from role_run import ROOT, end_of, start_playbook

from testbed.control_plane import free_ports

NAMESPACE = "hostfence-agents"
POLICY = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/hep-vap"
BINDING = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/hep-vap"
SHARED = (
    "address.py",
    "bad_input.py",
    "host_endpoint.py",
    "host_endpoint_auto.py",
    "host_endpoint_plan.py",
    "metadata_annotation.py",
    "selector.py",
)
OURS = "app.kubernetes.io/managed-by=hostfence"
COLLECTIONS = (
    "/api/v1/namespaces",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
)
# What ansible-playbook applied once is applied by copying it afterwards, which is ten times as fast.
_APPLIED: dict[Any, list[tuple[str, dict[str, Any]]]] = {}
DAEMONSET = ("agent_namespace", "own_node_policy", "daemonset_rights", "agent_program")
JOB = ("agent_namespace", "job_rights", "agent_program")


def apply_objects(api: Any, mode: str = "daemonset", **variables: Any) -> None:
    """What the role puts into the cluster before the pods."""
    templates = DAEMONSET if mode == "daemonset" else JOB
    key = (api.flavour, mode, json.dumps(variables, sort_keys=True))
    if key in _APPLIED:
        for collection, body in _APPLIED[key]:
            api.admin.post(collection, body)
        return
    with tempfile.TemporaryDirectory(prefix="hostfence-objects-") as directory:
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            },
            "tasks": [
                {
                    "ansible.builtin.include_role": {
                        "name": "hostfence.calico.host_endpoints",
                        "tasks_from": "agents",
                        "public": True,
                    }
                },
                {
                    "hostfence.calico.host_endpoint_agents": {
                        "definitions": "{{ host_endpoints_daemonset_objects }}"
                    },
                    # Of which the variable makes the way to the role's templates; it is that of any role.
                    "vars": {"role_path": str(ROOT / "roles/host_endpoints")},
                },
            ],
        }
        path = Path(directory) / "play.json"
        path.write_text(json.dumps([play]))
        given = {
            "host_endpoints_mode": mode,
            "__host_endpoints_daemonset_templates": list(templates),
            **variables,
        }
        done = end_of(start_playbook(api.kubeconfig, path, **given))
    assert done.code == 0, done.output
    _APPLIED[key] = [
        (path, _new(item)) for path in COLLECTIONS for item in api.admin.list(path, labelSelector=OURS)
    ]


def _new(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored object as it was sent."""
    kept = {k: v for k, v in stored["metadata"].items() if k in ("name", "namespace", "labels")}
    return {**{k: v for k, v in stored.items() if k != "status"}, "metadata": kept}


def program(directory: Path, config: dict[str, Any] | str) -> Path:
    """The package as the ConfigMap mounts it; returns its parent."""
    package = directory / "agent"
    package.mkdir()
    for source in (ROOT / "roles/host_endpoints/files/agent").glob("*.py"):
        shutil.copy(source, package)
    for name in SHARED:
        shutil.copy(ROOT / "plugins/module_utils/calico" / name, package)
    text = config if isinstance(config, str) else json.dumps(config)
    (package / "config.json").write_text(text)
    return directory


def config_of(api: Any, mode: str = "daemonset") -> dict[str, Any]:
    """The configuration that the role wrote."""
    name = "hep-cm" if mode == "daemonset" else "hep-job"
    stored = api.admin.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}")
    return json.loads(stored["data"]["config.json"])


def token(api: Any, node: str, account: str = "hep-sa") -> str:
    """A token bound to a pod on a node, as the kubelet would fetch it: it names the node."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "hep-ds-"},
        "spec": {
            "nodeName": node,
            "serviceAccountName": account,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "agent",
                    "image": "none",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    metadata = api.admin.post(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)["metadata"]
    bound_to = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600, "boundObjectRef": bound_to},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
    return api.admin.post(path, request)["status"]["token"]


def authority(api: Any) -> str:
    """The certificate that the API server's was signed with."""
    cluster = yaml.safe_load(Path(api.kubeconfig).read_text())["clusters"][0]["cluster"]
    return base64.b64decode(cluster["certificate-authority-data"]).decode()


class Busy:
    """Keeps the API server at work on requests of one ServiceAccount, as long as it is entered.

    :ivar refused: how many it has refused so far because there were too many at once
    """

    THREADS = 6

    def __init__(self, api: Any, path: str, bearer: str) -> None:
        self._url = api.admin.server + path
        # Connected all the time: while it shakes hands, a client keeps nobody busy.
        self._pool = urllib3.PoolManager(
            maxsize=self.THREADS,
            retries=False,
            headers={"Authorization": f"Bearer {bearer}"},
            ssl_context=ssl.create_default_context(cadata=authority(api)),
        )
        self._over = threading.Event()
        self.refused = 0
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(self.THREADS)]

    def __enter__(self) -> Busy:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            self.refused += self._pool.request("GET", self._url).status == 429


def replaces(api: Any, bearer: str, path: str, body: dict[str, Any]) -> int:
    """The status with which an object would be replaced by who has a token."""
    request = urllib.request.Request(
        f"{api.admin.server}{path}?dryRun=All",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(
            request, context=ssl.create_default_context(cadata=authority(api))
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


class Agent:
    """One running agent.

    :ivar credentials: directory of its token and CA, to be changed while it runs
    """

    def __init__(
        self,
        api: Any,
        directory: Path,
        node: str,
        task: str = "keep",
        config: dict[str, Any] | str | None = None,
        environment: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        mode = "daemonset" if task == "keep" else "job"
        place = program(directory, config_of(api, mode) if config is None else config)
        self.credentials = directory / "serviceaccount"
        self.credentials.mkdir()
        account = "hep-sa" if task == "keep" else "hep-job"
        (self.credentials / "token").write_text(token(api, node, account))
        (self.credentials / "ca.crt").write_text(authority(api))
        (self._port,) = free_ports(1)
        self._log = directory / "log"
        host, _colon, port = api.admin.server.removeprefix("https://").rpartition(":")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(python, "-B", "-m", "agent", task),
                    *("--credentials", str(self.credentials)),
                    *("--health-port", str(self._port)),
                ],
                cwd=place,
                env={
                    "PATH": os.environ["PATH"],
                    "NODE_NAME": node,
                    "KUBERNETES_SERVICE_HOST": host,
                    "KUBERNETES_SERVICE_PORT": port,
                    **(environment or {}),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def lines(self) -> list[dict[str, Any]]:
        """The log."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines()]

    def answers(self, path: str) -> int:
        """HTTP status of a probe."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def is_ready(self) -> bool:
        return self.answers("ready") == 200

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
