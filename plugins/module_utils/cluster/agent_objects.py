# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts into a cluster what agents need, and takes it away; HostEndpoints stay.

Agents are those of the modes daemonset and job, which make HostEndpoints, and those that observe flows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Optional

from ..calico.host_endpoint import OWNER, OWNER_LABEL
from . import namespaces
from .client import ApiError, Cluster, Object
from .owned_kinds import COLLECTIONS, is_owned

MODE_LABEL = "hostfence.io/mode"
JOB, AUDIT = "job", "audit"
# Of a namespace that both modes share, and of that of the agents that observe.
NAMESPACE_MODE, AUDIT_NAMESPACE_MODE = "agents", "audit-agents"

# What the API server or a controller writes, which says nothing about whether we changed something.
_NOT_OURS = ("managedFields", "resourceVersion", "generation", "annotations")
# In these only the agents that observe consist.
_OF_AUDIT = ("RoleBinding", "Role")
# One of them is there as long as anything of a mode is: the first goes first, the others hold its pods.
_MARKS = ("ClusterRoleBinding", "DaemonSet", "Job")


@dataclass(frozen=True)
class Applied:
    """An object that was put into the cluster, or was there.

    :ivar before: as it was stored, None where it was not
    :ivar after: as it is stored now, or would be
    """

    title: str
    before: Optional[Object]
    after: Object

    @property
    def changed(self) -> bool:
        return self.before is None or meaning(self.before) != meaning(self.after)


@dataclass(frozen=True)
class Part:
    """An object of a mode."""

    title: str
    kind: str
    name: str
    namespace: str
    path: str
    uid: str


def apply(cluster: Cluster, definitions: Iterable[Object], dry_run: bool) -> list[Applied]:
    """Apply objects one after the other, as our field manager.

    A namespace that is someone else's stays as it is, and the others are put into it.

    :param definitions: out of the kinds in which these modes consist
    :param dry_run: write nothing; an absent object is returned as it was given, because the API takes a dry
        run of it only where the namespace and the role that it refers to are there already
    """
    done: list[Applied] = []
    for definition in definitions:
        path, title = _path(definition), _title(definition)
        before = cluster.find(path)
        if definition["kind"] == "Namespace" and before and not is_owned(before):
            continue
        told = dry_run and before is None
        after = definition if told else cluster.apply(path, definition, dry_run)
        done.append(Applied(title, before, after))
    return done


def meaning(obj: Object) -> Object:
    """An object without what others note in it."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in _NOT_OURS}
    return {**{k: v for k, v in obj.items() if k != "status"}, "metadata": metadata}


def find(cluster: Cluster, modes: Sequence[str], daemonsets: Optional[Sequence[Object]] = None) -> list[Part]:
    """Everything of these modes but namespaces, in the order in which it should go.

    Three requests where nothing is there. A kind that this user may not list is taken for absent: who may not
    see it did not make it.

    :param daemonsets: all of the cluster, where they were read already
    """
    selector = f"{OWNER_LABEL}={OWNER},{MODE_LABEL} in ({','.join(modes)})"
    asked = [kind for kind in _MARKS if kind != "DaemonSet" or daemonsets is None]
    known = [_part("DaemonSet", COLLECTIONS["DaemonSet"], o) for o in daemonsets or () if _is_of(o, modes)]
    marks = [*_parts(cluster, asked, selector), *known]
    if not marks:
        return []
    elsewhere = (*_MARKS, "Namespace", *(() if AUDIT in modes else _OF_AUDIT))
    rest = _parts(cluster, [kind for kind in COLLECTIONS if kind not in elsewhere], selector)
    order = list(COLLECTIONS)
    return sorted((*marks, *rest), key=lambda part: order.index(part.kind))


def _is_of(obj: Object, modes: Sequence[str]) -> bool:
    return is_owned(obj) and (obj["metadata"].get("labels") or {}).get(MODE_LABEL) in modes


def remove(cluster: Cluster, parts: Iterable[Part], patience: float) -> None:
    """Delete them, and wait for pods to end: one that still runs may have a write under way.

    :param patience: seconds to wait for pods; one on a dead node never ends, and has no rights any more
    """
    for part in parts:
        cluster.delete(part.path, part.uid, with_dependents=True)
        if part.kind in ("DaemonSet", "Job"):
            _wait_for_pods(cluster, part, patience)


def find_namespaces(cluster: Cluster, mode: str = NAMESPACE_MODE) -> list[Part]:
    """Namespaces that we made for agents, and in which is nothing but what is about to go."""
    selector = f"{OWNER_LABEL}={OWNER},{MODE_LABEL}={mode}"
    found = [_part("Namespace", namespaces.PATH, n) for n in _listed(cluster, namespaces.PATH, selector)]
    return [part for part in found if _is_empty(cluster, part.name)]


def remove_namespaces(cluster: Cluster, parts: Iterable[Part], patience: float) -> None:
    """Delete them and wait until they are gone: nothing can be put into one that is going."""
    for part in parts:
        cluster.delete(part.path, part.uid)
        deadline = time.monotonic() + patience
        while cluster.find(part.path) and time.monotonic() < deadline:
            time.sleep(0.5)


def _path(definition: Object) -> str:
    kind, metadata = str(definition["kind"]), definition["metadata"]
    collection = _in_namespace(COLLECTIONS[kind], str(metadata.get("namespace", "")))
    return f"{collection}/{metadata['name']}"


def _in_namespace(collection: str, namespace: str) -> str:
    if not namespace:
        return collection
    group, _slash, plural = collection.rpartition("/")
    return f"{group}/namespaces/{namespace}/{plural}"


def _title(obj: Object) -> str:
    metadata = obj["metadata"]
    return (
        f"{obj['kind']} {metadata['namespace'] + '/' if metadata.get('namespace') else ''}{metadata['name']}"
    )


def _parts(cluster: Cluster, kinds: Iterable[str], selector: str) -> list[Part]:
    def of_kind(kind: str) -> list[Part]:
        return [_part(kind, COLLECTIONS[kind], obj) for obj in _listed(cluster, COLLECTIONS[kind], selector)]

    with ThreadPoolExecutor(max_workers=len(COLLECTIONS)) as pool:
        return [part for found in pool.map(of_kind, kinds) for part in found]


def _listed(cluster: Cluster, collection: str, selector: str) -> list[Object]:
    return cluster.list_if_readable(collection, labelSelector=selector) or []


def _part(kind: str, collection: str, obj: Object) -> Part:
    metadata = obj["metadata"]
    name, namespace = str(metadata["name"]), str(metadata.get("namespace", ""))
    path = f"{_in_namespace(collection, namespace)}/{name}"
    return Part(_title({**obj, "kind": kind}), kind, name, namespace, path, str(metadata["uid"]))


def _wait_for_pods(cluster: Cluster, part: Part, patience: float) -> None:
    pods = f"/api/v1/namespaces/{part.namespace}/pods"
    selector = f"app.kubernetes.io/name={part.name}"
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(True for _pod in cluster.list(pods, labelSelector=selector)):
        time.sleep(0.5)


def _is_empty(cluster: Cluster, namespace: str) -> bool:
    try:
        return not namespaces.inhabitants(cluster, namespace, _is_agents)
    except ApiError as error:
        # Without permission to list Secrets we cannot tell whether it is empty, so keep it.
        if error.status == 403:
            return False
        raise


def _is_agents(obj: Object) -> bool:
    return MODE_LABEL in (obj["metadata"].get("labels") or {})
