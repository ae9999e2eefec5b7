# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the collection's control-plane work needs to be allowed: one list for the ClusterRole and the check.

A verb stands here because a request of ours is refused without it; tests/integration/test_access.py
takes them away one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..calico.transaction.state import RECORD
from . import lease
from .client import CONCURRENCY, Cluster, Object
from .flavour import Flavour, FlavourKind

ACCESS = "access"
CRDS = "crds"
FELIX = "felix"
HOST_ENDPOINTS_DIRECT = "host_endpoints_direct"
HOST_ENDPOINTS_AUTO = "host_endpoints_auto"
HOST_ENDPOINTS_DAEMONSET = "host_endpoints_daemonset"
HOST_ENDPOINTS_JOB = "host_endpoints_job"
POLICIES = "policies"
VERDICTS = "verdicts"
TASKS = (CRDS, FELIX, HOST_ENDPOINTS_DIRECT, HOST_ENDPOINTS_AUTO, POLICIES, VERDICTS)
# Opt-in only: whoever can start pods and grant RBAC can do almost anything.
ON_DEMAND = (ACCESS, HOST_ENDPOINTS_DAEMONSET, HOST_ENDPOINTS_JOB)

_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_CALICO = "<the group in use>"
_POLICY_KINDS = ("globalnetworkpolicies", "stagedglobalnetworkpolicies")
_APPLY = ("create", "get", "patch")
_WRITE = ("create", "update", "delete")
_APPLY_AND_REMOVE = (*_APPLY, "list", "delete")

# By group and resource, and by name where one object is enough.
_Table = dict[tuple[str, ...], tuple[str, ...]]

# Reading, for every task.
_ALWAYS: _Table = {
    ("", "nodes"): ("list",),
    ("apps", "daemonsets"): ("get", "list"),
    ("apps", "deployments"): ("list",),
    ("discovery.k8s.io", "endpointslices"): ("list",),
    ("migration.projectcalico.org", "datastoremigrations"): ("list",),
    (_CALICO, "clusterinformations"): ("get", "list"),
    (_CALICO, "felixconfigurations"): ("list",),
    (_CALICO, "hostendpoints"): ("list",),
    (_CALICO, "kubecontrollersconfigurations"): ("get",),
    **{(_CALICO, plural): ("list",) for plural in (*_POLICY_KINDS, "globalnetworksets", "tiers")},
    # The transaction that is under way.
    (_CALICO, "globalnetworksets", RECORD): ("get",),
}
# Who changes what is enforced holds a Lease, of this one name.
_LEASE: _Table = {("coordination.k8s.io", "leases", lease.NAME): ("create", "get", "update", "delete")}
# What the modes daemonset and job put into the cluster, watch over, and take away again.
_AGENTS: _Table = {
    **{("", plural): _APPLY_AND_REMOVE for plural in ("configmaps", "namespaces", "serviceaccounts")},
    **{
        ("rbac.authorization.k8s.io", plural): _APPLY_AND_REMOVE
        for plural in ("clusterroles", "clusterrolebindings")
    },
    ("", "events"): ("list",),
    ("", "pods"): ("list",),
    ("", "pods/log"): ("get",),
    ("apps", "daemonsets"): ("list", "delete"),
    ("batch", "jobs"): ("list", "delete"),
}
_BY_TASK: dict[str, _Table] = {
    # Of who grants the rest. TASKS leaves it out: what role access makes cannot widen its own permissions.
    ACCESS: {
        **{("", plural): _APPLY for plural in ("namespaces", "serviceaccounts")},
        **{
            ("rbac.authorization.k8s.io", plural): _APPLY
            for plural in ("clusterroles", "clusterrolebindings")
        },
    },
    CRDS: {
        ("apiextensions.k8s.io", "customresourcedefinitions"): ("create", "get", "list", "patch"),
    },
    FELIX: {**_LEASE, (_CALICO, "felixconfigurations"): ("create", "get", "patch")},
    HOST_ENDPOINTS_DIRECT: {
        **_LEASE,
        (_CALICO, "hostendpoints"): ("create", "get", "update", "delete"),
    },
    HOST_ENDPOINTS_AUTO: {
        **_LEASE,
        ("", "nodes"): ("patch",),
        (_CALICO, "hostendpoints"): ("delete",),
        (_CALICO, "kubecontrollersconfigurations"): ("create", "patch"),
    },
    # RBAC forbids granting what you do not hold, so the agent's permissions are listed too.
    HOST_ENDPOINTS_DAEMONSET: {
        **_AGENTS,
        ("apps", "daemonsets"): _APPLY_AND_REMOVE,
        **{
            ("admissionregistration.k8s.io", plural): _APPLY_AND_REMOVE
            for plural in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
        },
        ("", "nodes"): ("get", "watch"),
        (_CALICO, "hostendpoints"): ("create", "get", "list", "update", "watch", "delete"),
    },
    HOST_ENDPOINTS_JOB: {
        **_AGENTS,
        ("batch", "jobs"): _APPLY_AND_REMOVE,
        (_CALICO, "hostendpoints"): ("create", "get", "list", "update", "delete"),
    },
    POLICIES: {
        **_LEASE,
        **{(_CALICO, plural): _WRITE for plural in (*_POLICY_KINDS, "globalnetworksets", "tiers")},
        (_CALICO, "networkpolicies"): ("list",),
        (_CALICO, "stagednetworkpolicies"): ("list",),
    },
    # policy_lint and flow_verdict: what rules may select beside hosts. They say so where they may not see it.
    VERDICTS: {
        **{("", plural): ("list",) for plural in ("namespaces", "pods", "serviceaccounts")},
        **{(_CALICO, plural): ("list",) for plural in ("ippools", "networksets")},
        # Whether kube-proxy uses IPVS.
        ("", "configmaps", "kube-proxy"): ("list",),
    },
}


