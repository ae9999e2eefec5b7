# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubernetes' own kinds that we make objects of: rights, restrictions, and what runs the agents."""

from __future__ import annotations

from ..calico.host_endpoint import OWNER, OWNER_LABEL
from . import namespaces
from .client import Object

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"

# Collections over all namespaces, in the order of removal. Rights first: from then on an agent can write
# nothing, whatever becomes of its pod. Restrictions last.
COLLECTIONS = {
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "RoleBinding": f"{_RBAC}/rolebindings",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "Role": f"{_RBAC}/roles",
    "ServiceAccount": "/api/v1/serviceaccounts",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "Job": "/apis/batch/v1/jobs",
    "ConfigMap": "/api/v1/configmaps",
    "ValidatingAdmissionPolicyBinding": f"{_ADMISSION}/validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": f"{_ADMISSION}/validatingadmissionpolicies",
    "Namespace": namespaces.PATH,
}


def is_owned(obj: Object) -> bool:
    """Whether an object carries our label."""
    return bool((obj["metadata"].get("labels") or {}).get(OWNER_LABEL) == OWNER)
