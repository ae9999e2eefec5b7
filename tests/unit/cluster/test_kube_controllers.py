# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why kube-controllers may not follow its configuration."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.kube_controllers import (
    WORKLOAD,
    KubeControllers,
    read_deployment,
    reasons,
)

from tests.unit.builders import Object
from tests.unit.cluster.answers import Answers

DEPLOYMENTS = "/apis/apps/v1/deployments"
DAEMONSET = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node"
RUNNING: Object = {"node": {"hostEndpoint": {"autoCreate": "Enabled"}}}


def configuration(running: Optional[Object] = RUNNING, **status: Any) -> Object:
    reported = {"runningConfig": {"controllers": running}} if running is not None else {}
    return {"metadata": {"name": "default"}, "spec": {"controllers": {}}, "status": {**reported, **status}}


def deployment(ready: int = 1, replicas: int = 1, **environment: str) -> Object:
    env = [{"name": name, "value": value} for name, value in environment.items()]
    env.append({"name": "SECRET", "valueFrom": {}})  # type: ignore[dict-item]
    return {
        "metadata": {"name": WORKLOAD, "namespace": "calico-system"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"env": env}]}}},
        "status": {"readyReplicas": ready},
    }


def told(found: KubeControllers, held: Optional[dict[str, Any]] = None) -> str:
    return "; ".join(map(str, reasons(Answers(held or {}), found)))


def test_one_that_runs_has_no_reason() -> None:
    assert told(KubeControllers(configuration(), deployment())) == ""
    everything = deployment(ENABLED_CONTROLLERS="node,policy")
    assert told(KubeControllers(configuration(), everything)) == ""


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (KubeControllers(configuration(), None, visible=False), "allow 'list' on deployments"),
        (KubeControllers(configuration(), None), f"there is no Deployment {WORKLOAD}: install it"),
        (KubeControllers(None, None), "and it never wrote a status"),
        (KubeControllers(configuration(), deployment(replicas=0)), "has 0 replicas"),
        (KubeControllers(configuration(), deployment(ready=0)), "has no ready pod"),
        (
            KubeControllers(configuration(None), deployment()),
            "it never wrote a status: kubectl -n calico-system",
        ),
        (
            KubeControllers(configuration(), deployment(ENABLED_CONTROLLERS="policy")),
            "ENABLED_CONTROLLERS=policy,node",
        ),
        (
            KubeControllers(configuration(environmentVars={"AUTO_HOST_ENDPOINTS": "disabled"}), deployment()),
            "AUTO_HOST_ENDPOINTS=disabled of kube-controllers wins",
        ),
    ],
)
def test_each_reason_comes_with_what_to_do(found: KubeControllers, says: str) -> None:
    assert says in told(found)


def test_what_the_deployment_says_wins_over_what_was_reported() -> None:
    found = KubeControllers(configuration(environmentVars={"A": "old", "B": "1"}), deployment(A="new"))
    assert found.environment == {"A": "new", "B": "1"}
    assert KubeControllers(configuration(environmentVars={"A": "old"}), None).environment == {"A": "old"}


@pytest.mark.parametrize(
    ("status", "lacks"),
    [
        (None, "there is none"),
        ({"observedGeneration": 1}, "its newest version has not been observed"),
        ({"observedGeneration": 2, "currentNumberScheduled": 1}, "1 of 3 pods are scheduled"),
        ({"observedGeneration": 2, "currentNumberScheduled": 3}, "0 of 3 pods are updated"),
        (
            {
                "observedGeneration": 2,
                "currentNumberScheduled": 3,
                "updatedNumberScheduled": 3,
                "numberUnavailable": 1,
            },
            "1 of 3 pods are unavailable",
        ),
        ({"observedGeneration": 2, "currentNumberScheduled": 3, "updatedNumberScheduled": 3}, ""),
    ],
)
def test_the_migrator_holds_it_until_calico_node_has_rolled_out(
    status: Optional[dict[str, int]], lacks: str
) -> None:
    waiting = KubeControllers(configuration({**RUNNING, "policyMigration": {}}), deployment())
    daemonset = {"metadata": {"generation": 2}, "status": {"desiredNumberScheduled": 3, **(status or {})}}
    said = told(waiting, {} if status is None else {DAEMONSET: daemonset})
    assert lacks in said
    assert bool(said) == bool(lacks)


def test_without_the_migrator_nothing_waits() -> None:
    off = configuration({**RUNNING, "policyMigration": {"enabled": "Disabled"}})
    assert told(KubeControllers(off, deployment())) == ""


def test_a_deployment_that_may_not_be_seen_is_not_one_that_is_absent() -> None:
    assert read_deployment(Answers({DEPLOYMENTS: [deployment()]})) == (deployment(), True)
    assert read_deployment(Answers({})) == (None, True)
    assert read_deployment(Answers({}, refused=(DEPLOYMENTS,))) == (None, False)
