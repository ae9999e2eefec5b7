# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The flows that a cluster's hosts need to live, by platform, and the policies that allow them.

Each platform's ports are those of its vendor's documentation of network requirements. What a default
failsafe covers is listed too: a failsafe can be changed, and an auditor reads one list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional, Union

from ..bad_input import BadInput
from .names import API_VERSION, EGRESS, INGRESS, POLICY
from .reader import check_network

Port = Union[int, str]

ICMPV6_NEEDED = (130, 131, 132, 133, 134, 135, 136, 143)
ICMPV6_ERRORS = (1, 2, 3, 4)
ICMP_ERRORS = (3, 11, 12)


class Peer(str, Enum):
    """Who is at the other end of a flow."""

    ANYONE = "anyone"
    NODES = "nodes"
    CLUSTER = "cluster"  # pods and services
    API = "api"  # where the API servers are reached
    CONTROL_PLANE = "control_plane"  # where the API servers come from
    LOCAL = "local"
    LINK = "link"  # the node's own IPv6 link
    DNS = "dns"
    NTP = "ntp"
    METADATA = "metadata"
    PLATFORM = "platform"  # fixed addresses of a cloud's own services


class Where(str, Enum):
    """On which hosts a flow is needed."""

    ALL = "all-hosts"
    CONTROL_PLANE = "control-plane"


@dataclass(frozen=True)
class RequiredFlow:
    """A flow that must work: connections are set up in ``direction`` as seen by the host.

    ``ports`` and ``source_ports`` empty mean any; ``nets`` replaces the peer's networks where the
    platform fixes them.
    """

    purpose: str
    direction: str
    peer: Peer
    protocol: str = ""
    ports: tuple[Port, ...] = ()
    source_ports: tuple[Port, ...] = ()
    icmp_type: Optional[int] = None
    ip_version: Optional[int] = None
    where: Where = Where.ALL
    nets: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlatformNetworks:
    """The networks of one cluster; each a CIDR, of either IP version.

    An empty ``api``, ``dns`` or ``ntp`` means: wherever it may be; an empty ``control_plane``: any node.
    """

    nodes: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    api: tuple[str, ...] = ()
    api_ports: tuple[Port, ...] = (6443,)
    control_plane: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ntp: tuple[str, ...] = ()
    local: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    ssh: tuple[str, ...] = ()
    ssh_port: int = 22

    def __post_init__(self) -> None:
        for name in ("nodes", "cluster", "api", "control_plane", "dns", "ntp", "local", "ssh"):
            for index, net in enumerate(getattr(self, name)):
                check_network(net, f"platform.{name}[{index}]")


@dataclass(frozen=True)
class Platform:
    """What a preset adds to the flows of every cluster.

    :ivar api_port: where its API is reached when nothing else is known
    """

    name: str
    api_port: int
    flows: tuple[RequiredFlow, ...] = ()
    metadata: tuple[str, ...] = ()
    metadata_ports: tuple[Port, ...] = (80,)


def _into(purpose: str, peer: Peer, protocol: str, *ports: Port, **more: Any) -> RequiredFlow:
    return RequiredFlow(purpose, INGRESS, peer, protocol, ports, **more)


def _out_to(purpose: str, peer: Peer, protocol: str, *ports: Port, **more: Any) -> RequiredFlow:
    return RequiredFlow(purpose, EGRESS, peer, protocol, ports, **more)


def _between(
    purpose: str, protocol: str, *ports: Port, where: Where = Where.ALL, peer: Peer = Peer.NODES
) -> tuple[RequiredFlow, RequiredFlow]:
    return (
        _into(purpose, peer, protocol, *ports, where=where),
        _out_to(purpose, peer, protocol, *ports, where=where),
    )


def _overlays() -> tuple[RequiredFlow, ...]:
    # Felix allows these by itself among the nodes it knows; a node that has just joined may not be known.
    return (
        *_between("Calico BGP", "TCP", 179),
        *_between("Calico VXLAN", "UDP", 4789),
        *_between("Calico WireGuard", "UDP", "51820:51821"),
        *_between("Calico IP in IP", "4"),
        *_between("Calico Typha", "TCP", 5473),
    )


