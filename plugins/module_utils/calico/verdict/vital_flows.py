# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nodes and their cluster live by, and whether a change of policy takes it away.

Each flow is judged as a new connection, at every node that it passes, under the objects that will be and,
where those do not allow it, under the objects that are. What is allowed now and denied then is a
:class:`Loss`, and refused. An established connection outlives a deny, so the harm comes late: at the next
restart of a kubelet, a Felix or an API server. A flow of which policy leaves open what becomes of it is
named with what would settle it, but not refused: rules about labels of pods nobody knows would stop runs.

What a node uses is taken from a look at it (:class:`..node_judges.NodeUse`) where there was one, else from
Node, EndpointSlice, IPPool and FelixConfiguration objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..address import BITS, Address, Net, parse_address, parse_net
from ..bad_input import BadInput
from ..endpoint_slice import KIND as ENDPOINT_SLICE
from ..endpoint_slice import service_of
from ..node_object import is_control_plane
from ..stored.reader import Raw
from ..stored.rules import PROTOCOLS
from .flow import ICMPV6, Flow
from .judge import UNDETERMINED, Options, Verdict
from .node_judges import NodeJudges, NodeUse
from .packet_path import EGRESS, FORWARD, INGRESS, PRE_DNAT
from .program import ALLOW, DENY

TCP, UDP = PROTOCOLS["tcp"], PROTOCOLS["udp"]
KUBELET_PORT, TYPHA_PORT, BGP_PORT, DNS_PORT, NTP_PORT = 10250, 5473, 179, 53, 123
ETCD_PORTS = (2379, 2380)

KINDS = {
    "ssh": "add the networks to policies_ssh_sources, or allow them in a policy that is evaluated before",
    "api": "allow each node to reach the API servers, on the port that they really listen on",
    "kubelet": "allow tcp/10250 from the API servers and between nodes (policies_node_cidrs)",
    "etcd": "allow tcp/2379 and tcp/2380 between control-plane nodes (policies_node_cidrs) and to an etcd "
    "elsewhere",
    "typha": "allow tcp/5473 between nodes (policies_node_cidrs), or keep it among the failsafes",
    "overlay": "allow the tunnel between nodes (policies_node_cidrs)",
    "bgp": "allow tcp/179 between nodes (policies_node_cidrs), or keep it among the failsafes",
    "dns": "allow udp/53 and tcp/53 to the name servers, or keep them among the outbound failsafes",
    "ntp": "allow udp/123 to the time servers",
    "pods": "allow what comes from and goes to pods (policies_cluster_cidrs); a preDNAT policy of a host "
    "endpoint on all interfaces decides about pods' packets too",
    "neighbour-discovery": "allow ICMPv6 types 133 to 136 in both directions",
    "loopback": "allow 127.0.0.0/8, ::1/128 and the node's own addresses (policies_local_addresses)",
    "controller": "this machine is a node: allow it to reach the API and the other nodes' SSH",
}
"""Kinds of vital flows, each with what to do where one is denied."""

STRANGERS = {4: Address(4, 0xC00002FE), 6: Address(6, (0x20010DB8 << 96) + 0xFFFE)}
"""An address outside the cluster: 192.0.2.254 (RFC 5737), 2001:db8::fffe (RFC 3849)."""

_LOOPBACK = {4: Address(4, 0x7F000001), 6: Address(6, 1)}
_ROUTER = Address(6, (0xFE80 << 112) + 1)
_ALL_NODES = Address(6, (0xFF02 << 112) + 1)
_LOOPBACK_NETS = (Net(4, 0x7F000000, 8), Net(6, 1, 128))
_LINK_LOCAL = Net(6, 0xFE80 << 112, 10)
_SOLICITATION, _ADVERTISEMENT, _ROUTER_ADVERTISEMENT = 135, 136, 134
_POD_INTERFACE = "vital"
_CLIENT_PORT = 40000
_EVERY_PAIR, _SOME_PEERS = 12, 8
_CANDIDATES = 64
# Where something other than host policy decides, whatever the change: nothing to say of it.
_NOT_BY_HOST_POLICY = ("pod-policy", "pod-to-host", "tunnel")


