# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is said of a rollout, by what controllers and kubelets note in the API; molecule has real ones."""

from __future__ import annotations

import pytest
from agent_process import NAMESPACE, apply_objects
from module_run import run_module

pytestmark = pytest.mark.one_flavour
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CRASH = '{"level": "error", "message": "cannot work with this configuration", "reason": "NODE_NAME is empty"}'
LABELS = {"app.kubernetes.io/name": "hep-ds"}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RUNNABLE = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
SPEC = {
    "securityContext": RUNNABLE,
    "containers": [{"name": "agent", "image": "none", "securityContext": RESTRICTED}],
}


@pytest.fixture
def rollout(clean_api):
    """Notes a DaemonSet and its pods as controllers would; returns what the module says."""
    apply_objects(clean_api)
    nodes = clean_api.add_nodes(4)

    def tell(*pods, seen=0, desired=None, updated=0):
        for node, ready, state, label, *revision in pods:
            made = clean_api.admin.post(
                PODS,
                {
                    "metadata": {
                        "name": f"pod-{node}",
                        "labels": {
                            **LABELS,
                            "pod-template-generation": label,
                            "controller-revision-hash": revision[0] if revision else f"hash-{label}",
                        },
                    },
                    "spec": {**SPEC, "nodeName": node, "serviceAccountName": "hep-sa"},
                },
            )
            container = {
                "name": "agent",
                "image": "none",
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                **state,
            }
            status = {
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [container],
            }
            clean_api.admin.patch(f"{PODS}/{made['metadata']['name']}/status", {"status": status})
        daemonset = {
            "metadata": {
                "name": "hep-ds",
                "annotations": {"deprecated.daemonset.template.generation": "1"},
            },
            "spec": {
                "selector": {"matchLabels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": SPEC},
            },
        }
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
        clean_api.admin.post(path, daemonset)
        numbers = {"currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}
        status = {
            **numbers,
            "desiredNumberScheduled": len(pods) if desired is None else desired,
            "updatedNumberScheduled": updated,
        }
        clean_api.admin.patch(f"{path}/hep-ds/status", {"status": {**status, "observedGeneration": 1}})
        options = {
            "kind": "DaemonSet",
            "namespace": NAMESPACE,
            "name": "hep-ds",
            "seen": seen,
            "wait_timeout": 1,
        }
        said = run_module("host_endpoint_agents_info", clean_api, **options)
        print(said, clean_api.admin.get(path + "/hep-ds"))
        return said

    return tell, nodes


RUNNING = {"state": {"running": {}}}


def test_finished(rollout):
    tell, (one, two, *_rest) = rollout
    done = tell((one, True, RUNNING, "1"), (two, True, RUNNING, "1"))
    assert (done["finished"], done["summary"]) == (True, "2 of 2 nodes")


def test_a_pod_of_the_old_version_does_not_count(rollout):
    tell, (one, two, *_rest) = rollout
    done = tell((one, True, RUNNING, "1"), (two, True, RUNNING, "0"), seen=1)
    assert done["failed"]
    assert "1 of 2 nodes have a ready agent" in done["msg"]
    assert f"{two}: its agent is still the one of before" in done["msg"]


@pytest.mark.parametrize("new", ["1", "0"])
def test_pods_that_outlived_a_change_which_was_taken_back_count(rollout, new):
    tell, (one, two, *_rest) = rollout
    done = tell((one, True, RUNNING, new, "same"), (two, True, RUNNING, "0", "same"), updated=2)
    assert (done["finished"], done["summary"]) == (True, "2 of 2 nodes")


def test_nodes_that_are_not_ready_are_not_waited_for(clean_api, rollout):
    tell, (one, two, *_rest) = rollout
    conditions = [{"type": "Ready", "status": "Unknown"}]
    clean_api.admin.patch(f"/api/v1/nodes/{two}/status", {"status": {"conditions": conditions}})
    done = tell((one, True, RUNNING, "1"), (two, False, RUNNING, "1"))
    assert (done["finished"], done["summary"], done["left_out"]) == (True, "1 of 1 nodes", [two])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
            "sim-0001: ImagePullBackOff: no such image",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                "lastState": {"terminated": {"exitCode": 2, "message": CRASH}},
            },
            "sim-0001: cannot work with this configuration: NODE_NAME is empty",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            },
            "sim-0001: OOMKilled, exit code 137",
        ),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "sim-0001: its container is being created"),
    ],
)
def test_the_pods_own_reason(rollout, state, said):
    tell, (one, *_rest) = rollout
    done = tell((one, False, state, "1"))
    assert done["failed"]
    assert "0 of 1 nodes have a ready agent, and no more in 1 s" in done["msg"]
    assert said in done["msg"]


@pytest.mark.parametrize("there", [0, 1])
def test_the_workloads_own_reason_where_a_pod_lacks(clean_api, rollout, there):
    tell, (one, *_rest) = rollout
    about = {"kind": "DaemonSet", "name": "hep-ds", "namespace": NAMESPACE}
    event = {
        "metadata": {"name": f"refused-{there}", "namespace": NAMESPACE},
        "involvedObject": about,
        "type": "Warning",
        "reason": "FailedCreate",
        "message": "exceeded quota: pods",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    clean_api.admin.post(f"/api/v1/namespaces/{NAMESPACE}/events", event)
    done = tell(*[(one, True, RUNNING, "0")] * there, desired=2)
    assert "exceeded quota: pods" in done["msg"]
