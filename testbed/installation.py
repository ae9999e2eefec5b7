# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an installation of Calico would have put into the API before Hostfence runs."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

from testbed.api import Api, ApiError, Json
from testbed.crds import Kind
from testbed.errors import TestbedError

CALICO_VERSION = "v3.32.1"
_NAMESPACE = "calico-system"
_PLACEHOLDER = {
    "hostfence.calico/testbed-placeholder": "does nothing: the testbed has it so that it can be found"
}
# Kind -> name and image.
_WORKLOADS = {
    "Deployment": ("calico-kube-controllers", "kube-controllers"),
    "DaemonSet": ("calico-node", "node"),
}
_APPS = f"/apis/apps/v1/namespaces/{_NAMESPACE}"
_ROLLED_OUT_SECONDS = 60
_TIERS = {
    "kube-admin": {"order": 1000, "defaultAction": "Pass"},
    "default": {"order": 1000000, "defaultAction": "Deny"},
    "kube-baseline": {"order": 10000000, "defaultAction": "Pass"},
}


def version_of(source: str) -> str:
    """The Calico version that a directory of definitions says it is of, else the one ours follow."""
    named = re.search(r"(\d+\.\d+\.\d+)/?$", source)
    return f"v{named[1]}" if named else CALICO_VERSION


def create_defaults(api: Api, kinds: Mapping[str, Kind], calico_version: str) -> None:
    """Creates the objects that calico-node and kube-controllers make when they start.

    :param kinds: what the definitions serve; kinds that are not there are left out
    """
    cluster = {
        "calicoVersion": calico_version,
        "clusterGUID": uuid.uuid4().hex,
        "clusterType": "k8s,kdd",
        "datastoreReady": True,
    }
    _create(api, kinds, "ClusterInformation", "default", cluster)
    for name, spec in _TIERS.items():
        _create(api, kinds, "Tier", name, spec)
    _create(api, kinds, "FelixConfiguration", "default", {})
    if controllers := kinds.get("KubeControllersConfiguration"):
        _create(api, kinds, controllers.name, "default", {"controllers": _controllers(controllers)})


def create_placeholders(api: Api, calico_version: str) -> None:
    """Creates the workloads by which Calico is found on a cluster; they do nothing.

    Felix and kube-controllers, real or stand-ins, are processes of the nodes and of the fabric. Without
    kubelets no pod runs at all; with them the pods only wait.
    """
    _post(
        api, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
    )
    for kind, (name, _image) in _WORKLOADS.items():
        _workload(api, kind, name, _image_name(kind, calico_version))


def placeholder_images(calico_version: str) -> list[str]:
    """The images that the place holders name."""
    return [_image_name(kind, calico_version) for kind in _WORKLOADS]


def wait_for_placeholders(api: Api, nodes: int) -> None:
    """Waits until the place holders' pods are ready, one of them on each node.

    :raises TestbedError: they do not become so
    """
    deadline = time.monotonic() + _ROLLED_OUT_SECONDS
    while True:
        daemon_set = api.get(f"{_APPS}/daemonsets/calico-node")["status"]
        deployment = api.get(f"{_APPS}/deployments/calico-kube-controllers")["status"]
        if daemon_set.get("numberReady", 0) >= nodes and deployment.get("readyReplicas"):
            return
        if time.monotonic() > deadline:
            raise TestbedError(
                f"pods in {_NAMESPACE} are not ready after {_ROLLED_OUT_SECONDS} s: {_why_not_ready(api)}"
            )
        time.sleep(0.2)


def _why_not_ready(api: Api) -> str:
    """The pods that are not ready, each with what is said of it."""
    reasons = []
    for pod in api.list(f"/api/v1/namespaces/{_NAMESPACE}/pods"):
        conditions = {c["type"]: c for c in pod["status"].get("conditions") or []}
        waiting = [
            state
            for container in pod["status"].get("containerStatuses") or []
            if (state := (container.get("state") or {}).get("waiting"))
        ]
        unmet = [
            condition
            for kind in ("PodScheduled", "Ready")
            if (condition := conditions.get(kind, {})).get("status") != "True"
        ]
        for said in (waiting or unmet)[:1]:
            why = said.get("message") or said.get("reason") or "no reason is given yet"
            reasons.append(f"{pod['metadata']['name']}: {why}")
    return "; ".join(reasons) or "no pod of theirs exists"


def set_placeholder_status(api: Api, nodes: int) -> None:
    """Makes the placeholders look rolled out to so many nodes, where no controller does that."""
    one = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 1)
    api.patch(
        f"{_APPS}/deployments/calico-kube-controllers/status", {"status": {**one, "observedGeneration": 1}}
    )
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady")
    status = {**dict.fromkeys(counts, nodes), "numberAvailable": nodes, "numberMisscheduled": 0}
    api.patch(f"{_APPS}/daemonsets/calico-node/status", {"status": {**status, "observedGeneration": 1}})


def _controllers(kind: Kind) -> Json:
    controllers: Json = {"node": {"hostEndpoint": {"autoCreate": "Disabled"}}}
    known = kind.schema["properties"]["spec"]["properties"]["controllers"].get("properties", {})
    # Enabled, the migrator waits for a calico-node DaemonSet that has rolled out, and no HostEndpoint is made
    # until then.
    if "policyMigration" in known:
        controllers["policyMigration"] = {"enabled": "Disabled"}
    return controllers


def _create(api: Api, kinds: Mapping[str, Kind], kind: str, name: str, spec: Json) -> None:
    if known := kinds.get(kind):
        body = {"apiVersion": known.group_version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        _post(api, known.path, body)


def _image_name(kind: str, calico_version: str) -> str:
    return f"calico.invalid/{_WORKLOADS[kind][1]}:{calico_version}"


def _workload(api: Api, kind: str, name: str, image: str) -> None:
    labels = {"k8s-app": name}
    pod = {"containers": [{"name": name, "image": image}], "tolerations": [{"operator": "Exists"}]}
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels, "annotations": _PLACEHOLDER},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**pod, "hostNetwork": True}},
        },
    }
    _post(api, f"{_APPS}/{kind.lower()}s", body)


def _post(api: Api, path: str, body: Json) -> None:
    try:
        api.post(path, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