@dataclass(frozen=True)
class VitalFlow:
    """One thing that a node or the cluster needs.

    :ivar flows: alternatives; it is lost only where all of them are denied
    :ivar what: in words, for example ``tcp/10250 from 10.0.0.1``
    """

    kind: str
    flows: tuple[Flow, ...]
    what: str

    @property
    def node(self) -> str:
        """Where it would be denied."""
        return self.flows[0].node


@dataclass(frozen=True)
class Loss:
    """A vital flow that is not plainly allowed once a change is made, and whether it was denied before."""

    vital: VitalFlow
    verdict: Verdict
    denied_before: bool = False
    accepted: bool = False

    @property
    def refuses(self) -> bool:
        """Whether the change must not be made."""
        return self.verdict.verdict == DENY and not self.denied_before and not self.accepted

    def as_dict(self) -> dict[str, Any]:
        """The form in which modules return it."""
        flow = self.vital.flows[0]
        return {
            "kind": self.vital.kind,
            "node": self.vital.node,
            "direction": flow.direction,
            "what": self.vital.what,
            "denied_before": self.denied_before,
            "accepted": self.accepted,
            **self.verdict.as_dict(),
        }


@dataclass(frozen=True)
class Controller:
    """A node that this machine is, or its jump host, and where it goes from there.

    :ivar targets: (name, address, TCP port) of the API and of each node's SSH server
    """

    node: str
    targets: tuple[tuple[str, Address, int], ...] = ()


@dataclass(frozen=True)
class Networks:
    """The networks that policy sets are made of, each empty where it was not given."""

    nodes: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    ssh_port: int = 22


@dataclass(frozen=True)
class Surroundings:
    """What is known in addition to the objects.

    :ivar uses: what looks at nodes found out
    :ivar addresses: of nodes, by which this machine logs in to them; may be of a family that no object lists
    :ivar controllers: this machine, where it is known to be a node, and jump hosts that are
    """

    uses: tuple[NodeUse, ...] = ()
    addresses: tuple[tuple[str, Address], ...] = ()
    networks: Networks = field(default_factory=Networks)
    controllers: tuple[Controller, ...] = ()


def check_accepted(accepted: Iterable[str]) -> frozenset[str]:
    """The kinds whose loss is accepted.

    :raises BadInput: no such kind
    """
    found = frozenset(accepted)
    for kind in sorted(found - KINDS.keys()):
        raise BadInput("accept_denied", kind, f"no kind of vital flow; there are {', '.join(KINDS)}")
    return found


def check_networks(objects: Iterable[Mapping[str, Any]], networks: Networks) -> list[str]:
    """Compare given networks with the cluster's Nodes and pools.

    :returns: a warning for each variable that leaves some of them out
    :raises BadInput: one that contains none of them, by its own name
    """
    objects = list(objects)
    nodes = {text: parse_address(text) for text in _node_addresses(objects)}
    pools = {text: parse_net(text) for text in _pools(objects)}
    return [
        *_uncovered("policies_node_cidrs", networks.nodes, "addresses of Nodes", nodes),
        *_uncovered("policies_cluster_cidrs", networks.cluster, "networks of pods", pools),
    ]


def _uncovered(variable: str, given: Sequence[str], what: str, wanted: Mapping[str, Any]) -> Iterator[str]:
    nets = [net for net in map(parse_net, given) if net]
    known = {text: item for text, item in wanted.items() if item is not None}
    if not nets or not known:
        return
    outside = [text for text, item in known.items() if not any(_inside(item, net) for net in nets)]
    if len(outside) == len(known):
        raise BadInput(
            variable,
            ", ".join(given),
            f"contains none of the cluster's {what}: {', '.join(sorted(outside)[:5])}; is an octet mistyped?",
        )
    if outside:
        yield f"{variable} does not contain these {what}: {', '.join(sorted(outside)[:5])}"


