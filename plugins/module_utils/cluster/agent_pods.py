# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far the agents' pods are, and in their own words why not further."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..calico.node_object import is_true
from .client import ApiError, Cluster, ClusterError, Object
from .host_endpoints import NODES

DAEMONSET_KIND, JOB_KIND = "DaemonSet", "Job"
POLL_SECONDS = 1
# Progress is not reported more often than this, or a large cluster would fill the screen.
TELL_SECONDS = 5
LOG_LINES = 20
_SHOWN = 3
_OLD = "its agent is still the one of before"
_NUMBER, _HASH = "pod-template-generation", "controller-revision-hash"

_COLLECTIONS = {
    DAEMONSET_KIND: "/apis/apps/v1/namespaces/{}/daemonsets",
    JOB_KIND: "/apis/batch/v1/namespaces/{}/jobs",
}


@dataclass(frozen=True)
class AgentWorkload:
    """A DaemonSet or Job of Hostfence's agents."""

    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return f"{_COLLECTIONS[self.kind].format(self.namespace)}/{self.name}"

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"


@dataclass(frozen=True)
class Waiting:
    """A pod that is not where it should be.

    :ivar reason: what the kubelet, the scheduler or the agent itself says
    """

    node: str
    pod: str
    reason: str


@dataclass(frozen=True)
class Rollout:
    """How far a workload is.

    :ivar ready: nodes whose agent is of the present version and ready; for a job, pods that succeeded
    :ivar total: nodes that are to have one; for a job 1
    :ivar without_pod: nodes on which there is not even a pod; for a job 1 where it has none
    :ivar failed: it will get no further
    :ivar left_out: nodes that are not Ready, and so are not waited for
    :ivar log: what a job wrote
    """

    ready: int
    total: int
    finished: bool
    without_pod: int = 0
    failed: bool = False
    waiting: Sequence[Waiting] = ()
    left_out: Sequence[str] = ()
    log: Sequence[str] = ()

    @property
    def summary(self) -> str:
        return f"{self.ready} of {self.total} nodes"


def wait(cluster: Cluster, workload: AgentWorkload, seen: int, patience: float) -> Rollout:
    """Wait until there is something to tell: more nodes than those seen, or the end.

    :param seen: how many nodes were ready in the last report
    :param patience: seconds without progress after which it gives up
    :raises ClusterError: no progress, or none to be expected; with the pods' own reasons
    """
    begun = progressed = time.monotonic()
    last = seen = max(seen, 0)
    while True:
        found = read(cluster, workload)
        now = time.monotonic()
        if found.ready != last:
            last, progressed = found.ready, now
        if found.finished or (found.ready > seen and now - begun >= TELL_SECONDS):
            return found
        if found.failed or now - progressed >= patience:
            raise ClusterError(_given_up(cluster, workload, found, patience))
        time.sleep(POLL_SECONDS)


def read(cluster: Cluster, workload: AgentWorkload) -> Rollout:
    """How far a workload is now.

    :raises ApiError: it does not exist
    """
    stored = cluster.get(workload.path)
    selector = f"app.kubernetes.io/name={workload.name}"
    pods = list(cluster.list(workload.pods, labelSelector=selector))
    if workload.kind == JOB_KIND:
        return _job(cluster, workload, stored, pods)
    return _daemonset(cluster, stored, pods)


def _daemonset(cluster: Cluster, stored: Object, pods: Sequence[Object]) -> Rollout:
    status = stored.get("status") or {}
    nodes = {str(n["metadata"]["name"]): is_true(n, "Ready") for n in cluster.list(NODES)}
    left_out = sorted({_node_of(p) for p in pods if not nodes.get(_node_of(p), False)})
    counted = [p for p in pods if _node_of(p) not in left_out]
    present = _present(counted, stored)
    ready = [p for p in present if is_true(p, "Ready")]
    total = int(status.get("desiredNumberScheduled", 0)) - len(left_out)
    observed = int(status.get("observedGeneration", 0)) >= int(stored["metadata"]["generation"])
    waiting = [
        Waiting(_node_of(p), p["metadata"]["name"], _reason(cluster, p) if p in present else _OLD)
        for p in counted
        if p not in ready
    ]
    return Rollout(
        ready=len(ready),
        without_pod=max(total - len({_node_of(p) for p in counted}), 0),
        total=max(total, 0),
        finished=observed and len(ready) >= total,
        waiting=waiting,
        left_out=left_out,
    )


