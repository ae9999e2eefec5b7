# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the API servers are, as the service ``kubernetes`` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from ..calico.endpoint_slice import API_SERVICE, API_VERSION, KIND, SERVICE_LABEL, TYPHA_SERVICE
from .client import Cluster, Object

PATH = f"/apis/{API_VERSION}/namespaces/default/endpointslices"
ALL = f"/apis/{API_VERSION}/endpointslices"
SELECTOR = f"{SERVICE_LABEL}={API_SERVICE}"
TYPHA_SELECTOR = f"{SERVICE_LABEL}={TYPHA_SERVICE}"


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


def vital_slices(cluster: Cluster) -> list[Object]:
    """EndpointSlices of the services that nodes live by; the API's alone where no more may be read."""
    selector = f"{SERVICE_LABEL} in ({API_SERVICE},{TYPHA_SERVICE})"
    listed = cluster.list_if_readable(ALL, labelSelector=selector)
    if listed is None:
        listed = read_slices(cluster)
    return [{**item, "apiVersion": API_VERSION, "kind": KIND} for item in listed or []]
