# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random traffic of 33 kinds, and the flows that the node must have seen of it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from .lab import CLIENT, CLIENTS, NODE, POD, SERVER

NODE0, NODE1, PEER, POD4, SERVER4 = "10.77.0.21", "10.78.0.21", "10.77.0.9", "10.244.1.7", "10.78.0.30"
NODE6, PEER6, POD6, SERVER6 = "fd77::21", "fd77::9", "fd24::7", "fd78::30"
TCP, UDP, SCTP = 6, 17, 132
WEIGHTS = {
    "in_tcp": 8,
    "in_refused": 3,
    "in_udp": 3,
    "in_udp_refused": 2,
    "nodeport_tcp": 4,
    "nodeport_udp": 2,
    "to_pod": 2,
    "through": 2,
    "ping": 2,
    "sctp": 1,
    "gre": 1,
    "ipip": 1,
    "ospf": 1,
    "multicast": 1,
    "broadcast": 1,
    "out_tcp": 3,
    "out_refused": 1,
    "out_unanswered": 1,
    "out_dns": 2,
    "service_outside": 2,
    "service_self": 1,
    "service_pod": 1,
    "service_dns": 1,
    "loopback4": 1,
    "loopback6": 1,
    "own_address": 1,
    "out_ping": 1,
    "pod_outside": 3,
    "pod_to_host": 2,
    "pod_service_host": 1,
    "pod_service_outside": 1,
    "second_network": 2,
    "second_network_nodeport": 1,
}


class Flow(NamedTuple):
    """What makes a flow distinct, addresses as text."""

    direction: str
    protocol: int
    source: str
    destination: str
    port: Optional[int] = None
    original: Optional[str] = None
    original_port: Optional[int] = None
    icmp: Optional[tuple[int, int]] = None
    interface: str = ""
    out_interface: str = ""


@dataclass
class Plan:
    """Probes by the role that sends them, and how many connections of each flow they make."""

    probes: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    flows: Counter[Flow] = field(default_factory=Counter)


def make(count: int, seed: int) -> Plan:
    """A plan of ``count`` random probes; each kind stands in it at least once."""
    chance = random.Random(seed)
    plan = Plan()
    drawn = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=max(count - len(WEIGHTS), 0))
    for number, kind in enumerate([*WEIGHTS, *drawn]):
        _Probe(plan, chance, number).make(kind)
    return plan


