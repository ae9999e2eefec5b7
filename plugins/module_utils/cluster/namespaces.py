# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in a namespace, before it is removed."""

from __future__ import annotations

from typing import Callable

from .client import Cluster, Object

PATH = "/api/v1/namespaces"
# What Kubernetes itself puts into every namespace.
_BORN_WITH_NAMESPACE = {("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")}
_LOOKED_FOR = ("pods", "serviceaccounts", "configmaps", "secrets")


def inhabitants(cluster: Cluster, namespace: str, goes_too: Callable[[Object], bool]) -> list[str]:
    """What others have in a namespace, as ``<plural>/<name>``.

    :param goes_too: whether an object does not count, because it is removed as well
    """
    return [
        f"{plural}/{obj['metadata']['name']}"
        for plural in _LOOKED_FOR
        for obj in cluster.list(f"{PATH}/{namespace}/{plural}")
        if not goes_too(obj) and (plural, str(obj["metadata"]["name"])) not in _BORN_WITH_NAMESPACE
    ]
