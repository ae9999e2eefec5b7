# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which service an EndpointSlice belongs to (Kubernetes: discovery/v1, LabelServiceName)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KIND = "EndpointSlice"
API_VERSION = "discovery.k8s.io/v1"
SERVICE_LABEL = "kubernetes.io/service-name"
# The service of the API servers, in the namespace ``default``.
API_SERVICE = "kubernetes"
TYPHA_SERVICE = "calico-typha"


def service_of(item: Mapping[str, Any]) -> str:
    """Name of the service; empty where there is none."""
    labels = (item.get("metadata") or {}).get("labels")
    return str(labels.get(SERVICE_LABEL, "")) if isinstance(labels, Mapping) else ""