class _Probe:
    def __init__(self, plan: Plan, chance: random.Random, number: int) -> None:
        self.plan, self.chance, self.number = plan, chance, number
        self.v6 = chance.random() < 0.3
        client = chance.randint(1, CLIENTS)
        self.client4 = f"10.77.2.{client}"
        self.client = f"fd77:2::{client}" if self.v6 else self.client4
        self.node = NODE6 if self.v6 else NODE0
        self.pod = POD6 if self.v6 else POD4
        self.server = SERVER6 if self.v6 else SERVER4

    def make(self, kind: str) -> None:
        getattr(self, kind)()

    def send(self, role: str, kind: str, to: str, port: int = 0, **more: Any) -> None:
        self.plan.probes[role].append({"kind": kind, "to": to, "port": port, **more})

    def want(
        self, direction: str, protocol: int, source: str, to: str, port: Any = None, **more: Any
    ) -> None:
        self.plan.flows[Flow(direction, protocol, source, to, port, **more)] += 1

    def in_tcp(self, low: int = 2000, high: int = 2019) -> None:
        port = self.chance.choice([22, 6443, self.chance.randint(low, high)])
        self.send(CLIENT, "tcp", self.node, port, source=self.client)
        self.want("ingress", TCP, self.client, self.node, port, interface="eth0")

    def in_refused(self) -> None:
        port = self.chance.randint(3000, 3019)
        self.send(CLIENT, "tcp", self.node, port, source=self.client)
        self.want("ingress", TCP, self.client, self.node, port, interface="eth0")

    def in_udp(self) -> None:
        port = self.chance.choice([53, 5555])
        self.send(CLIENT, "udp", self.node, port, source=self.client, answered=True)
        self.want("ingress", UDP, self.client, self.node, port, interface="eth0")

    def in_udp_refused(self) -> None:
        port = self.chance.randint(3100, 3109)
        self.send(CLIENT, "udp", self.node, port, source=self.client)
        self.want("ingress", UDP, self.client, self.node, port, interface="eth0")

    def nodeport_tcp(self) -> None:
        self.send(CLIENT, "tcp", self.node, 30080, source=self.client)
        self._to_pod(TCP, self.client, self.pod, 8080, self.node, 30080)

    def nodeport_udp(self) -> None:
        self.send(CLIENT, "udp", NODE0, 30053, source=self.client4, answered=True)
        self._to_pod(UDP, self.client4, POD4, 53, NODE0, 30053)

    def _to_pod(
        self, protocol: int, source: str, pod: str, port: int, original: Any = None, original_port: Any = None
    ) -> None:
        where = {"interface": "eth0", "out_interface": "cali1"}
        self.want(
            "forward", protocol, source, pod, port, original=original, original_port=original_port, **where
        )

    def to_pod(self) -> None:
        port = self.chance.choice([9000, 9001])
        self.send(CLIENT, "tcp", self.pod, port, source=self.client)
        self._to_pod(TCP, self.client, self.pod, port)

    def through(self) -> None:
        port = self.chance.choice([443, 444])
        self.send(CLIENT, "tcp", self.server, port, source=self.client)
        self.want("forward", TCP, self.client, self.server, port, interface="eth0", out_interface="eth1")

    def ping(self) -> None:
        peer = PEER6 if self.v6 else PEER
        self.send(CLIENT, "ping", self.node, id=self.number & 0xFFFF)
        icmp = (128, 0) if self.v6 else (8, 0)
        self.want("ingress", 58 if self.v6 else 1, peer, self.node, icmp=icmp, interface="eth0")

    def sctp(self) -> None:
        port = self.chance.choice([3868, 36412])
        self.send(CLIENT, "sctp", NODE0, port, source_port=20000 + self.number)
        self.want("ingress", SCTP, PEER, NODE0, port, interface="eth0")

    def _raw(self, protocol: int) -> None:
        self.send(CLIENT, "raw", NODE0, protocol=protocol)
        self.want("ingress", protocol, PEER, NODE0, interface="eth0")

    def gre(self) -> None:
        self._raw(47)

    def ipip(self) -> None:
        self._raw(4)

    def ospf(self) -> None:
        self._raw(89)

    def multicast(self) -> None:
        self.send(CLIENT, "udp", "224.0.0.251", 5353)
        self.want("ingress", UDP, PEER, "224.0.0.251", 5353, interface="eth0")

    def broadcast(self) -> None:
        self.send(CLIENT, "udp", "10.77.0.255", 138)
        self.want("ingress", UDP, PEER, "10.77.0.255", 138, interface="eth0")

    def out_tcp(self) -> None:
        self.send(NODE, "tcp", self.server, 443)
        source = "fd78::21" if self.v6 else NODE1
        self.want("egress", TCP, source, self.server, 443, interface="eth1")

    def out_refused(self) -> None:
        port = self.chance.randint(4000, 4009)
        self.send(NODE, "tcp", SERVER4, port)
        self.want("egress", TCP, NODE1, SERVER4, port, interface="eth1")

    def out_unanswered(self) -> None:
        port = self.chance.randint(5000, 5003)
        self.send(NODE, "tcp", "10.78.0.77", port, unanswered=True)
        self.want("egress", TCP, NODE1, "10.78.0.77", port, interface="eth1")

    def out_dns(self) -> None:
        self.send(NODE, "udp", SERVER4, 53, answered=True)
        self.want("egress", UDP, NODE1, SERVER4, 53, interface="eth1")

    def _service(self, to: str, port: int, real: str, real_port: int, interface: str) -> None:
        self.send(NODE, "udp" if port == 53 else "tcp", to, port, answered=True)
        protocol = UDP if port == 53 else TCP
        before = {"original": to, "original_port": port, "interface": interface}
        self.want("egress", protocol, NODE1, real, real_port, **before)

    def service_outside(self) -> None:
        self._service("10.96.0.2", 443, SERVER4, 6443, "eth1")

    def service_self(self) -> None:
        self._service("10.96.0.1", 443, NODE0, 6443, "lo")
        self.want("ingress", TCP, NODE1, NODE0, 6443, interface="lo")

    def service_pod(self) -> None:
        self._service("10.96.0.11", 80, POD4, 8080, "cali1")

    def service_dns(self) -> None:
        self._service("10.96.0.10", 53, POD4, 53, "cali1")

    def _over_loopback(self, address: str, port: int) -> None:
        self.send(NODE, "tcp", address, port)
        for direction in ("egress", "ingress"):
            self.want(direction, TCP, address, address, port, interface="lo")

    def loopback4(self) -> None:
        self._over_loopback("127.0.0.1", 6443)

    def loopback6(self) -> None:
        self._over_loopback("::1", 6443)

    def own_address(self) -> None:
        self._over_loopback(NODE0, 22)

    def out_ping(self) -> None:
        self.send(NODE, "ping", SERVER4, id=self.number & 0xFFFF)
        self.want("egress", 1, NODE1, SERVER4, icmp=(8, 0), interface="eth1")

    def pod_outside(self) -> None:
        self.send(POD, "tcp", self.server, 443)
        self.want("forward", TCP, self.pod, self.server, 443, interface="cali1", out_interface="eth1")

    def pod_to_host(self) -> None:
        port = self.chance.choice([22, 2000, 3000])
        self.send(POD, "tcp", NODE0, port)
        self.want("ingress", TCP, POD4, NODE0, port, interface="cali1")

    def pod_service_host(self) -> None:
        self.send(POD, "tcp", "10.96.0.1", 443)
        self.want(
            "ingress", TCP, POD4, NODE0, 6443, original="10.96.0.1", original_port=443, interface="cali1"
        )

    def pod_service_outside(self) -> None:
        self.send(POD, "tcp", "10.96.0.2", 443)
        before = {"original": "10.96.0.2", "original_port": 443}
        self.want("forward", TCP, POD4, SERVER4, 6443, interface="cali1", out_interface="eth1", **before)

    def second_network(self) -> None:
        self.send(SERVER, "tcp", NODE1, 22)
        self.want("ingress", TCP, SERVER4, NODE1, 22, interface="eth1")

    def second_network_nodeport(self) -> None:
        self.send(SERVER, "tcp", NODE1, 30080)
        before = {"original": NODE1, "original_port": 30080}
        self.want("forward", TCP, SERVER4, POD4, 8080, interface="eth1", out_interface="cali1", **before)