def _common() -> tuple[RequiredFlow, ...]:
    """Needed by the hosts of every cluster."""
    return (
        *_between("the node itself", "", peer=Peer.LOCAL),
        *(
            flow
            for kind in (*ICMPV6_NEEDED, *ICMPV6_ERRORS)
            for flow in (
                RequiredFlow(
                    "IPv6 neighbours, routers and path MTU", INGRESS, Peer.ANYONE, "ICMPv6", icmp_type=kind
                ),
                RequiredFlow(
                    "IPv6 neighbours, routers and path MTU", EGRESS, Peer.ANYONE, "ICMPv6", icmp_type=kind
                ),
            )
        ),
        *(
            flow
            for kind in ICMP_ERRORS
            for flow in (
                RequiredFlow("IPv4 errors and path MTU", INGRESS, Peer.ANYONE, "ICMP", icmp_type=kind),
                RequiredFlow("IPv4 errors and path MTU", EGRESS, Peer.ANYONE, "ICMP", icmp_type=kind),
            )
        ),
        _into("DHCP", Peer.ANYONE, "UDP", 68, source_ports=(67,), ip_version=4),
        _out_to("DHCP", Peer.ANYONE, "UDP", 67, source_ports=(68,), ip_version=4),
        _into("DHCPv6", Peer.LINK, "UDP", 546, source_ports=(547,)),
        _out_to("DHCPv6", Peer.ANYONE, "UDP", 547, source_ports=(546,), ip_version=6),
        _out_to("DNS", Peer.DNS, "UDP", 53),
        _out_to("DNS over TCP", Peer.DNS, "TCP", 53),
        _out_to("time", Peer.NTP, "UDP", 123),
        _out_to("registries and updates", Peer.ANYONE, "TCP", 443, 80),
        _into("kubelet", Peer.CONTROL_PLANE, "TCP", 10250),
        *_between("kubelet", "TCP", 10250),
        _into("kubelet, from metrics-server and the like", Peer.CLUSTER, "TCP", 10250),
        _into("kube-proxy health, checked by load balancers", Peer.ANYONE, "TCP", 10256),
        _into("node exporters, from pods", Peer.CLUSTER, "TCP", 9091, 9093, 9098, "9100:9101", 10249),
        _out_to("pods and services, with their webhooks", Peer.CLUSTER, ""),
        _into("API server", Peer.ANYONE, "TCP", 6443, where=Where.CONTROL_PLANE),
        *_between("etcd", "TCP", "2379:2380", where=Where.CONTROL_PLANE),
        *_between("scheduler and controller manager", "TCP", 10257, 10259, where=Where.CONTROL_PLANE),
        *_overlays(),
    )


def _keeps_the_node(flow: RequiredFlow) -> bool:
    """Without neighbour discovery a node loses IPv6 altogether, failsafe ports included."""
    basic = flow.protocol in ("ICMP", "ICMPv6") or flow.purpose.startswith("DHCP") or flow.peer is Peer.LOCAL
    return flow.direction == INGRESS and basic


# What comes in to a node whatever it is for.
NODE_FLOWS = tuple(flow for flow in _common() if _keeps_the_node(flow))

_LINK_LOCAL_METADATA = ("169.254.169.254/32",)
_RANCHER = (
    *_between("supervisor", "TCP", 9345),
    *_between("Canal VXLAN", "UDP", 8472),
    *_between("etcd metrics", "TCP", 2381, where=Where.CONTROL_PLANE),
)