def _inside(item: Any, net: Net) -> bool:
    return net.covers(item) if isinstance(item, Net) else net.contains(item)


def losses(
    before: Iterable[Raw],
    after: Iterable[Raw],
    around: Surroundings,
    options: Optional[Options] = None,
    accepted: Collection[str] = (),
) -> list[Loss]:
    """The vital flows that are denied, or that may be, once the objects are as in ``after``.

    :param before: all objects as they are: policy, HostEndpoints, FelixConfigurations, Nodes, IPPools and
        EndpointSlices
    :param accepted: kinds (:data:`KINDS`) that may be lost
    """
    options = replace(options or Options(), staged="ignore")
    uses = {use.node: use for use in around.uses}
    now, then = list(before), list(after)
    judges = NodeJudges(then, options, uses)
    needed = vital_flows(then, judges, around)
    found = [(vital, _harm(judges, vital)) for vital in needed]
    harmed = [(vital, verdict) for vital, verdict in found if verdict]
    if not harmed:
        return []
    earlier = NodeJudges(now, options, uses)
    return [
        Loss(vital, verdict, _is_denied(earlier, vital), vital.kind in accepted) for vital, verdict in harmed
    ]


def _harm(judges: NodeJudges, vital: VitalFlow) -> Optional[Verdict]:
    """The verdict of the best alternative, or None where host policy plainly allows that one."""
    best = None
    for flow in vital.flows:
        found = judges.verdict(flow)
        if found.verdict != DENY and _is_no_harm(found):
            return None
        if best is None or (best.verdict == DENY and found.verdict == UNDETERMINED):
            best = found
    return best


def _is_no_harm(verdict: Verdict) -> bool:
    """Whether the change does nothing to it. That Felix hears of no change is no harm of this one."""
    return verdict.verdict == ALLOW or bool(verdict.withheld) or verdict.reason_code in _NOT_BY_HOST_POLICY


def _is_denied(judges: NodeJudges, vital: VitalFlow) -> bool:
    return all(judges.verdict(flow).verdict == DENY for flow in vital.flows)


def vital_flows(objects: Iterable[Raw], judges: NodeJudges, around: Surroundings) -> list[VitalFlow]:
    """All that the nodes with a host endpoint live by, each once."""
    return list(dict.fromkeys(_Needs([dict(item) for item in objects], judges, around).all()))


