# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Felix goes by besides Calico's objects: its DaemonSet's variables, and kube-proxy's mode."""

from __future__ import annotations

from ..calico.felix.daemon_set import API_VERSION, KIND, LABEL, NAMES, configured_environment, only_settings
from ..calico.stored.kube_proxy import CONFIG_MAP, NAMESPACE, configured_mode
from .client import ApiError, Cluster, Object
from .host_view import DAEMONSETS


def settings(cluster: Cluster) -> list[Object]:
    """Its settings as objects; none where it may not be read."""
    selector = f"{LABEL} in ({','.join(NAMES)})"
    found = cluster.list_if_readable(DAEMONSETS, labelSelector=selector)
    return [{**only_settings(item), "kind": KIND, "apiVersion": API_VERSION} for item in found or ()]


def environment(cluster: Cluster) -> dict[str, str]:
    """Felix's variables with their values; none where it may not be read."""
    return configured_environment(settings(cluster))


def kube_proxy_mode(cluster: Cluster) -> str:
    """kube-proxy's mode, as the ConfigMap that kubeadm writes says it; empty where it may not be read."""
    try:
        found = cluster.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}")
    except ApiError as error:
        if error.status == 403:
            return ""
        raise
    return configured_mode([{**found, "kind": "ConfigMap"}]) if found else ""
