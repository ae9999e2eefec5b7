# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows that a platform's hosts need, as packets: what nobody saw may still be needed tomorrow."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from ..address import Address, Net, parse_address, parse_net
from ..policy.required_flows import Peer, PlatformNetworks, RequiredFlow, Where, networks_of, required_flows
from ..stored.model import Store
from ..stored.rules import PROTOCOLS
from ..verdict.flow import WITH_PORTS, Flow
from .peers import API, LOCAL, NODE, OTHER, POD

_KINDS = {Peer.NODES: NODE, Peer.CLUSTER: POD, Peer.API: API, Peer.CONTROL_PLANE: NODE, Peer.LOCAL: LOCAL}
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class RequiredPacket:
    """A packet that stands for a flow that has to work.

    :ivar peers: the net of which one is in the packet
    :ivar kind: what its peers are, as :mod:`.peers` calls them
    """

    purpose: str
    flow: Flow
    peers: Net
    kind: str = OTHER


def packets(preset: str, around: PlatformNetworks, store: Store) -> Iterator[RequiredPacket]:
    """For each node, required flow and net of its peers one packet, from or to an address within.

    Flows whose peers may be anywhere are left out: no packet stands for them.

    :raises BadInput: no such preset
    """
    needed = required_flows(preset, around)
    for name, node in sorted(store.nodes.items()):
        for flow in needed:
            if flow.where is Where.CONTROL_PLANE and CONTROL_PLANE_LABEL not in node.labels:
                continue
            for net in flow.nets or networks_of(flow.peer, around) or ():
                packet, peers = _packet(name, node.addresses, flow, net), parse_net(net)
                if packet and peers:
                    yield RequiredPacket(flow.purpose, packet, peers, _KINDS.get(flow.peer, OTHER))


def _packet(node: str, addresses: tuple[Address, ...], flow: RequiredFlow, net: str) -> Optional[Flow]:
    network = ipaddress.ip_network(net, strict=False)
    own = next((address for address in addresses if address.version == network.version), None)
    protocol = _protocol(flow.protocol)
    if own is None or protocol is None or network.is_loopback:
        return None
    if (
        flow.ip_version not in (None, network.version)
        or {"ICMP": 4, "ICMPv6": 6}.get(flow.protocol, network.version) != network.version
    ):
        return None
    within = parse_address(str(network[0] if network.num_addresses == 1 else network[1]))
    if within is None:
        return None
    inwards = flow.direction == "Ingress"
    ports = protocol in WITH_PORTS
    return Flow(
        node,
        "ingress" if inwards else "egress",
        protocol,
        within if inwards else own,
        own if inwards else within,
        source_port=_first(flow.source_ports) if ports else None,
        destination_port=_first(flow.ports) if ports else None,
        icmp_type=flow.icmp_type,
        icmp_code=None if flow.icmp_type is None else 0,
    )


def _protocol(text: str) -> Optional[int]:
    if text.isdigit():
        return int(text)
    return PROTOCOLS.get(text.lower())


def _first(ports: tuple[object, ...]) -> Optional[int]:
    return int(str(ports[0]).partition(":")[0]) if ports else None