PLATFORMS: Mapping[str, Platform] = {
    p.name: p
    for p in (
        Platform("kubeadm", 6443),
        Platform("rke2", 6443, _RANCHER),
        Platform(
            "k3s",
            6443,
            (
                *_between("flannel VXLAN", "UDP", 8472),
                *_between("embedded registry mirror", "TCP", 5001, 6443),
            ),
        ),
        Platform(
            "eks",
            443,
            (
                _into("webhooks, from the control plane", Peer.CONTROL_PLANE, "TCP", 443, "1025:65535"),
                _into("DNS, from other nodes' pods", Peer.NODES, "TCP", 53),
                _into("DNS, from other nodes' pods", Peer.NODES, "UDP", 53),
                _out_to("Amazon time", Peer.PLATFORM, "UDP", 123, nets=("169.254.169.123/32",)),
                _out_to("Pod Identity agent", Peer.PLATFORM, "TCP", 80, nets=("169.254.170.23/32",)),
            ),
            metadata=_LINK_LOCAL_METADATA,
        ),
        Platform(
            "aks",
            443,
            (
                _out_to("tunnel without konnectivity", Peer.API, "UDP", 1194),
                _out_to("tunnel without konnectivity", Peer.API, "TCP", 9000),
                _out_to("private control plane", Peer.API, "TCP", 4443),
                _out_to("private control plane", Peer.API, "UDP", 9988),
                _out_to("Azure platform", Peer.PLATFORM, "TCP", 80, 32526, nets=("168.63.129.16/32",)),
                _out_to("Azure DNS", Peer.PLATFORM, "UDP", 53, nets=("168.63.129.16/32",)),
                _into("Azure load balancer probes", Peer.PLATFORM, "TCP", nets=("168.63.129.16/32",)),
            ),
            metadata=_LINK_LOCAL_METADATA,
        ),
        Platform(
            "gke",
            443,
            (
                _into("webhooks, from the control plane", Peer.CONTROL_PLANE, "TCP", 443),
                _out_to("konnectivity", Peer.API, "TCP", 8132),
                *_between("nodes among each other", "TCP"),
                *_between("nodes among each other", "UDP"),
                *_between("nodes among each other", "ICMP"),
                _into("pods to nodes", Peer.CLUSTER, "TCP"),
                _into("pods to nodes", Peer.CLUSTER, "UDP"),
            ),
            metadata=_LINK_LOCAL_METADATA,
            metadata_ports=(80, 988),
        ),
        Platform(
            "gardener",
            443,
            (
                _out_to("VPN to the seed", Peer.API, "TCP", 8132),
                _into("kubelet, from the VPN pod", Peer.CLUSTER, "TCP", 10250),
            ),
            metadata=_LINK_LOCAL_METADATA,
        ),
        Platform(
            "openshift",
            6443,
            (
                *_between("Geneve", "UDP", 6081),
                *_between("host services", "TCP", "9000:9999"),
                *_between("host services", "UDP", "9000:9999"),
                *_between("Kubernetes components", "TCP", "10250:10259"),
                *_between("IPsec", "UDP", 500, 4500),
                *_between("IPsec", "50"),
                _into("router metrics", Peer.CLUSTER, "TCP", 1936),
                _into("machine configuration", Peer.NODES, "TCP", "22623:22624", where=Where.CONTROL_PLANE),
                _out_to("machine configuration", Peer.NODES, "TCP", "22623:22624"),
                *_between("operators", "TCP", 6080, 8080, 8798, 10357, 17697, where=Where.CONTROL_PLANE),
            ),
            metadata=_LINK_LOCAL_METADATA,
        ),
    )
}


def required_flows(preset: str, around: PlatformNetworks) -> tuple[RequiredFlow, ...]:
    """All flows that a platform's hosts need.

    :raises BadInput: no such preset
    """
    if preset not in PLATFORMS:
        raise BadInput("platform.preset", preset, f"must be one of {', '.join(PLATFORMS)}")
    platform = PLATFORMS[preset]
    api = _out_to("API server", Peer.API, "TCP", *around.api_ports)
    metadata = _out_to(
        "cloud metadata", Peer.METADATA, "TCP", *platform.metadata_ports, nets=platform.metadata
    )
    ssh = _into("administrators", Peer.ANYONE, "TCP", around.ssh_port, nets=around.ssh)
    return (
        *_common(),
        api,
        *((metadata,) if platform.metadata else ()),
        *((ssh,) if around.ssh else ()),
        *platform.flows,
    )


@dataclass(frozen=True)
class Shape:
    """How the flows become policies.

    :ivar pre_dnat: whether what comes in is also allowed before DNAT, past a preDNAT deny of another set
    """

    set_name: str
    selector: str
    control_plane_selector: str
    directions: tuple[str, ...] = (INGRESS, EGRESS)
    pre_dnat: bool = False


