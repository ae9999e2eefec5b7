# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calico's kube-controllers: its configuration, what it says it runs with, and why it may not follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ..calico.host_endpoint_auto import ENABLED_CONTROLLERS, ENVIRONMENT_OVERRIDE, KIND, NAME
from .client import ApiError, Cluster, Object
from .flavour import Flavour

WORKLOAD = "calico-kube-controllers"
_DEFAULT_NAMESPACE = "calico-system"


@dataclass(frozen=True)
class Advice:
    """Something the user should know.

    :ivar remedy: what to do about it
    """

    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}"


@dataclass(frozen=True)
class KubeControllers:
    """Configuration and Deployment of kube-controllers.

    :ivar configuration: KubeControllersConfiguration ``default``, None where there is none
    :ivar deployment: None where there is none, or it may not be seen
    :ivar visible: whether Deployments may be listed
    """

    configuration: Optional[Object]
    deployment: Optional[Object]
    visible: bool = True

    @property
    def controllers(self) -> Optional[Object]:
        """What it is configured to run."""
        return ((self.configuration or {}).get("spec") or {}).get("controllers")

    @property
    def running(self) -> Optional[Object]:
        """What it says it runs with; None before it ever said so."""
        return (self._status.get("runningConfig") or {}).get("controllers")

    @property
    def namespace(self) -> str:
        return str((self.deployment or {}).get("metadata", {}).get("namespace", ""))

    @property
    def environment(self) -> Mapping[str, str]:
        """What it says of its environment, and over that what its Deployment says."""
        reported = self._status.get("environmentVars") or {}
        if self.deployment is None:
            return dict(reported)
        containers = self.deployment["spec"]["template"]["spec"]["containers"]
        literal = {e["name"]: e["value"] for c in containers for e in c.get("env") or [] if "value" in e}
        return {**reported, **literal}

    @property
    def override(self) -> Optional[Advice]:
        """The environment variable that silently wins over the configuration, where there is one."""
        value = self.environment.get(ENVIRONMENT_OVERRIDE)
        if value is None:
            return None
        return Advice(
            f"the environment variable {ENVIRONMENT_OVERRIDE}={value} of kube-controllers wins over its "
            "configuration",
            f"remove it: {self.kubectl} set env deployment/{WORKLOAD} {ENVIRONMENT_OVERRIDE}-",
        )

    @property
    def kubectl(self) -> str:
        """Start of a command that finds its namespace."""
        return f"kubectl -n {self.namespace or _DEFAULT_NAMESPACE}"

    @property
    def _status(self) -> Object:
        return (self.configuration or {}).get("status") or {}


def read_configuration(cluster: Cluster, flavour: Flavour) -> Optional[Object]:
    """KubeControllersConfiguration ``default``, where there is one."""
    return cluster.find(flavour.path(KIND, NAME))


def read_deployment(cluster: Cluster) -> tuple[Optional[Object], bool]:
    """The Deployment, in whichever namespace it is, and whether Deployments may be seen at all."""
    selector = {"fieldSelector": f"metadata.name={WORKLOAD}"}
    try:
        return next(cluster.list("/apis/apps/v1/deployments", **selector), None), True
    except ApiError as error:
        if error.status in (403, 404):
            return None, False
        raise


def reasons(cluster: Cluster, found: KubeControllers) -> list[Advice]:
    """Why it does not follow its configuration, as far as that can be seen; empty where nothing is wrong."""
    override = [found.override] if found.override else []
    return [*override, *_node_controller_off(found), *_not_running(found), *_migrator_waits(cluster, found)]


def _node_controller_off(found: KubeControllers) -> list[Advice]:
    enabled = found.environment.get(ENABLED_CONTROLLERS)
    if enabled is None or "node" in enabled.split(","):
        return []
    return [
        Advice(
            f"its node controller is off (environment variable {ENABLED_CONTROLLERS}={enabled})",
            f"add it: {found.kubectl} set env deployment/{WORKLOAD} {ENABLED_CONTROLLERS}={enabled},node",
        )
    ]


def _not_running(found: KubeControllers) -> list[Advice]:
    if not found.visible:
        return [Advice("it cannot be looked at", "allow 'list' on deployments in the group apps")]
    if found.deployment is None:
        never = " and it never wrote a status" if found.running is None else ""
        return [Advice(f"there is no Deployment {WORKLOAD}{never}", "install it, or use the mode 'direct'")]
    where = f"Deployment {found.namespace}/{WORKLOAD}"
    if not found.deployment["spec"].get("replicas", 1):
        return [
            Advice(f"{where} has 0 replicas", f"{found.kubectl} scale --replicas=1 deployment/{WORKLOAD}")
        ]
    if not (found.deployment.get("status") or {}).get("readyReplicas"):
        return [Advice(f"{where} has no ready pod", f"{found.kubectl} describe deployment/{WORKLOAD}")]
    if found.running is None:
        return [Advice("it never wrote a status", f"{found.kubectl} logs deployment/{WORKLOAD}")]
    return []


def _migrator_waits(cluster: Cluster, found: KubeControllers) -> list[Advice]:
    """Calico 3.32's migrator holds the node controller until calico-node has rolled out (seen)."""
    migration = (found.running or {}).get("policyMigration")
    if migration is None or migration.get("enabled") == "Disabled":
        return []
    namespace = found.namespace or _DEFAULT_NAMESPACE
    try:
        daemonset = cluster.find(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/calico-node")
    except ApiError:
        return []
    lacking = _rollout(daemonset)
    if not lacking:
        return []
    return [
        Advice(
            f"its policy-name migrator waits for the rollout of DaemonSet {namespace}/calico-node "
            f"({lacking}) and holds the node controller meanwhile",
            "let calico-node become available on every node, or set spec.controllers.policyMigration."
            f"enabled: Disabled in {KIND} {NAME}",
        )
    ]


def _rollout(daemonset: Optional[Object]) -> str:
    """What a DaemonSet's rollout lacks by the migrator's own test, or empty."""
    if daemonset is None:
        return "there is none"
    status = daemonset.get("status") or {}
    desired = status.get("desiredNumberScheduled", 0)
    if status.get("observedGeneration") != daemonset["metadata"].get("generation"):
        return "its newest version has not been observed"
    for counter, word in (("currentNumberScheduled", "scheduled"), ("updatedNumberScheduled", "updated")):
        if status.get(counter, 0) != desired:
            return f"{status.get(counter, 0)} of {desired} pods are {word}"
    unavailable = status.get("numberUnavailable", 0)
    return f"{unavailable} of {desired} pods are unavailable" if unavailable else ""