class _Needs:
    """Goes through what is known of a cluster and says what must go on."""

    def __init__(
        self, objects: Sequence[Mapping[str, Any]], judges: NodeJudges, around: Surroundings
    ) -> None:
        self.objects = objects
        self.judges = judges
        self.around = around
        self.uses = {use.node: use for use in around.uses}
        self.governed = {hep.node for hep in judges.store.host_endpoints}
        self.addresses = _addresses_of_nodes(objects, judges, around)
        nodes = [item for item in objects if item.get("kind") == "Node"]
        self.control_plane = {_name(item) for item in nodes if is_control_plane(item)}
        self.etcd = {
            _name(item)
            for item in nodes
            if is_control_plane(item) or "node-role.kubernetes.io/etcd" in (_labels(item))
        }
        self.owner = {
            address: node for node, of_node in self.addresses.items() for address in of_node.values()
        }
        self.api = _endpoints(objects, "kubernetes")
        self.typha = _endpoints(objects, "calico-typha")
        self.pools = [(net, _masquerades(item)) for item in objects for net in _pool_nets(item)]
        self.pod_nets = {_name(item): _pod_cidrs(item) for item in nodes}

    def all(self) -> Iterator[VitalFlow]:
        yield from self._between_nodes()
        for node in sorted(self.governed):
            yield from self._api(node)
            yield from self._out(node, "typha", (*self.typha, *self._used(node, "typha")))
            yield from self._out(node, "etcd", self._used(node, "etcd"))
            yield from self._servers(node, "dns", DNS_PORT, (UDP, TCP))
            yield from self._servers(node, "ntp", NTP_PORT, (UDP,))
            yield from self._local(node)
            yield from self._ssh(node)
            yield from self._pods(node)
        yield from self._arriving()
        yield from self._controller()

    def _used(self, node: str, what: str) -> Sequence[tuple[str, int]]:
        use = self.uses.get(node)
        found: Sequence[tuple[str, int]] = getattr(use, what) if use else ()
        return found

    def _own(self, node: str, version: int) -> Optional[Address]:
        return self.addresses.get(node, {}).get(version)

    # -- between two nodes, judged at both ---------------------------------------------------------

    def _between_nodes(self) -> Iterator[VitalFlow]:
        for version in (4, 6):
            members = sorted(node for node, own in self.addresses.items() if version in own)
            for here, there in _pairs(members):
                yield from self._pair(here, there, version)
            for server in sorted(self.control_plane & set(members)):
                for node in members:
                    if node != server:
                        yield from self._connection("kubelet", server, node, version, TCP, KUBELET_PORT)
            for here, there in _pairs(sorted(self.etcd & set(members))):
                for port in ETCD_PORTS:
                    yield from self._connection("etcd", here, there, version, TCP, port)
            yield from self._foreign_api_servers(version, members)

    def _pair(self, here: str, there: str, version: int) -> Iterator[VitalFlow]:
        yield from self._connection("kubelet", here, there, version, TCP, KUBELET_PORT)
        for tunnel in self._tunnels(there):
            if tunnel.version == version:
                yield from self._connection("overlay", here, there, version, tunnel.protocol, tunnel.port)
        if self._routes_by_bgp(version):
            yield from self._connection("bgp", here, there, version, TCP, BGP_PORT)
        if version == 6:
            own, peer = self.addresses[there][6], self.addresses[here][6]
            yield from self._neighbours(there, own, peer)

    def _tunnels(self, node: str) -> Sequence[Any]:
        found: Sequence[Any] = self.judges.settings_of(node).tunnels
        return found

    def _routes_by_bgp(self, version: int) -> bool:
        """Whether some pool is not carried by VXLAN, and Calico hands the addresses out."""
        pools = [item.get("spec") or {} for item in self.objects if item.get("kind") == "IPPool"]
        return any(
            spec.get("vxlanMode", "Never") == "Never" and _version(spec.get("cidr")) == version
            for spec in pools
        )

    def _connection(
        self, kind: str, here: str, there: str, version: int, protocol: int, port: Optional[int]
    ) -> Iterator[VitalFlow]:
        source, destination = self.addresses[here][version], self.addresses[there][version]
        text = _port_text(protocol, port)
        if there in self.governed:
            yield self._vital(
                kind, there, "ingress", protocol, source, destination, port, f"{text} from {source}"
            )
        if here in self.governed:
            yield self._vital(
                kind, here, "egress", protocol, source, destination, port, f"{text} to {destination}"
            )

    def _foreign_api_servers(self, version: int, members: Sequence[str]) -> Iterator[VitalFlow]:
        """API servers that are no Nodes, as in a managed cluster, reach kubelets too."""
        for server in dict.fromkeys(address for address, _port in self.api):
            if server.version != version or server in self.owner:
                continue
            for node in members:
                if node in self.governed:
                    own = self.addresses[node][version]
                    what = f"tcp/{KUBELET_PORT} from {server}"
                    yield self._vital("kubelet", node, "ingress", TCP, server, own, KUBELET_PORT, what)

    def _neighbours(self, node: str, own: Address, peer: Address) -> Iterator[VitalFlow]:
        if node not in self.governed:
            return
        messages = (
            ("ingress", _SOLICITATION, peer, own),
            ("ingress", _SOLICITATION, peer, _solicited(own)),
            ("ingress", _ADVERTISEMENT, peer, own),
            ("ingress", _ROUTER_ADVERTISEMENT, _ROUTER, _ALL_NODES),
            ("egress", _SOLICITATION, own, _solicited(peer)),
            ("egress", _ADVERTISEMENT, own, peer),
        )
        for direction, icmp_type, source, destination in messages:
            flow = Flow(node, direction, ICMPV6, source, destination, icmp_type=icmp_type, icmp_code=0)
            way = "from" if direction == "ingress" else "to"
            other = source if direction == "ingress" else destination
            yield VitalFlow("neighbour-discovery", (flow,), f"ICMPv6 type {icmp_type} {way} {other}")

    # -- out of a node -----------------------------------------------------------------------------

    def _api(self, node: str) -> Iterator[VitalFlow]:
        yield from self._out(node, "api", (*self.api, *self._used(node, "api")))
        for server, port in self.api:
            there = self.owner.get(server)
            own = self._own(node, server.version)
            if there and there != node and own and there in self.governed:
                what = f"tcp/{port} from {own}"
                yield self._vital("api", there, "ingress", TCP, own, server, port, what)

    def _out(self, node: str, kind: str, targets: Sequence[tuple[Any, int]]) -> Iterator[VitalFlow]:
        own = set(self.addresses.get(node, {}).values())
        for target, port in targets:
            address = parse_address(str(target))
            source = self._own(node, address.version) if address else None
            if address and source and address not in own:
                what = f"tcp/{port} to {address}"
                yield self._vital(kind, node, "egress", TCP, source, address, port, what)

    def _servers(self, node: str, kind: str, port: int, protocols: Sequence[int]) -> Iterator[VitalFlow]:
        """Servers that a look at the node found, or any at all where nobody looked."""
        use = self.uses.get(node)
        known: Sequence[Address] = getattr(use, kind) if use else ()
        for protocol in protocols:
            text = _port_text(protocol, port)
            for server in known:
                source = self._own(node, server.version)
                if source and server != source:
                    what = f"{text} to {server}"
                    yield self._vital(kind, node, "egress", protocol, source, server, port, what)
            if use is None:
                flows = tuple(self._anywhere(node, protocol, port))
                if flows:
                    yield VitalFlow(kind, flows, f"{text} to any server")

    def _anywhere(self, node: str, protocol: int, port: int) -> Iterator[Flow]:
        for target in self._candidates():
            source = self._own(node, target.version)
            if source:
                yield _flow(node, "egress", protocol, source, target, port)

    def _candidates(self) -> Sequence[Address]:
        """A stranger, and one address of each network that policy speaks of.

        Loopback is none: a name server there asks others itself.
        """
        nets = [
            net
            for policy in self.judges.store.policies
            for rule in policy.egress
            for net in rule.destination.nets
        ]
        nets += [net for network_set in self.judges.store.network_sets for net in network_set.nets]
        firsts = dict.fromkeys(_first(net) for net in dict.fromkeys(nets))
        some = [one for one in firsts if not any(net.contains(one) for net in _LOOPBACK_NETS)]
        return [*STRANGERS.values(), *self.owner, *some[:_CANDIDATES]]

    # -- at a node itself --------------------------------------------------------------------------

    def _local(self, node: str) -> Iterator[VitalFlow]:
        own = self.addresses.get(node, {})
        ends = [_LOOPBACK[4], *([_LOOPBACK[6]] if 6 in own else []), *own.values()]
        for end in ends:
            for direction in ("ingress", "egress"):
                flow = replace(
                    _flow(node, direction, TCP, end, end, KUBELET_PORT),
                    interface="lo",
                )
                yield VitalFlow("loopback", (flow,), f"tcp/{KUBELET_PORT} at {end} over lo")

    def _ssh(self, node: str) -> Iterator[VitalFlow]:
        networks = self.around.networks
        for net in filter(None, map(parse_net, networks.ssh)):
            own = self._own(node, net.version)
            for source in dict.fromkeys((_first(net), _last(net))) if own else ():
                what = f"tcp/{networks.ssh_port} from {source} (of {net})"
                yield self._vital("ssh", node, "ingress", TCP, source, own, networks.ssh_port, what)

    def _controller(self) -> Iterator[VitalFlow]:
        for controller in self.around.controllers:
            if controller.node in self.governed:
                yield from self._of_controller(controller)

    def _of_controller(self, controller: Controller) -> Iterator[VitalFlow]:
        own = set(self.addresses.get(controller.node, {}).values())
        for name, target, port in controller.targets:
            source = self._own(controller.node, target.version)
            if source and target not in own:
                what = f"{name} at {target}, tcp/{port}"
                yield self._vital("controller", controller.node, "egress", TCP, source, target, port, what)

    # -- pods --------------------------------------------------------------------------------------

    def _pods(self, node: str) -> Iterator[VitalFlow]:
        """What pods of the node send: outside, to DNS, to other nodes, and to the API."""
        interface = f"{self.judges.settings_of(node).workload_prefixes[0]}{_POD_INTERFACE}"
        for net, _masquerade in self._pod_nets_of(node):
            own = self._own(node, net.version)
            peers = [
                address
                for address, other in self.owner.items()
                if other != node and address.version == net.version
            ][:1]
            targets = [
                (UDP, _last(net), DNS_PORT, "udp/53 to pods"),
                (TCP, _last(net), DNS_PORT, "tcp/53 to pods"),
                (TCP, STRANGERS[net.version], 443, "tcp/443 to outside"),
                (UDP, STRANGERS[net.version], DNS_PORT, "udp/53 to outside"),
                *((TCP, peer, KUBELET_PORT, f"tcp/{KUBELET_PORT} to other nodes") for peer in peers),
                *(
                    (TCP, address, port, f"tcp/{port} to the API")
                    for address, port in self.api[:1]
                    if address.version == net.version and address != own
                ),
            ]
            for source in dict.fromkeys((_first(net), _last(net))):
                for protocol, target, port, what in targets:
                    if source == target:
                        continue
                    flow = replace(
                        _flow(node, "forward", protocol, source, target, port), interface=interface
                    )
                    yield VitalFlow("pods", (flow,), f"{what} from pods ({source})")

    def _arriving(self) -> Iterator[VitalFlow]:
        """What comes to pods from pods elsewhere, and to nodes from pods whose address stays."""
        others = sorted(self.pod_nets)
        for index, node in enumerate(sorted(self.governed)):
            interface = f"{self.judges.settings_of(node).workload_prefixes[0]}{_POD_INTERFACE}"
            elsewhere = others[(index + 1) % len(others)] if others else node
            for net, masquerades in self._pod_nets_of(elsewhere):
                source, target = _last(net), _first(net)
                flow = replace(_flow(node, "forward", TCP, source, target, 443), out_interface=interface)
                yield VitalFlow("pods", (flow,), f"tcp/443 to pods from {source}")
                own = self._own(node, net.version)
                if own and not masquerades:
                    what = f"tcp/{KUBELET_PORT} from pods ({source})"
                    yield self._vital("pods", node, "ingress", TCP, source, own, KUBELET_PORT, what)

    def _pod_nets_of(self, node: str) -> Sequence[tuple[Net, bool]]:
        """Where pods of a node have their addresses from, and whether they leave under the node's."""
        return self.pools or [(net, True) for net in self.pod_nets.get(node, ())]

    @staticmethod
    def _vital(
        kind: str,
        node: str,
        direction: str,
        protocol: int,
        source: Address,
        destination: Optional[Address],
        port: Optional[int],
        what: str,
    ) -> VitalFlow:
        if destination is None:
            raise AssertionError("a flow leads somewhere")
        return VitalFlow(kind, (_flow(node, direction, protocol, source, destination, port),), what)