def policies(flows: Iterable[RequiredFlow], around: PlatformNetworks, shape: Shape) -> list[dict[str, Any]]:
    """The policies that allow the flows: one for each direction and kind of host.

    :returns: ``projectcalico.org/v3`` objects, to be read by policy.parse like any others
    """
    found = []
    order = 1000
    kept = [f for f in flows if f.direction in shape.directions]
    for where in Where:
        for direction in shape.directions:
            rules = [
                rule
                for flow in kept
                if (flow.where, flow.direction) == (where, direction)
                for rule in rules_of(flow, around)
            ]
            if not rules:
                continue
            name = f"{shape.set_name}-{where.value}-{direction.lower()}"
            found.append(_policy(name, order, direction, rules, where, shape, pre_dnat=False))
            order += 10
            if shape.pre_dnat and direction == INGRESS:
                found.append(_policy(f"{name}-prednat", order, direction, rules, where, shape, pre_dnat=True))
                order += 10
    return found


def _policy(
    name: str,
    order: int,
    direction: str,
    rules: list[dict[str, Any]],
    where: Where,
    shape: Shape,
    pre_dnat: bool,
) -> dict[str, Any]:
    selector = shape.selector
    if where is Where.CONTROL_PLANE:
        selector = f"({selector}) && ({shape.control_plane_selector})"
    spec: dict[str, Any] = {
        "order": order,
        "selector": selector,
        "types": [direction],
        direction.lower(): rules,
    }
    if pre_dnat:
        spec.update(preDNAT=True, applyOnForward=True)
    return {"apiVersion": API_VERSION, "kind": POLICY, "metadata": {"name": name}, "spec": spec}


def rules_of(flow: RequiredFlow, around: PlatformNetworks) -> Iterator[dict[str, Any]]:
    """A flow's rules: one, or one for each IP version where networks are named."""
    nets = flow.nets or networks_of(flow.peer, around)
    if nets is None:
        yield _rule(flow, ())
        return
    for version in (4, 6):
        family = tuple(n for n in dict.fromkeys(nets) if (":" in n) == (version == 6))
        if family and flow.ip_version in (None, version) and _fits(flow.protocol, version):
            yield _rule(flow, family)


def _rule(flow: RequiredFlow, nets: tuple[str, ...]) -> dict[str, Any]:
    far = "source" if flow.direction == INGRESS else "destination"
    sides: dict[str, dict[str, Any]] = {"source": {}, "destination": {}}
    if nets:
        sides[far]["nets"] = list(nets)
    if flow.ports:
        sides["destination"]["ports"] = list(flow.ports)
    if flow.source_ports:
        sides["source"]["ports"] = list(flow.source_ports)
    rule: dict[str, Any] = {
        "action": "Allow",
        "metadata": {"annotations": {"hostfence.io/for": flow.purpose}},
    }
    if flow.protocol:
        rule["protocol"] = int(flow.protocol) if flow.protocol.isdigit() else flow.protocol
    if flow.icmp_type is not None:
        rule["icmp"] = {"type": flow.icmp_type}
    if flow.ip_version and not nets:
        rule["ipVersion"] = flow.ip_version
    rule.update({side: match for side, match in sides.items() if match})
    return rule


def networks_of(peer: Peer, around: PlatformNetworks) -> Optional[tuple[str, ...]]:
    """The networks of a peer; None for anywhere, empty for nowhere."""
    if peer in (Peer.ANYONE, Peer.PLATFORM, Peer.METADATA):
        return None
    if peer is Peer.LINK:
        return ("fe80::/10",)
    known: dict[Peer, tuple[str, ...]] = {
        Peer.NODES: around.nodes,
        Peer.CLUSTER: around.cluster,
        Peer.LOCAL: around.local,
        Peer.API: around.api,
        Peer.CONTROL_PLANE: around.control_plane,
        Peer.DNS: around.dns,
        Peer.NTP: around.ntp,
    }
    nets = known[peer]
    if peer is Peer.CONTROL_PLANE:
        return nets or around.nodes
    # The node's own resolver may be anywhere, and so may a managed API server.
    return nets or (None if peer in (Peer.API, Peer.DNS, Peer.NTP) else ())


def _fits(protocol: str, version: int) -> bool:
    return {"ICMP": 4, "ICMPv6": 6}.get(protocol, version) == version