def _job(cluster: Cluster, workload: AgentWorkload, stored: Object, pods: Sequence[Object]) -> Rollout:
    succeeded = int((stored.get("status") or {}).get("succeeded", 0))
    failed = is_true(stored, "Failed")
    newest = max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]), default=None)
    log = _log(cluster, newest) if newest and (succeeded or failed) else []
    waiting = (
        [] if succeeded else [Waiting(_node_of(p), p["metadata"]["name"], _reason(cluster, p)) for p in pods]
    )
    return Rollout(
        succeeded, 1, succeeded > 0, without_pod=0 if pods else 1, failed=failed, waiting=waiting, log=log
    )


def _present(pods: Sequence[Object], daemonset: Object) -> list[Object]:
    """Those of the DaemonSet's present template.

    Its controller gives pods the number of their template, and a hash. A change that was taken back is a new
    number, but the pods that outlived it stay, and only the hash says that they are of the present one.
    Source: Kubernetes, pkg/controller/daemon/util/daemonset_util.go, IsPodUpdated.
    """
    status = daemonset.get("status") or {}
    number = (daemonset["metadata"].get("annotations") or {}).get("deprecated.daemonset.template.generation")
    hashes = {_label(p, _HASH) for p in pods if _label(p, _NUMBER) == number}
    if not hashes and status.get("updatedNumberScheduled", 0) >= len(pods):
        return list(pods)
    return [p for p in pods if _label(p, _HASH) in hashes]


def _label(pod: Object, key: str) -> Optional[str]:
    return (pod["metadata"].get("labels") or {}).get(key)


def _node_of(pod: Object) -> str:
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    # Not scheduled yet: its DaemonSet wants it on the node that this affinity names.
    terms = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    for term in terms.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", []):
        for expression in term.get("matchFields", []):
            return str(expression["values"][0])
    return ""


def _reason(cluster: Cluster, pod: Object) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = {**(container.get("state") or {}), **(container.get("lastState") or {})}.get(
            "terminated"
        ) or {}
        if ended.get("message"):
            return _said(str(ended["message"]).splitlines()) or str(ended["message"])
        if ended.get("reason"):
            return f"{ended['reason']}, exit code {ended.get('exitCode')}"
        if waiting and waiting.get("reason") != "ContainerCreating":
            return ": ".join(str(waiting[key]) for key in ("reason", "message") if waiting.get(key))
        if (container.get("state") or {}).get("running"):
            return _said(_log(cluster, pod)) or "the agent is not ready yet"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return str(condition.get("message") or "not scheduled yet")
    return "its container is being created"


def _said(log: Sequence[str]) -> str:
    """The last error in an agent's log."""
    for line in reversed(log):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("level") in ("warning", "error"):
            return ": ".join(str(said[key]) for key in ("message", "reason") if said.get(key))
    return ""


def _log(cluster: Cluster, pod: Object) -> list[str]:
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
    try:
        return cluster.text(path, tailLines=str(LOG_LINES)).splitlines()
    except ApiError as error:
        return [str(error)]


def _given_up(cluster: Cluster, workload: AgentWorkload, found: Rollout, patience: float) -> str:
    what = f"{workload.kind} {workload.namespace}/{workload.name}"
    if workload.kind == DAEMONSET_KIND:
        what += f": {found.summary} have a ready agent"
    waited = "" if found.failed else f", and no more in {patience:.0f} s"
    told = [f"{w.node or w.pod}: {w.reason}" for w in found.waiting[:_SHOWN]]
    told += [f"and {len(found.waiting) - _SHOWN} more"] if len(found.waiting) > _SHOWN else []
    lacks = found.without_pod or not found.waiting
    told += [_event(cluster, workload) or "no pod was made"] if lacks else []
    log = f"; its log: {' | '.join(found.log)}" if found.log else ""
    return f"{what}{waited} - {'; '.join(told)}{log}"


def _event(cluster: Cluster, workload: AgentWorkload) -> Optional[str]:
    """The last warning about a workload that lacks a pod: a quota, PodSecurity, an admission."""
    selector = f"involvedObject.kind={workload.kind},involvedObject.name={workload.name},type=Warning"
    events = list(cluster.list(f"/api/v1/namespaces/{workload.namespace}/events", fieldSelector=selector))
    newest = max(events, key=_time_of, default=None)
    return str(newest["message"]) if newest else None


def _time_of(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