def _flow(
    node: str, direction: str, protocol: int, source: Address, destination: Address, port: Optional[int]
) -> Flow:
    client = None if port is None else (port if protocol == UDP and port == NTP_PORT else _CLIENT_PORT)
    return Flow(node, direction, protocol, source, destination, source_port=client, destination_port=port)


def _pairs(members: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Ordered pairs of nodes: all of few; of many, each with its neighbours in the list and some others."""
    count = len(members)
    steps: Iterable[int] = range(1, count)
    if count > _EVERY_PAIR:
        steps = sorted({1, count - 1, *(1 + part * count // _SOME_PEERS for part in range(1, _SOME_PEERS))})
    for index, here in enumerate(members):
        for step in steps:
            yield here, members[(index + step) % count]


# -- what objects say ------------------------------------------------------------------------------


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name", ""))


def _labels(item: Mapping[str, Any]) -> Mapping[str, Any]:
    labels: Mapping[str, Any] = (item.get("metadata") or {}).get("labels") or {}
    return labels


def _listed(item: Mapping[str, Any]) -> list[str]:
    """Addresses of a Node, those that the cluster uses first."""
    entries = [e for e in (item.get("status") or {}).get("addresses") or [] if isinstance(e, Mapping)]
    order = {"InternalIP": 0, "ExternalIP": 1}
    ranked = sorted((e for e in entries if e.get("type") in order), key=lambda e: order[str(e["type"])])
    return [str(e.get("address")) for e in ranked]


def _node_addresses(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    return [text for item in objects if item.get("kind") == "Node" for text in _listed(item)]


def _addresses_of_nodes(
    objects: Iterable[Mapping[str, Any]], judges: NodeJudges, around: Surroundings
) -> dict[str, dict[int, Address]]:
    """One address a family of each node: as the cluster, this machine's logins or a look at the node tell."""
    told: list[tuple[str, Optional[Address]]] = [
        (_name(item), parse_address(text))
        for item in objects
        if item.get("kind") == "Node"
        for text in _listed(item)
    ]
    told += around.addresses
    told += [(hep.node, address) for hep in judges.store.host_endpoints for address in hep.expected_ips]
    told += [
        (use.node, address)
        for use in around.uses
        for name, addresses in (use.interfaces or {}).items()
        if name != "lo" and not name.startswith(("cali", "vxlan", "tunl", "wireguard", "docker", "cni"))
        for address in addresses
    ]
    found: dict[str, dict[int, Address]] = {}
    for node, address in told:
        if address and not _LINK_LOCAL.contains(address) and address not in _LOOPBACK.values():
            found.setdefault(node, {}).setdefault(address.version, address)
    return found


def _endpoints(objects: Iterable[Mapping[str, Any]], service: str) -> list[tuple[Address, int]]:
    found = [
        (parse_address(str(text)), port.get("port"))
        for item in objects
        if item.get("kind") == ENDPOINT_SLICE and service_of(item) == service
        for endpoint in item.get("endpoints") or []
        for text in endpoint.get("addresses") or []
        for port in item.get("ports") or []
    ]
    return list(dict.fromkeys((a, int(p)) for a, p in found if a and p))


def _pools(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    objects = list(objects)
    pools = [
        str((item.get("spec") or {}).get("cidr"))
        for item in objects
        if item.get("kind") == "IPPool" and not (item.get("spec") or {}).get("disabled")
    ]
    # Without address pools, each Node says which part of the pods' network is its own.
    return pools or [
        str(text)
        for item in objects
        if item.get("kind") == "Node"
        for text in (item.get("spec") or {}).get("podCIDRs") or []
    ]


def _pool_nets(item: Mapping[str, Any]) -> list[Net]:
    if item.get("kind") != "IPPool":
        return []
    spec = item.get("spec") or {}
    net = None if spec.get("disabled") else parse_net(spec.get("cidr"))
    return [net] if net else []


def _pod_cidrs(item: Mapping[str, Any]) -> list[Net]:
    texts = (item.get("spec") or {}).get("podCIDRs") or []
    return [net for net in map(parse_net, texts) if net]


def _masquerades(item: Mapping[str, Any]) -> bool:
    return bool((item.get("spec") or {}).get("natOutgoing"))


def _version(cidr: object) -> int:
    net = parse_net(cidr)
    return net.version if net else 0


def _first(net: Net) -> Address:
    """An address near the beginning, not the network's own."""
    return Address(net.version, net.number + (1 if BITS[net.version] - net.prefix > 1 else 0))


def _last(net: Net) -> Address:
    """An address near the end, not the broadcast one."""
    size = 1 << (BITS[net.version] - net.prefix)
    return Address(net.version, net.number + size - (2 if size > 2 else 1))


def _solicited(address: Address) -> Address:
    """The multicast group that asks for an address (RFC 4291, 2.7.1)."""
    return Address(6, (0xFF02 << 112) + (0x1FF << 24) + (address.number & 0xFFFFFF))


def _port_text(protocol: int, port: Optional[int]) -> str:
    names = {TCP: "tcp", UDP: "udp", 4: "IPIP"}
    name = names.get(protocol, f"protocol {protocol}")
    return name if port is None else f"{name}/{port}"


# -- in words --------------------------------------------------------------------------------------


def summaries(found: Sequence[Loss]) -> list[str]:
    """One line a kind: what is denied, where, by what, and what to do; then what is open."""
    kinds: dict[tuple[str, bool], list[Loss]] = {}
    for loss in found:
        if loss.verdict.verdict == DENY:
            kinds.setdefault((loss.vital.kind, loss.denied_before), []).append(loss)
    return [*(_summary(kind, group) for (kind, _before), group in kinds.items()), *open_questions(found)]


def open_questions(found: Sequence[Loss]) -> list[str]:
    """One line for all kinds that depend on the same thing: where, and what would settle it."""
    kinds: dict[tuple[str, str], list[Loss]] = {}
    for loss in found:
        if loss.verdict.verdict == UNDETERMINED:
            kinds.setdefault((loss.vital.kind, loss.vital.flows[0].direction), []).append(loss)
    groups: dict[tuple[str, ...], list[Loss]] = {}
    for of_kind in kinds.values():
        things = dict.fromkeys(loss.verdict.assumptions or (loss.verdict.reason_code,) for loss in of_kind)
        first, *others = things
        more = (f"and {len(others)} more such things",) if others else ()
        groups.setdefault((*first, *more), []).extend(of_kind)
    return [_open_question(things, group) for things, group in groups.items()]


def _open_question(things: Sequence[str], group: Sequence[Loss]) -> str:
    kinds = ", ".join(dict.fromkeys(loss.vital.kind for loss in group))
    return f"{kinds}: {_where(_by_node(group))} is allowed or not, depending on this: {'; '.join(things)}"


def _summary(kind: str, group: Sequence[Loss]) -> str:
    group = _by_node(group)
    rules = list(dict.fromkeys(decider(loss.verdict, loss.vital.flows[0].direction) for loss in group))
    still = "is and stays" if group[0].denied_before else "would be"
    return (
        f"{kind}: {_where(group)} {still} denied by {', '.join(rules[:3])}"
        f"{' and others' if len(rules) > 3 else ''}: {KINDS[kind]}"
    )


def _by_node(group: Sequence[Loss]) -> list[Loss]:
    return sorted(group, key=lambda loss: loss.vital.node)


def _where(group: Sequence[Loss]) -> str:
    """The first node with the first of its flows, and how many more there are."""
    nodes = list(dict.fromkeys(loss.vital.node for loss in group))
    whats = list(dict.fromkeys(loss.vital.what for loss in group if loss.vital.node == nodes[0]))
    more = f" and {len(nodes) - 1} more nodes" if len(nodes) > 1 else ""
    others = f" and {len(whats) - 1} more" if len(whats) > 1 else ""
    return f"at {nodes[0]}{more}, {whats[0]}{others}"


def decider(verdict: Verdict, direction: str) -> str:
    """What denies, in words."""
    by = verdict.decided_by
    if by.kind == "Tier":
        return f"the end of tier {by.name} (defaultAction Deny)"
    if by.rule_index is not None:
        side = "" if direction == FORWARD and by.stage != PRE_DNAT else f"{INGRESS} "
        side = f"{EGRESS} " if direction == EGRESS else side
        tier = f" (tier {by.tier})" if by.tier else ""
        return f"{by.kind} {by.name}, {side}rule {by.rule_index}{tier}"
    return f"{by.kind} {by.name} ({verdict.reason_code})" if by.name else verdict.reason_code
