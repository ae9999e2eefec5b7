# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows a node depends on, whether failsafes cover them, and who else those failsafes admit."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..address import Address, Net, parse_address
from ..endpoint_slice import API_SERVICE, service_of
from ..endpoint_slice import KIND as ENDPOINT_SLICE
from ..felix.configuration import INBOUND_ENV, OUTBOUND_ENV, FailsafePort
from ..finding import WARNING, Finding
from ..node_object import is_control_plane
from ..stored.reader import read
from ..stored.rules import PROTOCOLS
from ..verdict.flow import Flow
from ..verdict.interface_owner import NodeFacts as JudgedNode
from ..verdict.judge import Judge, Options
from ..verdict.packet_path import EBPF, IPTABLES
from ..verdict.program import DENY
from .expectation import JUDGED_KINDS, Expectation

COVERED, PARTLY, UNCOVERED, UNFILTERED = "covered", "partly", "uncovered", "unfiltered"

KUBELET_PORT = 10250

SETS = frozenset(("GlobalNetworkSet", "NetworkSet"))
STRANGERS = {4: Address(4, 0xC00002FE), 6: Address(6, (0x20010DB8 << 96) + 0xFFFE)}
"""Addresses that nobody has (192.0.2.254, RFC 5737; 2001:db8::fffe, RFC 3849): what holds for them holds for
everybody whom no rule names."""
HERE = {4: Address(4, 0xC63364FE), 6: Address(6, (0x20010DB8 << 96) + 0x10001)}
"""Of the same kind: the node's own address where it is not known."""
_LINK_LOCAL = Net(6, 0xFE80 << 112, 10)

Target = tuple[str, int]


@dataclass(frozen=True)
class VitalFacts:
    """What was found out on the node itself; empty where a dump is checked.

    :ivar api: API servers that this node's own configuration and connections use
    :ivar ntp: time servers that its time daemons are configured with
    :ivar ssh: ports on which SSH listens, or was reached
    :ivar listening: addresses and TCP ports that something listens on, not counting loopback
    """

    api: tuple[Target, ...] = ()
    typha: tuple[Target, ...] = ()
    dns: tuple[str, ...] = ()
    ntp: tuple[str, ...] = ()
    ssh: tuple[int, ...] = ()
    etcd_peers: tuple[Target, ...] = ()
    listening: frozenset[Target] = frozenset()


@dataclass(frozen=True)
class VitalPath:
    """One flow that the node needs.

    :ivar peer: address of the other side, empty for everybody
    """

    name: str
    direction: str
    protocol: str
    port: int
    peer: str
    status: str
    failsafes: tuple[FailsafePort, ...] = field(default_factory=tuple)
    open_to_everybody: bool = False

    def as_result(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "direction": self.direction,
            "protocol": self.protocol,
            "port": self.port,
            "peer": self.peer,
            "status": self.status,
            "failsafe": [str(entry) for entry in self.failsafes],
            "open_to_everybody": self.open_to_everybody,
        }


def vital_paths(
    expectation: Expectation,
    resources: Iterable[Mapping[str, Any]],
    facts: VitalFacts,
    interfaces: Optional[Mapping[str, Sequence[str]]] = None,
) -> list[VitalPath]:
    """The flows of this node, each once, and what its failsafes do for them.

    :param resources: as for :func:`..failsafe_expect.expect`, also for the API's endpoints and the addresses
        of the control plane
    """
    objects = list(resources)
    policy = _Policy(expectation, objects, interfaces)
    wanted = [
        *_ingress(expectation.node, objects, facts),
        *(("api", "out", "tcp", port, address) for address, port in (*_api_endpoints(objects), *facts.api)),
        *(("typha", "out", "tcp", port, address) for address, port in facts.typha),
        *(("dns", "out", protocol, 53, address) for address in facts.dns for protocol in ("udp", "tcp")),
        *(("etcd", "out", "tcp", port, address) for address, port in facts.etcd_peers),
    ]
    return [_judge(expectation, policy, *path) for path in dict.fromkeys(wanted)]


def path_findings(paths: Iterable[VitalPath]) -> Iterator[Finding]:
    """A warning for each flow without which the node is lost, and which policy alone decides."""
    for path in paths:
        if path.status == UNCOVERED and path.name in ("ssh", "api"):
            yield Finding(
                "vital.uncovered",
                WARNING,
                f"no failsafe covers {path.name} ({path.protocol}/{path.port} {path.direction}"
                + (f", {path.peer})" if path.peer else ")"),
                "add it to the failsafe list, or be sure that a policy allows it",
            )


Path = tuple[str, str, str, int, str]


def _ingress(node: str, objects: Sequence[Mapping[str, Any]], facts: VitalFacts) -> Iterator[Path]:
    for port in facts.ssh or (22,):
        yield "ssh", "in", "tcp", port, ""
    nodes = [item for item in objects if item.get("kind") == "Node"]
    control_plane = [item for item in nodes if is_control_plane(item)]
    for item in control_plane:
        for address in internal_addresses(item):
            yield "kubelet", "in", "tcp", KUBELET_PORT, address
    runs_control_plane = any(_name(item) == node for item in control_plane)
    for port in (2379, 2380):
        if runs_control_plane or any(listening == port for _address, listening in facts.listening):
            yield "etcd", "in", "tcp", port, ""


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name", ""))


