# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connections that a cluster's nodes live by, as the attacks watch and deny them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

GATEWAY = ("10.99.0.1", "fd99::1")
# Where the control plane is: the namespace of the bridge.
OUTSIDE = "outside"


@dataclass(frozen=True)
class Host:
    """A node of the testbed: its name, its addresses (IPv4, IPv6)."""

    name: str
    addresses: tuple[str, str]


@dataclass(frozen=True)
class VitalPath:
    """One connection that must stay possible.

    :ivar kind: what it is for: ``ssh``, ``kubelet``, ``overlay``, ``api``, ``dns``, ``ntp``, ``loopback``
    :ivar node: whose policy decides
    :ivar direction: seen from that node
    :ivar opener: the network namespace from which a new connection is tried: a node's name or ``outside``
    :ivar protocol: ``TCP`` or ``UDP``
    """

    kind: str
    node: str
    direction: str
    opener: str
    protocol: str
    source: str
    destination: str
    port: int

    @property
    def name(self) -> str:
        family = 6 if ":" in self.destination else 4
        what = f"{self.kind} {self.protocol.lower()}/{self.port} v{family}"
        return f"{what} {self.opener} {self.direction} {self.node}"

    def flow(self) -> dict[str, Any]:
        """The flow as ``flow_verdict`` takes it."""
        return {
            "node": self.node,
            "direction": self.direction,
            "interface": "lo" if self.kind == "loopback" else "eth0",
            "protocol": self.protocol,
            "source": self.source,
            "destination": self.destination,
            "destination_port": self.port,
        }


def vital_paths(hosts: Sequence[Host]) -> list[VitalPath]:
    """All of them, for every node and both families."""
    found = []
    for index, host in enumerate(hosts):
        peer = hosts[(index + 1) % len(hosts)]
        for family in (0, 1):
            found += _of_family(host.name, host.addresses[family], peer, family)
    return found


def _of_family(node: str, own: str, peer: Host, family: int) -> list[VitalPath]:
    gateway, other = GATEWAY[family], peer.addresses[family]

    def inward(kind: str, opener: str, source: str, protocol: str, port: int) -> VitalPath:
        return VitalPath(kind, node, "ingress", opener, protocol, source, own, port)

    def outward(kind: str, protocol: str, destination: str, port: int) -> VitalPath:
        return VitalPath(kind, node, "egress", node, protocol, own, destination, port)

    loop = ("127.0.0.1", "::1")[family]
    return [
        inward("ssh", OUTSIDE, gateway, "TCP", 22),
        inward("kubelet", OUTSIDE, gateway, "TCP", 10250),
        inward("kubelet", peer.name, other, "TCP", 10250),
        inward("overlay", peer.name, other, "UDP", 4789),
        outward("api", "TCP", gateway, 6443),
        outward("api", "TCP", gateway, 443),
        outward("dns", "UDP", gateway, 53),
        outward("dns", "TCP", gateway, 53),
        outward("ntp", "UDP", gateway, 123),
        outward("kubelet", "TCP", other, 10250),
        VitalPath("loopback", node, "egress", node, "TCP", loop, loop, 10250),
    ]
