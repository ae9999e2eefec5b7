# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an installation of Calico would have put into the API before Hostfence runs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from testbed.api import Api, ApiError, Json
from testbed.crds import Kind

CALICO_VERSION = "v3.32.1"
_NAMESPACE = "calico-system"
_PLACEHOLDER = {
    "hostfence.calico/testbed-placeholder": "no pod runs: the testbed has this object so that it can be found"
}
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
    """Creates the workloads by which Calico is found on a cluster; nothing runs in them.

    The light testbed has no kubelet. Felix and kube-controllers, real or stand-ins, are processes there.
    """
    _post(
        api, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
    )
    _workload(api, "Deployment", "calico-kube-controllers", "kube-controllers", calico_version)
    _workload(api, "DaemonSet", "calico-node", "node", calico_version)
    set_placeholder_status(api, 0)


def set_placeholder_status(api: Api, nodes: int) -> None:
    """Makes the placeholders look rolled out to so many nodes."""
    apps = f"/apis/apps/v1/namespaces/{_NAMESPACE}"
    one = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 1)
    api.patch(
        f"{apps}/deployments/calico-kube-controllers/status", {"status": {**one, "observedGeneration": 1}}
    )
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady")
    status = {**dict.fromkeys(counts, nodes), "numberAvailable": nodes, "numberMisscheduled": 0}
    api.patch(f"{apps}/daemonsets/calico-node/status", {"status": {**status, "observedGeneration": 1}})


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


def _workload(api: Api, kind: str, name: str, image: str, calico_version: str) -> None:
    labels = {"k8s-app": name}
    container = {"name": name, "image": f"calico.invalid/{image}:{calico_version}"}
    body: Json = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels, "annotations": _PLACEHOLDER},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    _post(api, f"/apis/apps/v1/namespaces/{_NAMESPACE}/{kind.lower()}s", body)


def _post(api: Api, path: str, body: Json) -> None:
    try:
        api.post(path, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
