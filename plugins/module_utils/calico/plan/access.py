# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ServiceAccount for later runs and its permissions: the objects, and what of them is to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ..host_endpoint import OWNER, OWNER_LABEL
from .model import CREATE, UPDATE, Object, Write
from .wishes import AccessWish

_RBAC = "rbac.authorization.k8s.io"


def objects_of(wish: AccessWish) -> list[Object]:
    """In the order in which they are written."""
    account = {"name": wish.service_account}
    labels = {"labels": {OWNER_LABEL: OWNER}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wish.namespace, **labels}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {**account, "namespace": wish.namespace, **labels},
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {**account, **labels},
            "rules": [dict(rule) for rule in wish.rules],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {**account, **labels},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", **account},
            "subjects": [{"kind": "ServiceAccount", **account, "namespace": wish.namespace}],
        },
    ]


def access_writes(wish: AccessWish, stored: Mapping[str, Object]) -> list[Write]:
    """What differs.

    :param stored: the stored ones of :func:`objects_of`, by kind
    """
    namespace = stored.get("Namespace")
    # One that a teardown has just deleted is waited for, and made again with all that is in it.
    going = bool(namespace and namespace["metadata"].get("deletionTimestamp"))
    found = {} if going else dict(stored)
    writes = []
    for wanted in objects_of(wish):
        live = found.get(wanted["kind"])
        # Hostfence's label on someone else's namespace would let teardown remove it.
        if wanted["kind"] == "Namespace" and live and not _is_ours(live):
            continue
        write = _write(wanted, live)
        if write:
            writes.append(write)
    return writes


def _write(wanted: Object, live: Optional[Object]) -> Optional[Write]:
    metadata = wanted["metadata"]
    where = (wanted["kind"], metadata["name"])
    if live is None:
        return Write(CREATE, *where, None, wanted, metadata.get("namespace", ""))
    labels = live["metadata"].get("labels") or {}
    differs = any(labels.get(key) != value for key, value in metadata["labels"].items()) or any(
        live.get(key) != wanted[key] for key in ("rules", "roleRef", "subjects") if key in wanted
    )
    return Write(UPDATE, *where, live, wanted, metadata.get("namespace", "")) if differs else None


def _is_ours(obj: Mapping[str, Any]) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get(OWNER_LABEL) == OWNER)
