# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Felix goes by besides Calico's objects: its DaemonSet's variables, and kube-proxy's configuration."""

from __future__ import annotations

from ..calico.felix.daemon_set import API_VERSION, KIND, LABEL, NAMES, only_settings
from ..calico.stored.kube_proxy import CONFIG_MAP, NAMESPACE
from .client import ApiError, Cluster, Object

DAEMONSETS = "/apis/apps/v1/daemonsets"


def settings(cluster: Cluster) -> list[Object]:
    """The DaemonSets that run Felix, without anything but its variables; none where they may not be read."""
    selector = f"{LABEL} in ({','.join(NAMES)})"
    found = cluster.list_if_readable(DAEMONSETS, labelSelector=selector)
    return [{**only_settings(item), "kind": KIND, "apiVersion": API_VERSION} for item in found or ()]


def kube_proxy(cluster: Cluster) -> list[Object]:
    """The ConfigMap that kubeadm writes for kube-proxy; none where it may not be read."""
    try:
        found = cluster.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}")
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    return [{**found, "kind": "ConfigMap", "apiVersion": "v1"}] if found else []
