# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who the addresses are: nodes, pods, the API, network sets, and how many of them a row can hold."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from ..address import BITS, Address, Net, host_net, parse_address, parse_net
from ..endpoint_slice import API_SERVICE, service_of
from ..stored.rules import PROTOCOLS
from ..verdict.flow import Flow

NODE, POD, API, LOCAL, NETWORK_SET, SERVICE, OTHER = (
    "node",
    "pod",
    "api",
    "local",
    "network-set",
    "service",
    "other",
)
NONE, SUBNET, LABEL = "none", "subnet", "label"
GENERALISE = (NONE, SUBNET, LABEL)
SUBNET_BITS = {4: 24, 6: 64}
_WIDE_BITS = {4: 16, 6: 48}
_MOST_PEERS = 256
_SERVERS: dict[tuple[int, Optional[int]], str] = {(6, 53): "DNS", (17, 53): "DNS", (17, 123): "NTP"}
_LOCAL_NETS = tuple(net for net in map(parse_net, ("127.0.0.0/8", "::1/128", "fe80::/10")) if net)


class Names:
    """Names of the addresses that the objects tell of."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        self._exact: dict[Address, tuple[str, str]] = {}
        self._sets: dict[tuple[int, int], dict[int, str]] = {}
        self._node_ports: dict[tuple[int, Optional[int]], str] = {}
        for item in objects:
            reader = _READERS.get(str(item.get("kind")))
            if reader:
                reader(self, item)
        self._prefixes = sorted(self._sets, reverse=True)
        self._found: dict[Address, tuple[str, str]] = {}

    def service_of(self, flow: Flow) -> str:
        """The Service by whose address or NodePort a connection was opened; empty where by none."""
        if flow.original_destination is None and flow.original_destination_port is None:
            return ""
        address, port = flow.before_translation()
        kind, name = self.of(address)
        return name if kind == SERVICE else self._node_ports.get((flow.protocol, port), "")

    def of(self, address: Address) -> tuple[str, str]:
        """(kind, name); the name is empty where only the kind is known."""
        known = self._exact.get(address)
        if known:
            return known
        if address not in self._found:
            if len(self._found) >= 65536:
                self._found.clear()
            self._found[address] = self._by_net(address)
        return self._found[address]

    def of_peer(self, flow: Flow) -> tuple[str, str]:
        """(kind, name) of the other end; of a server that no object names, what it is by its port."""
        outwards = flow.direction == "egress"
        found = self.of(flow.destination if outwards else flow.source)
        if found != (OTHER, "") or not outwards:
            return found
        return OTHER, _SERVERS.get((flow.protocol, flow.destination_port), "")

    def _by_net(self, address: Address) -> tuple[str, str]:
        if any(net.contains(address) for net in _LOCAL_NETS):
            return LOCAL, ""
        for prefix, version in self._prefixes:
            if version == address.version:
                shift = BITS[version] - prefix
                name = self._sets[prefix, version].get(address.number >> shift << shift)
                if name:
                    return NETWORK_SET, name
        return OTHER, ""

    def _put(self, text: object, kind: str, name: str) -> None:
        address = parse_address(text)
        if address:
            self._exact.setdefault(address, (kind, name))

    def _node(self, item: Mapping[str, Any]) -> None:
        for entry in _items(item, "status", "addresses"):
            if isinstance(entry, Mapping):
                self._put(entry.get("address"), NODE, _name(item))

    def _pod(self, item: Mapping[str, Any]) -> None:
        if (item.get("spec") or {}).get("hostNetwork"):
            return
        for entry in _items(item, "status", "podIPs"):
            if isinstance(entry, Mapping):
                self._put(entry.get("ip"), POD, f"{_namespace(item)}/{_name(item)}")

    def _service(self, item: Mapping[str, Any]) -> None:
        name = f"{_namespace(item)}/{_name(item)}"
        for text in (*_items(item, "spec", "clusterIPs"), *_items(item, "spec", "externalIPs")):
            self._put(text, SERVICE, name)
        balancer = (item.get("status") or {}).get("loadBalancer") or {}
        for entry in balancer.get("ingress") or ():
            if isinstance(entry, Mapping):
                self._put(entry.get("ip"), SERVICE, name)
        for port in _items(item, "spec", "ports"):
            if isinstance(port, Mapping) and isinstance(port.get("nodePort"), int):
                protocol = PROTOCOLS.get(str(port.get("protocol") or "TCP").lower(), 0)
                self._node_ports.setdefault((protocol, port["nodePort"]), name)

    def _network_set(self, item: Mapping[str, Any]) -> None:
        for text in _items(item, "spec", "nets"):
            net = parse_net(text)
            if net:
                self._sets.setdefault((net.prefix, net.version), {})[net.number] = _name(item)

    def _slice(self, item: Mapping[str, Any]) -> None:
        if (_namespace(item), service_of(item)) != ("default", API_SERVICE):
            return
        endpoints = item.get("endpoints")
        for endpoint in endpoints if isinstance(endpoints, list) else ():
            for text in (endpoint or {}).get("addresses") or ():
                address = parse_address(text)
                if address and self._exact.get(address, (API,))[0] != NODE:
                    self._exact[address] = (API, "kubernetes")


_READERS = {
    "Node": Names._node,
    "Pod": Names._pod,
    "Service": Names._service,
    "GlobalNetworkSet": Names._network_set,
    "NetworkSet": Names._network_set,
    "EndpointSlice": Names._slice,
}


def _items(item: Mapping[str, Any], part: str, field: str) -> Sequence[object]:
    found = (item.get(part) or {}).get(field)
    return found if isinstance(found, list) else ()


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name") or "")


def _namespace(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("namespace") or "")


class Peers:
    """The peers of one row, bounded: beyond some hundred, nets take the place of addresses."""

    def __init__(self) -> None:
        self._nets: dict[Net, int] = {}
        self.widened = False
        """Whether nets stand for addresses that were not all seen."""

    def add(self, address: Address, bits: Optional[int], count: int) -> None:
        """:param bits: prefix length where the address stands for a net, or None"""
        net = host_net(address)
        if bits is not None:
            net = _cut(net, bits)
            self.widened = True
        self._nets[net] = self._nets.get(net, 0) + count
        if len(self._nets) > _MOST_PEERS:
            self._widen()

    def add_net(self, net: Net) -> None:
        """A net all of which is meant."""
        self._nets.setdefault(net, 0)

    def merge(self, other: Peers) -> None:
        """Add all peers of another row."""
        self.widened = self.widened or other.widened
        for net, count in other._nets.items():
            self._nets[net] = self._nets.get(net, 0) + count
        if len(self._nets) > _MOST_PEERS:
            self._widen()

    def _widen(self) -> None:
        """From addresses to subnets, then /16 and /48, then everything: each only if that many are left."""
        for bits in (SUBNET_BITS, _WIDE_BITS, {4: 0, 6: 0}):
            nets: dict[Net, int] = {}
            for net, count in self._nets.items():
                wide = _cut(net, min(net.prefix, bits[net.version]))
                nets[wide] = nets.get(wide, 0) + count
            self._nets, self.widened = nets, True
            if len(nets) <= _MOST_PEERS // 2:
                return

    def __len__(self) -> int:
        return len(self._nets)

    def nets(self, generalise: str = NONE) -> list[str]:
        """CIDRs that hold all peers, joined where neighbours are complete, in order.

        :param generalise: ``subnet`` makes /24 and /64 of addresses; so does ``label``, whose
            nets are for peers that no label selects
        """
        widest = BITS if generalise == NONE else SUBNET_BITS
        cut = {_cut(net, min(net.prefix, widest[net.version])) for net in self._nets}
        result: list[str] = []
        for version in (4, 6):
            networks: list[Any] = [ipaddress.ip_network(str(net)) for net in cut if net.version == version]
            result.extend(str(net) for net in ipaddress.collapse_addresses(networks))
        return result

    def each(self) -> tuple[Net, ...]:
        """Every peer as it was seen; empty where nets stand for addresses that were not all seen."""
        return () if self.widened else tuple(self._nets)

    def versions(self) -> tuple[int, ...]:
        return tuple(sorted({net.version for net in self._nets}))


def _cut(net: Net, bits: int) -> Net:
    if bits >= net.prefix:
        return net
    shift = BITS[net.version] - bits
    return Net(net.version, net.number >> shift << shift, bits)
