# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the API servers are, as the service ``kubernetes`` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from .client import Cluster, Object

PATH = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
SELECTOR = "kubernetes.io/service-name=kubernetes"


@dataclass(frozen=True)
class ApiEndpoint:
    """:ivar address: as text, of either IP version"""

    address: str
    port: int


def read_slices(cluster: Cluster) -> Optional[list[Object]]:
    """The EndpointSlices of the service ``kubernetes``; None where this user may not list them."""
    return cluster.list_if_readable(PATH, labelSelector=SELECTOR)


def endpoints_of(slices: Iterable[Object]) -> list[ApiEndpoint]:
    """All addresses with all ports of their slices."""
    return [
        ApiEndpoint(str(address), int(port["port"]))
        for part in slices
        for endpoint in part.get("endpoints") or []
        for address in endpoint.get("addresses") or []
        for port in part.get("ports") or []
        if port.get("port")
    ]
