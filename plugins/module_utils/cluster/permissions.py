# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the collection's control-plane work needs to be allowed: one list for the ClusterRole and the check.

A verb stands here because a request of Hostfence is refused without it; tests/integration/test_access.py
takes them away one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ..calico.transaction.state import RECORD
from . import lease, watchdogs
from .client import CONCURRENCY, Cluster, Object
from .flavour import Flavour, FlavourKind

ACCESS = "access"
AUDIT_DAEMONSET = "audit_daemonset"
CRDS = "crds"
FELIX = "felix"
HOST_ENDPOINTS_DIRECT = "host_endpoints_direct"
HOST_ENDPOINTS_AUTO = "host_endpoints_auto"
HOST_ENDPOINTS_DAEMONSET = "host_endpoints_daemonset"
HOST_ENDPOINTS_JOB = "host_endpoints_job"
POLICIES = "policies"
ENFORCE = "enforce"
ENFORCE_KUBELETS = "enforce_kubelets"
ENFORCE_PODS = "enforce_pods"
VERDICTS = "verdicts"
TASKS = (CRDS, FELIX, HOST_ENDPOINTS_DIRECT, HOST_ENDPOINTS_AUTO, POLICIES, ENFORCE, VERDICTS)
# Opt-in only: whoever can start pods and grant RBAC can do almost anything, and so can who reaches kubelets.
ON_DEMAND = (
    ACCESS,
    AUDIT_DAEMONSET,
    HOST_ENDPOINTS_DAEMONSET,
    HOST_ENDPOINTS_JOB,
    ENFORCE_KUBELETS,
    ENFORCE_PODS,
)

_ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_CALICO = "<the group in use>"
_POLICY_KINDS = ("globalnetworkpolicies", "stagedglobalnetworkpolicies")
_APPLY = ("create", "get", "patch")
_WRITE = ("create", "update", "delete")
_APPLY_AND_REMOVE = (*_APPLY, "list", "delete")
_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"

# By group and resource, and by names where certain objects are enough.
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
    # What is enforced, and not proved.
    ("coordination.k8s.io", "leases", lease.NAME): ("get",),
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
    # Agents that observe flows, and what they publish: their own permissions are among these.
    AUDIT_DAEMONSET: {
        **{("", plural): _APPLY_AND_REMOVE for plural in ("configmaps", "namespaces", "serviceaccounts")},
        **{(_RBAC, plural): _APPLY_AND_REMOVE for plural in ("roles", "rolebindings")},
        **{
            (_ADMISSION, plural): _APPLY_AND_REMOVE
            for plural in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
        },
        ("", "pods"): ("list",),
        ("apps", "daemonsets"): _APPLY_AND_REMOVE,
    },
    POLICIES: {
        **_LEASE,
        **{(_CALICO, plural): _WRITE for plural in (*_POLICY_KINDS, "globalnetworksets", "tiers")},
        (_CALICO, "networkpolicies"): ("list",),
        (_CALICO, "stagednetworkpolicies"): ("list",),
    },
    # As POLICIES, by server-side apply; and the watchdogs, whose own permissions are among these, as RBAC
    # forbids granting what you do not hold. A token is made for no other account.
    ENFORCE: {
        **_LEASE,
        **{(_CALICO, plural): (*_WRITE, "patch") for plural in (*_POLICY_KINDS, "tiers")},
        (_CALICO, "globalnetworksets"): (*_WRITE, "get", "patch", "watch"),
        (_CALICO, "networkpolicies"): ("list",),
        ("", "services", "kubernetes"): ("get",),
        ("", "configmaps", "kube-root-ca.crt"): ("get",),
        # Of a node whose last resort acted.
        ("", "events"): ("create",),
        ("", "serviceaccounts/token", *watchdogs.NAMES): ("create",),
        **{
            key: verbs
            for group, plural in (
                ("", "serviceaccounts"),
                ("coordination.k8s.io", "leases"),
                (_RBAC, "roles"),
                (_RBAC, "rolebindings"),
            )
            for key, verbs in {
                (group, plural): ("create", "list"),
                (group, plural, *watchdogs.NAMES): ("delete", "patch"),
            }.items()
        },
        ("coordination.k8s.io", "leases", *watchdogs.NAMES): ("delete", "get", "patch"),
        **{
            (group, plural, watchdogs.NAME): ("create", "delete", "patch")
            for group, plural in (
                (_RBAC, "clusterroles"),
                (_RBAC, "clusterrolebindings"),
                (_ADMISSION, "validatingadmissionpolicies"),
                (_ADMISSION, "validatingadmissionpolicybindings"),
            )
        },
    },
    # The proof that the API server reaches kubelets. It is as good as root on every node: without it, that is
    # not proved, and said so.
    ENFORCE_KUBELETS: {("", "nodes/proxy"): ("get",)},
    # Watchdogs as pods, which may be any pods of kube-system.
    ENFORCE_PODS: {
        key: verbs
        for group, plural in (("", "configmaps"), ("apps", "deployments"))
        for key, verbs in {
            (group, plural): ("create", "list"),
            (group, plural, *watchdogs.NAMES): ("delete", "patch"),
        }.items()
    },
    # policy_lint and flow_verdict: what rules may select apart from hosts. They say what they may not see.
    VERDICTS: {
        # Of services the names alone: an audit puts them to addresses.
        **{("", plural): ("list",) for plural in ("namespaces", "pods", "serviceaccounts", "services")},
        # What pods may receive, which decides about packets that are forwarded to them.
        ("networking.k8s.io", "networkpolicies"): ("list",),
        **{(_CALICO, plural): ("list",) for plural in ("ippools", "networksets")},
        # In which mode kube-proxy runs; the gates, which get it, go without where they may not.
        ("", "configmaps", "kube-proxy"): ("get",),
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
        Permission(flavour.group if group == _CALICO else group, resource, verb, name)
        for table in tables
        for (group, resource, *names), verbs in table.items()
        for verb in verbs
        for name in _names(names, resource, verb)
    }
    # Who may do it to all objects may do it to one.
    found = {p for p in found if not p.name or replace(p, name="") not in found}
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
        key = (permission.group, permission.resource, permission.name)
        verbs.setdefault(key, []).append(permission.verb)
    names: dict[tuple[str, str, bool, tuple[str, ...]], list[str]] = {}
    for (group, resource, name), allowed in verbs.items():
        names.setdefault((group, resource, bool(name), tuple(allowed)), []).append(name)
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (group, resource, _named, verbs_of_all), called in names.items():
        resources.setdefault((group, tuple(called), verbs_of_all), []).append(resource)
    return [
        {
            "apiGroups": [group],
            "resources": plurals,
            **({"resourceNames": list(called)} if called != ("",) else {}),
            "verbs": list(verbs_of_all),
        }
        for (group, called, verbs_of_all), plurals in sorted(resources.items())
    ]


def missing(cluster: Cluster, permissions: Sequence[Permission]) -> list[Permission]:
    """Which of them the user of this connection lacks, by asking the API for each.

    :raises ClusterError: the API does not answer
    """
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        allowed = list(pool.map(lambda permission: _is_allowed(cluster, permission), permissions))
    return [permission for permission, yes in zip(permissions, allowed) if not yes]


def _names(names: Sequence[str], resource: str, verb: str) -> Sequence[str]:
    """Creating cannot be limited to a name, but for a part of an object that is there."""
    return names if names and (verb != "create" or "/" in resource) else ("",)


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
