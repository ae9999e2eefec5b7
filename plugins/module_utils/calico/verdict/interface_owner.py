# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which host endpoint owns which interface of a node.

Source: resolveHostEndpoints in felix/dataplane/linux/endpoint_mgr.go, v3.32.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ..address import Address, parse_address
from ..bad_input import BadInput
from ..stored.model import WILDCARD, HostEndpoint

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


@dataclass(frozen=True)
class Ownership:
    """One way in which an interface may be owned. ``condition`` is empty where no other way is left."""

    interface: str
    owner: Optional[HostEndpoint]
    condition: str = ""


def possible_owners(
    local: Sequence[HostEndpoint],
    interface: str,
    interfaces: Optional[Mapping[str, Sequence[Address]]],
    workload_prefixes: Sequence[str] = WORKLOAD_PREFIXES,
) -> list[Ownership]:
    """Every host endpoint that may own an interface by its name or address, None for the wildcard's turn.

    :param local: the node's host endpoints
    :param interface: the interface, or empty where it is not known
    :param interfaces: the node's interfaces and addresses, None where they are not known
    """
    candidates = sorted(
        (hep for hep in local if hep.interface != WILDCARD), key=lambda hep: hep.name.encode()
    )
    if interface:
        addresses = (interfaces or {}).get(interface)
        return _owners_of(candidates, interface, addresses, workload_prefixes)
    if interfaces is None:
        names = sorted({hep.interface for hep in candidates if hep.interface})
        by_address = [hep for hep in candidates if not hep.interface]
        found = [Ownership("", None, "the interface is one that no host endpoint names")]
        found += [Ownership("", hep, f"the interface carries an address of {hep.name}") for hep in by_address]
    else:
        names, found = sorted(interfaces), []
    for name in names:
        addresses = (interfaces or {}).get(name, ())
        for way in _owners_of(candidates, name, addresses, workload_prefixes):
            found.append(Ownership(name, way.owner, f"the interface is {name}"))
    return found or [Ownership("", None)]


def _owners_of(
    candidates: Sequence[HostEndpoint],
    interface: str,
    addresses: Optional[Sequence[Address]],
    workload_prefixes: Sequence[str],
) -> list[Ownership]:
    if is_workload_interface(interface, workload_prefixes):
        return [Ownership(interface, None)]
    if addresses is not None:
        return [
            Ownership(interface, next((hep for hep in candidates if claims(hep, interface, addresses)), None))
        ]
    ways: list[Ownership] = []
    for hep in candidates:
        if hep.interface == interface:
            condition = (
                f"{interface} carries no address of {ways[0].owner.name}" if ways and ways[0].owner else ""
            )
            return [*ways, Ownership(interface, hep, condition)]
        if not hep.interface:
            ways.append(Ownership(interface, hep, f"{interface} carries an address of {hep.name}"))
    if not ways:
        return [Ownership(interface, None)]
    return [*ways, Ownership(interface, None, f"{interface} carries no address that a host endpoint expects")]


@dataclass(frozen=True)
class NodeFacts:
    """What is known of a node. ``interfaces`` is None where nobody said which it has."""

    name: str
    labels: Mapping[str, str]
    interfaces: Optional[Mapping[str, tuple[Address, ...]]] = None


def parse_nodes(raw: object) -> dict[str, NodeFacts]:
    """Read nodes as users describe them: ``{name, labels, interfaces: {eth0: [addresses with prefix]}}``.

    :raises BadInput: field ``nodes[i]…``, its value and what would be right
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise BadInput("nodes", raw, "a list of {name, labels, interfaces}")
    nodes: dict[str, NodeFacts] = {}
    for index, entry in enumerate(raw):
        node = _parse_node(entry, f"nodes[{index}]")
        if node.name in nodes:
            raise BadInput(f"nodes[{index}].name", node.name, "two nodes of one name")
        nodes[node.name] = node
    return nodes


def _parse_node(entry: object, place: str) -> NodeFacts:
    if not isinstance(entry, Mapping):
        raise BadInput(place, entry, "a mapping with name, labels and interfaces")
    name, labels, interfaces = entry.get("name"), entry.get("labels") or {}, entry.get("interfaces")
    if not isinstance(name, str) or not name:
        raise BadInput(f"{place}.name", name, "the node's name")
    if not isinstance(labels, Mapping):
        raise BadInput(f"{place}.labels", labels, "a mapping of label names to values")
    if interfaces is None:
        return NodeFacts(name, {str(key): str(value) for key, value in labels.items()})
    if not isinstance(interfaces, Mapping):
        raise BadInput(
            f"{place}.interfaces", interfaces, "a mapping of interface names to lists of addresses"
        )
    found: dict[str, tuple[Address, ...]] = {}
    for interface, texts in interfaces.items():
        addresses = []
        if not isinstance(texts, (list, tuple, type(None))):
            raise BadInput(f"{place}.interfaces.{interface}", texts, "a list of addresses")
        for text in texts or ():
            address = parse_address(str(text).partition("/")[0])
            if address is None:
                raise BadInput(
                    f"{place}.interfaces.{interface}", text, "an address, with or without its prefix length"
                )
            addresses.append(address)
        found[str(interface)] = tuple(addresses)
    return NodeFacts(name, {str(key): str(value) for key, value in labels.items()}, found)
