# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which host endpoint owns which interface of a node.

Source: resolveHostEndpoints in felix/dataplane/linux/endpoint_mgr.go, v3.32.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from .resources_address import Address
from .resources_model import WILDCARD, HostEndpoint

WORKLOAD_PREFIXES = ("cali",)


@dataclass(frozen=True)
class Resolution:
    """The active host endpoints of one node.

    ``by_interface`` holds the interfaces that a host endpoint names or that carry one of its addresses;
    ``wildcard`` is the one for all other interfaces; ``idle`` are those that lost or match nothing.
    """

    by_interface: Mapping[str, HostEndpoint]
    wildcard: Optional[HostEndpoint]
    idle: tuple[HostEndpoint, ...] = ()

    def owner(self, interface: str) -> Optional[HostEndpoint]:
        """The host endpoint whose normal and forward policy governs an interface."""
        return self.by_interface.get(interface, self.wildcard)


def resolve_host_endpoints(
    host_endpoints: Iterable[HostEndpoint],
    node: str,
    interfaces: Mapping[str, Sequence[Address]],
    workload_prefixes: Sequence[str] = WORKLOAD_PREFIXES,
) -> Resolution:
    """Say which host endpoint is active on which interface of a node.

    The node's name is compared as written: Felix does not fold case here. Of several candidates the one
    with the alphabetically first name wins; a match by name is not preferred to one by address.

    :param interfaces: interface name to its addresses; workload interfaces are passed over
    """
    local = sorted((hep for hep in host_endpoints if hep.node == node), key=lambda hep: hep.name.encode())
    wildcard = next((hep for hep in local if hep.interface == WILDCARD), None)
    by_interface: dict[str, HostEndpoint] = {}
    for interface, addresses in interfaces.items():
        if is_workload_interface(interface, workload_prefixes):
            continue
        owner = next((hep for hep in local if claims(hep, interface, addresses)), None)
        if owner:
            by_interface[interface] = owner
    active = {hep.name for hep in by_interface.values()} | ({wildcard.name} if wildcard else set())
    return Resolution(by_interface, wildcard, tuple(hep for hep in local if hep.name not in active))


def claims(hep: HostEndpoint, interface: str, addresses: Sequence[Address]) -> bool:
    """Whether a host endpoint names this interface, or expects one of its addresses and names none."""
    if hep.interface:
        return hep.interface == interface
    return any(address in addresses for address in hep.expected_ips)


def is_workload_interface(interface: str, prefixes: Sequence[str] = WORKLOAD_PREFIXES) -> bool:
    """Whether Felix takes the interface for a pod's."""
    return interface.startswith(tuple(prefixes))
