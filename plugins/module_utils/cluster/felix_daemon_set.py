# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The DaemonSet that runs Felix, as far as it sets Felix's configuration."""

from __future__ import annotations

from ..calico.felix.daemon_set import API_VERSION, KIND, LABEL, NAMES, configured_environment, only_settings
from .client import Cluster, Object
from .host_view import DAEMONSETS


def settings(cluster: Cluster) -> list[Object]:
    """Its settings as objects; none where it may not be read."""
    selector = f"{LABEL} in ({','.join(NAMES)})"
    found = cluster.list_if_readable(DAEMONSETS, labelSelector=selector)
    return [{**only_settings(item), "kind": KIND, "apiVersion": API_VERSION} for item in found or ()]


def environment(cluster: Cluster) -> dict[str, str]:
    """Felix's variables with their values; none where it may not be read."""
    return configured_environment(settings(cluster))