@dataclass(frozen=True, order=True)
class Permission:
    """One verb on one resource, or on the object of one name."""

    group: str
    resource: str
    verb: str
    name: str = ""

    def __str__(self) -> str:
        name = f"/{self.name}" if self.name else ""
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "") + name


def required(flavour: Flavour, tasks: Iterable[str] = TASKS) -> list[Permission]:
    """What tasks need in the one group in use, sorted.

    :param tasks: out of ``TASKS`` and ``ON_DEMAND``
    """
    tables = [_ALWAYS, *(_BY_TASK[task] for task in tasks)]
    found = {
        Permission(
            flavour.group if group == _CALICO else group,
            resource,
            verb,
            # Creating cannot be limited to a name.
            "".join(name) if verb != "create" else "",
        )
        for table in tables
        for (group, resource, *name), verbs in table.items()
        for verb in verbs
    }
    if flavour.kind in (FlavourKind.AGGREGATED, FlavourKind.V3_NATIVE):
        found |= {_of_tier(p) for p in found if p.resource in _POLICY_KINDS}
        found |= {Permission(flavour.group, "tiers", "get")}
    if flavour.kind is FlavourKind.AGGREGATED:
        found |= {Permission("apiregistration.k8s.io", "apiservices", "get")}
    return sorted(found)


def rules(permissions: Iterable[Permission]) -> list[Object]:
    """The same as rules of a ClusterRole, as few as possible."""
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for permission in sorted(permissions):
        key = (permission.group, permission.name, permission.resource)
        verbs.setdefault(key, []).append(permission.verb)
    resources: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (group, name, resource), allowed in verbs.items():
        resources.setdefault((group, name, tuple(allowed)), []).append(resource)
    return [
        {
            "apiGroups": [group],
            "resources": plurals,
            **({"resourceNames": [name]} if name else {}),
            "verbs": list(allowed),
        }
        for (group, name, allowed), plurals in sorted(resources.items())
    ]


def missing(cluster: Cluster, permissions: Sequence[Permission]) -> list[Permission]:
    """Which of them the user of this connection lacks, by asking the API for each.

    :raises ClusterError: the API does not answer
    """
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        allowed = list(pool.map(lambda permission: _is_allowed(cluster, permission), permissions))
    return [permission for permission, yes in zip(permissions, allowed) if not yes]


def _of_tier(permission: Permission) -> Permission:
    """Calico checks writes of policies a second time, on a resource of this name (tiered RBAC)."""
    return Permission(permission.group, f"tier.{permission.resource}", permission.verb)


def _is_allowed(cluster: Cluster, permission: Permission) -> bool:
    attributes = {
        "group": permission.group,
        "resource": permission.resource,
        "verb": permission.verb,
        **({"name": permission.name} if permission.name else {}),
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = cluster.create(_ACCESS_REVIEWS, review)
    return bool(answer["status"].get("allowed"))