def internal_addresses(item: Mapping[str, Any]) -> list[str]:
    """Addresses by which the cluster knows a Node."""
    listed = (item.get("status") or {}).get("addresses") or []
    return [str(entry.get("address")) for entry in listed if entry.get("type") == "InternalIP"]


def _api_endpoints(objects: Sequence[Mapping[str, Any]]) -> Iterator[Target]:
    """Addresses behind the Service ``kubernetes``: packets to it are judged after that translation."""
    for item in objects:
        if (item.get("metadata") or {}).get("namespace") != "default":
            continue
        if item.get("kind") == "Endpoints" and _name(item) == "kubernetes":
            for subset in item.get("subsets") or []:
                for entry in subset.get("addresses") or []:
                    for port in subset.get("ports") or []:
                        yield str(entry.get("ip")), int(port.get("port", 0))
        elif item.get("kind") == ENDPOINT_SLICE and service_of(item) == API_SERVICE:
            for entry in item.get("endpoints") or []:
                for address in entry.get("addresses") or []:
                    for port in item.get("ports") or []:
                        yield str(address), int(port.get("port", 0))


class _Policy:
    """What policy alone says of a node's connections, as if there were no failsafes."""

    def __init__(
        self,
        expectation: Expectation,
        objects: Sequence[Mapping[str, Any]],
        interfaces: Optional[Mapping[str, Sequence[str]]],
    ) -> None:
        node = expectation.node
        self.expectation = expectation
        self.addresses = {name: _addresses(texts) for name, texts in (interfaces or {}).items()}
        self.judge: Optional[Judge] = None
        if expectation.active:
            known = None if interfaces is None else self.addresses
            options = Options(
                calico_version=expectation.calico_version,
                dataplane=EBPF if expectation.bpf else IPTABLES,
                environment={INBOUND_ENV: "none", OUTBOUND_ENV: "none"},
            )
            judged = [item for item in objects if item.get("kind") in JUDGED_KINDS | SETS]
            self.judge = Judge(read(judged), {node: JudgedNode(node, {}, known)}, options)

    def denies_strangers(self, direction: str, protocol: str, port: int) -> bool:
        """Whether some address that no rule names is refused on some interface of a host endpoint."""
        if self.judge is None:
            return False
        names = [name for name in self.expectation.interfaces if name != "lo"] or [""]
        return any(
            self.judge.verdict(flow).verdict == DENY
            for name in names
            if self.expectation.owner("filter", "from" if direction == "in" else "to", name)
            for flow in self._flows(name, direction, protocol, port)
        )

    def _flows(self, interface: str, direction: str, protocol: str, port: int) -> Iterator[Flow]:
        own = {
            address.version: address
            for address in self.addresses.get(interface, ())
            if not _LINK_LOCAL.contains(address)
        }
        for version in sorted(own) or (4, 6):
            here, stranger = own.get(version) or HERE[version], STRANGERS[version]
            inbound = direction == "in"
            yield Flow(
                self.expectation.node,
                "ingress" if inbound else "egress",
                PROTOCOLS[protocol],
                stranger if inbound else here,
                here if inbound else stranger,
                interface,
                source_port=40000,
                destination_port=port,
            )


def _addresses(texts: Optional[Sequence[str]]) -> tuple[Address, ...]:
    parsed = (parse_address(str(text).partition("/")[0]) for text in texts or ())
    return tuple(address for address in parsed if address is not None)


def _judge(
    expectation: Expectation,
    policy: _Policy,
    name: str,
    direction: str,
    protocol: str,
    port: int,
    peer: str,
) -> VitalPath:
    if not expectation.active:
        return VitalPath(name, direction, protocol, port, peer, UNFILTERED)
    ports = expectation.failsafes.inbound if direction == "in" else expectation.failsafes.outbound
    same = [entry for entry in ports if entry.protocol == protocol and entry.port == port]
    full = [entry for entry in same if entry.net is None or _contains(entry.net, peer)]
    if peer:
        part: list[FailsafePort] = []
    else:
        part = [entry for entry in same if entry not in full]
    wide = any(_everybody(entry) for entry in full or part)
    return VitalPath(
        name,
        direction,
        protocol,
        port,
        peer,
        COVERED if full else PARTLY if part else UNCOVERED,
        tuple(full or part),
        open_to_everybody=wide and policy.denies_strangers(direction, protocol, port),
    )


def _everybody(entry: FailsafePort) -> bool:
    return entry.net is None or entry.net.endswith("/0")


def _contains(net: str, peer: str) -> bool:
    if not peer:
        return False
    address = _address(peer)
    network = ipaddress.ip_network(net, strict=False)
    return address is not None and address.version == network.version and address in network


def _address(text: str) -> Optional[Any]:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
