# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which classes of policy a packet meets on its way through a node, and in which order.

Source: felix/rules/static.go, dispatch.go and endpoints.go, felix/dataplane/linux/endpoint_mgr.go for
iptables and nftables; felix/bpf/polprog, felix/bpf-gpl/tc.c and dataplane/linux/bpf_ep_mgr.go for eBPF;
all v3.32.1. docs/verdict.md draws the picture.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from ..address import Address, Net, parse_net
from ..felix import configuration as felix
from ..felix.chains import WORKLOAD_TO_HOST
from ..felix.settings import FelixSettings
from ..stored.model import HostEndpoint
from ..stored.rules import PROTOCOLS
from .flow import ICMPV6, Flow
from .interface_owner import WORKLOAD_PREFIXES, is_workload_interface

IPTABLES, NFTABLES, EBPF = "iptables", "nftables", "ebpf"
DATAPLANES = (IPTABLES, NFTABLES, EBPF)

UNTRACKED, PRE_DNAT, NORMAL, FORWARD = "untracked", "preDNAT", "normal", "forward"
CLASSES = (UNTRACKED, PRE_DNAT, NORMAL, FORWARD)
INGRESS, EGRESS = "ingress", "egress"

# The kernel keeps no connection for these ICMPv6 types: multicast listener and neighbour discovery messages.
_WITHOUT_CONNECTION = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
# Only these ICMP messages open a connection for the kernel; any other one that answers nothing is invalid.
_OPENS_CONNECTION = {1: frozenset({8, 13, 15, 17}), ICMPV6: frozenset({128, 139})}
_IPIP = 4
_EBPF_LETS_PASS = frozenset({130, 131, 132, 133, 135, 136})
# The overlay's interfaces, and the setting that takes each away.
_OVERLAYS = {
    "egress.calico": "",
    "tunl0": "ipipEnabled",
    "vxlan.calico": "vxlanEnabled",
    "vxlan-v6.calico": "",
}
# WireGuard's, by the setting that turns it on and the one that names it.
_WIREGUARD = {
    "wireguardEnabled": ("wireguardInterfaceName", "wireguard.cali"),
    "wireguardEnabledV6": ("wireguardInterfaceNameV6", "wg-v6.cali"),
}
_WIREGUARD_INTERFACES = tuple(name for _setting, name in _WIREGUARD.values())
_EBPF_OVERLAYS = (*_OVERLAYS, *_WIREGUARD_INTERFACES)
_EBPF_INTERFACES = r"^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)"


@dataclass(frozen=True)
class Failsafe:
    """One entry: ``net`` limits the other side's address."""

    protocol: int
    port: int
    net: Optional[Net]

    def __str__(self) -> str:
        name = "tcp" if self.protocol == PROTOCOLS["tcp"] else "udp"
        return f"{name}/{self.port}" + (f" ({self.net})" if self.net else "")


@dataclass(frozen=True)
class LifelineRules:
    """What a node's kept lifeline (node/kept_lifeline.py) lets pass, like failsafes and besides them."""

    inbound: tuple[Failsafe, ...] = ()
    outbound: tuple[Failsafe, ...] = ()
    neighbours: bool = False


@dataclass(frozen=True)
class Tunnel:
    """Traffic between nodes that Felix allows by itself: ``port`` is None for a protocol without ports.

    ``checked``: only from and to nodes that Calico knows, which WireGuard sees to by itself.
    """

    name: str
    version: int
    protocol: int
    port: Optional[int]
    checked: bool = True


@dataclass(frozen=True)
class Settings:
    """What a node's Felix runs with, as far as it bears on a verdict.

    ``endpoint_to_host`` is None where no configuration says it; ``problem`` says why Felix does not run
    with what is configured, if so. ``ebpf_overlays`` are the overlay interfaces that eBPF programs sit on
    besides those of the pattern; ``ebpf_loopback`` are the protocols whose packets out of ``lo`` they see:
    ``udp``, ``all`` or none. ``ipvs``: whether kube-proxy runs in IPVS mode, None where nothing says it.
    """

    inbound: tuple[Failsafe, ...]
    outbound: tuple[Failsafe, ...]
    endpoint_to_host: Optional[str] = None
    drops_invalid: bool = True
    workload_prefixes: tuple[str, ...] = WORKLOAD_PREFIXES
    ebpf_interfaces: str = _EBPF_INTERFACES
    problem: str = ""
    tunnels: tuple[Tunnel, ...] = ()
    ebpf_overlays: tuple[str, ...] = _EBPF_OVERLAYS
    wireguard_interfaces: tuple[str, ...] = _WIREGUARD_INTERFACES
    ebpf_loopback: str = "udp"
    vxlan_port: int = 4789
    wireguard_port: int = 51820
    wireguard_port_v6: int = 51821
    ipvs: Optional[bool] = None
    node_ports: tuple[tuple[int, int], ...] = ((30000, 32767),)
    lifeline: LifelineRules = field(default_factory=LifelineRules)


@dataclass(frozen=True)
class Stage:
    """Policy of one class that judges the packet in one place.

    ``original``: on the destination before DNAT. ``failsafes``: ``inbound``, ``outbound`` or none;
    ``raw_failsafes``: answers to failsafe connections count as well. ``tracked``: what belongs to a known
    connection passes, what is invalid is dropped. ``skipped_once_accepted``: not asked after an untracked or
    preDNAT policy allowed the packet.
    """

    name: str
    direction: str
    endpoint: HostEndpoint
    place: str
    original: bool = False
    failsafes: str = ""
    raw_failsafes: bool = False
    tracked: bool = True
    skipped_once_accepted: bool = False


@dataclass(frozen=True)
class Settled:
    """A place where the answer does not depend on host policy.

    ``verdict`` is ``allow``, ``deny``, ``undetermined`` or ``pass`` (goes on); ``assumption`` settles it.
    """

    place: str
    verdict: str
    reason: str
    text: str
    assumption: str = ""
    skipped_once_accepted: bool = False


@dataclass(frozen=True)
class PodStage:
    """The policy of the pod with this address. Host policy is asked before or after, not instead."""

    place: str
    direction: str
    address: Address
    skipped_once_accepted: bool = False

    @property
    def unknown(self) -> Settled:
        """What is left to say where the pod, or all of its policy, is not known."""
        whose = f"the {self.direction} policy of the pod {self.address}"
        return Settled(self.place, "pass", "pod-policy", f"{whose} is asked here", f"{whose} allows it")


Step = Union[Stage, Settled, PodStage]


@dataclass(frozen=True)
class Owners:
    """Who judges on the interfaces of one flow.

    ``named`` and ``named_out`` own the interface by name or address; ``wildcard`` every other one.
    ``governed`` holds (host endpoint's name, class) for each class that has policy for it. ``peers`` are
    the addresses of the cluster's nodes, as far as they are known.
    """

    named: Optional[HostEndpoint]
    named_out: Optional[HostEndpoint]
    wildcard: Optional[HostEndpoint]
    governed: frozenset[tuple[str, str]]
    peers: frozenset[Address] = frozenset()

    def has(self, endpoint: Optional[HostEndpoint], policy_class: str) -> bool:
        return endpoint is not None and (endpoint.name, policy_class) in self.governed


def settings_of(
    configurations: Iterable[Mapping[str, Any]],
    node: str,
    labels: Mapping[str, str],
    environment: Optional[Mapping[str, str]] = None,
    calico_version: str = "",
    pool_tunnels: Collection[tuple[str, int]] = (),
    ipvs: Optional[bool] = None,
) -> Settings:
    """Effective settings of one node, each from the first source that has it (see felix.effective).

    :param pool_tunnels: what address pools ask for, as ``Store.tunnels``
    :param ipvs: whether kube-proxy runs in IPVS mode, None where nothing says it
    """
    configurations = list(configurations)
    failsafes = felix.effective(configurations, node, labels, environment, calico_version)
    value = FelixSettings(configurations, node, labels, environment).value
    action = value("defaultEndpointToHostAction")
    prefixes = value("interfacePrefix")
    return Settings(
        tuple(_failsafe(entry) for entry in failsafes.inbound),
        tuple(_failsafe(entry) for entry in failsafes.outbound),
        str(action).capitalize() if action else None,
        str(value("disableConntrackInvalidCheck")).lower() != "true",
        tuple(part.strip() for part in str(prefixes).split(",")) if prefixes else WORKLOAD_PREFIXES,
        _either(value("bpfDataIfacePattern") or _EBPF_INTERFACES, value("bpfL3IfacePattern")),
        "; ".join(text for _field, text in failsafes.undefined),
        tuple(_tunnels(value, pool_tunnels)),
        tuple(_overlays(value)),
        tuple(_wireguard_interfaces(value)),
        _loopback_protocols(value),
        _port(value("vxlanPort"), 4789),
        _port(value("wireguardListeningPort"), 51820),
        _port(value("wireguardListeningPortV6"), 51821),
        ipvs,
        _node_ports(value("kubeNodePortRanges")),
    )


def _overlays(value: Callable[[str], object]) -> Iterable[str]:
    """The overlay's interfaces but those that are off."""
    yield from (name for name, setting in _OVERLAYS.items() if not setting or _wanted(value(setting), True))
    for switch, name in zip(_WIREGUARD, _wireguard_interfaces(value)):
        if _wanted(value(switch), True):
            yield name


def _wireguard_interfaces(value: Callable[[str], object]) -> Iterable[str]:
    return (str(value(setting) or name) for setting, name in _WIREGUARD.values())


def _loopback_protocols(value: Callable[[str], object]) -> str:
    """Of which protocols eBPF sees packets out of lo (hostNetworkedNATMode in bpf_ep_mgr.go)."""
    if str(value("bpfConnectTimeLoadBalancing") or "TCP") == "TCP":
        return "udp"
    return "all" if str(value("bpfHostNetworkedNATWithoutCTLB") or "Enabled") == "Enabled" else ""


def _node_ports(setting: object) -> tuple[tuple[int, int], ...]:
    listed = setting.split(",") if isinstance(setting, str) else setting
    found = []
    for text in listed if isinstance(listed, list) else ():
        first, _colon, last = str(text).partition(":")
        if first.strip().isdigit() and (last or first).strip().isdigit():
            found.append((int(first), int(last or first)))
    return tuple(found) or ((30000, 32767),)


def _either(data: object, layer3: object) -> str:
    """The pattern of interfaces that carry eBPF programs, with and without link-layer headers."""
    joined = f"(?:{data})|(?:{layer3})" if layer3 else str(data)
    try:
        return re.compile(joined).pattern
    except re.error:
        return _EBPF_INTERFACES  # Felix goes by its default where it cannot read the setting


def _tunnels(value: Callable[[str], object], pools: Collection[tuple[str, int]]) -> Iterable[Tunnel]:
    """IPIP and VXLAN where a pool, or the configuration over it, asks for them; WireGuard where it is on."""
    udp = PROTOCOLS["udp"]
    for version in (4, 6):
        suffix = "" if version == 4 else "V6"
        if version == 4 and _wanted(value("ipipEnabled"), ("ipip", 4) in pools):
            yield Tunnel("IPIP", 4, _IPIP, None)
        if _wanted(value("vxlanEnabled") if version == 4 else None, ("vxlan", version) in pools):
            yield Tunnel("VXLAN", version, udp, _port(value("vxlanPort"), 4789))
        if _wanted(value(f"wireguardEnabled{suffix}"), False):
            port = _port(value(f"wireguardListeningPort{suffix}"), 51820 if version == 4 else 51821)
            yield Tunnel("WireGuard", version, udp, port, False)


def _port(setting: object, otherwise: int) -> int:
    """Felix goes by its default where it cannot read the setting (felix/config/config_params.go, resolve)."""
    try:
        return int(str(setting or otherwise))
    except ValueError:
        return otherwise


def _wanted(setting: object, otherwise: bool) -> bool:
    return otherwise if setting is None else str(setting).lower() == "true"


def _failsafe(entry: felix.FailsafePort) -> Failsafe:
    return Failsafe(PROTOCOLS[entry.protocol], entry.port, parse_net(entry.net) if entry.net else None)


def is_invalid(flow: Flow) -> bool:
    """Whether the kernel takes the packet for one that belongs to no connection and opens none."""
    if flow.state != "new":
        return flow.state == "invalid"
    opening = _OPENS_CONNECTION.get(flow.protocol)
    if opening is None or flow.icmp_type is None or has_no_connection(flow):
        return False
    return flow.icmp_type not in opening


def has_no_connection(flow: Flow) -> bool:
    """Whether the kernel keeps no connection for this kind of packet."""
    return flow.protocol == ICMPV6 and flow.icmp_type in _WITHOUT_CONNECTION


def steps(flow: Flow, owners: Owners, settings: Settings, dataplane: str) -> tuple[Step, ...]:
    """The places that a packet passes, in order."""
    if dataplane == EBPF:
        return tuple(_ebpf(flow, owners, settings))
    return tuple(_tables(flow, owners, settings, dataplane))


# -- iptables and nftables -------------------------------------------------------------------------


def _tables(flow: Flow, owners: Owners, settings: Settings, dataplane: str) -> Iterable[Step]:
    if flow.direction == EGRESS:
        yield from _output(flow, owners, settings, dataplane)
        return
    from_pod = is_workload_interface(flow.interface, settings.workload_prefixes)
    named = owners.named
    if named and not from_pod and owners.has(named, UNTRACKED):
        yield _raw(named, INGRESS, "raw PREROUTING")
    # Each table knows only the host endpoints that have policy for it, so a named one without preDNAT
    # policy does not keep the wildcard's away from its interface.
    early = named if owners.has(named, PRE_DNAT) else owners.wildcard
    if early and owners.has(early, PRE_DNAT):
        yield Stage(
            PRE_DNAT, INGRESS, early, "mangle PREROUTING", True, "inbound", skipped_once_accepted=True
        )
    if flow.direction == INGRESS:
        yield from _input(flow, owners, settings, from_pod)
        return
    to_pod = is_workload_interface(flow.out_interface, settings.workload_prefixes)
    owner_in, owner_out = named or owners.wildcard, owners.named_out or owners.wildcard
    if owner_in:
        yield Stage(FORWARD, INGRESS, owner_in, "filter FORWARD", skipped_once_accepted=True)
    if from_pod:
        yield PodStage("filter FORWARD", EGRESS, flow.source)
    if to_pod:
        yield PodStage("filter FORWARD", INGRESS, flow.destination)
    if owner_out:
        yield Stage(FORWARD, EGRESS, owner_out, "filter FORWARD")
    if not owner_in and not owner_out:
        yield _unowned("filter FORWARD", flow)


def _input(flow: Flow, owners: Owners, settings: Settings, from_pod: bool) -> Iterable[Step]:
    tunnel = _tunnel(flow, owners, settings, "filter INPUT")
    if tunnel:
        yield tunnel
        return
    if settings.ipvs and is_ipvs_forward(flow, settings):
        yield Settled(
            "filter INPUT",
            "allow",
            "ipvs-node-port",
            "in IPVS mode a new connection to a port of the NodePort range counts as forwarded here: normal "
            "ingress policy is not evaluated",
            skipped_once_accepted=True,
        )
        return
    if from_pod:
        yield from _pod_to_host(flow, settings)
        return
    owner = owners.named or owners.wildcard
    if owner:
        yield Stage(NORMAL, INGRESS, owner, "filter INPUT", False, "inbound", skipped_once_accepted=True)
    else:
        yield _unowned("filter INPUT", flow)


def is_ipvs_forward(flow: Flow, settings: Settings) -> bool:
    """Whether Felix takes a packet to the node's own address for one to a NodePort (cali-forward-check)."""
    port = flow.destination_port
    return (
        flow.state == "new"
        and flow.protocol in (PROTOCOLS["tcp"], PROTOCOLS["udp"])
        and port is not None
        and any(first <= port <= last for first, last in settings.node_ports)
    )


def _output(flow: Flow, owners: Owners, settings: Settings, dataplane: str) -> Iterable[Step]:
    if owners.has(owners.named, UNTRACKED) and owners.named:
        yield _raw(owners.named, EGRESS, "raw OUTPUT")
    if is_workload_interface(flow.interface, settings.workload_prefixes):
        yield _host_to_pod("filter OUTPUT")
        return
    tunnel = _tunnel(flow, owners, settings, "filter OUTPUT")
    if tunnel:
        yield tunnel
        return
    owner = owners.named or owners.wildcard
    place = "mangle POSTROUTING" if flow.translated else "filter OUTPUT"
    if not owner:
        yield _unowned(place, flow)
    elif dataplane == NFTABLES and (has_no_connection(flow) or flow.state == "invalid"):
        yield Settled(
            place,
            "allow",
            "no-connection",
            "nftables asks egress host policy only about packets of a connection; the kernel keeps none here",
            skipped_once_accepted=True,
        )
    else:
        yield Stage(NORMAL, EGRESS, owner, place, False, "outbound", skipped_once_accepted=True)


def _tunnel(flow: Flow, owners: Owners, settings: Settings, place: str) -> Optional[Settled]:
    """What Felix does with its own tunnels before it asks host policy."""
    for tunnel in settings.tunnels:
        if (tunnel.version, tunnel.protocol) != (flow.version, flow.protocol):
            continue
        if tunnel.port is not None and tunnel.port != flow.destination_port:
            continue
        peer = flow.source if flow.direction == INGRESS else flow.destination
        if not tunnel.checked or peer in owners.peers:
            text = f"{tunnel.name} between nodes is allowed by Felix itself"
            return Settled(place, "allow", "tunnel", text, skipped_once_accepted=True)
        if flow.direction == INGRESS:
            text = f"{tunnel.name} is taken from nodes that Calico knows only"
            return Settled(
                place, "undetermined", "tunnel", text, f"{peer} is the address of a node of this cluster"
            )
    return None


def _raw(endpoint: HostEndpoint, direction: str, place: str) -> Stage:
    failsafes = "inbound" if direction == INGRESS else "outbound"
    return Stage(UNTRACKED, direction, endpoint, place, True, failsafes, True, False)


def _unowned(place: str, flow: Flow) -> Settled:
    interface = flow.out_interface if flow.direction == FORWARD else flow.interface
    return Settled(
        place,
        "allow",
        "no-host-endpoint",
        f"no host endpoint owns {interface or 'the interface'}: left to the node's own rules",
        skipped_once_accepted=True,
    )


def _host_to_pod(place: str) -> Settled:
    return Settled(place, "allow", "host-to-pod", "a node's traffic to its own pods is not policed")


def _pod_to_host(flow: Flow, settings: Settings) -> Iterable[Step]:
    place = WORKLOAD_TO_HOST
    if flow.protocol == ICMPV6 and flow.icmp_type in _EBPF_LETS_PASS:
        yield Settled(
            place, "allow", "neighbour-discovery", "a pod's neighbour discovery reaches its own node"
        )
        return
    yield PodStage(place, EGRESS, flow.source)
    action = settings.endpoint_to_host
    if action == "Drop":
        text = "DefaultEndpointToHostAction is Drop: no pod reaches its own node"
        known = flow.state in ("established", "related")
        yield Settled(place, "allow" if known else "deny", "established" if known else "pod-to-host", text)
    elif action is None:
        text = "DefaultEndpointToHostAction decides about traffic from a pod to its own node"
        assumption = (
            "defaultEndpointToHostAction is in no FelixConfiguration: Drop is built in, Calico's manifests "
            "set ACCEPT in the environment; tell which of them holds"
        )
        yield Settled(place, "undetermined", "pod-to-host", text, assumption)
    else:
        text = f"DefaultEndpointToHostAction is {action}: host policy is not asked about a pod's own traffic"
        own = "the node's own rules in INPUT, where it goes on, accept it" if action == "Return" else ""
        yield Settled(place, "allow", "pod-to-host", text, own)


# -- eBPF ------------------------------------------------------------------------------------------


def _ebpf(flow: Flow, owners: Owners, settings: Settings) -> Iterable[Step]:
    if flow.direction == EGRESS:
        yield from _ebpf_egress(flow, owners, settings)
        return
    from_pod = is_workload_interface(flow.interface, settings.workload_prefixes)
    owner = (
        owners.wildcard if from_pod else _ebpf_owner(flow.interface, owners.named, owners.wildcard, settings)
    )
    if owner and not from_pod and owners.has(owner, UNTRACKED):
        yield Stage(UNTRACKED, INGRESS, owner, "XDP", True, "inbound", True, False)
    if flow.interface == "lo":
        yield Settled("TC", "allow", "not-an-ebpf-interface", "eBPF looks at no packet that comes in by lo")
        return
    settled = (
        _ebpf_lost(flow, "TC ingress")
        if from_pod
        else _ebpf_before_policy(flow, flow.interface, owners, owner, settings)
    )
    if settled:
        yield settled
        return
    if flow.protocol == ICMPV6 and flow.icmp_type in _EBPF_LETS_PASS:
        yield Settled("TC ingress", "allow", "neighbour-discovery", "eBPF lets neighbour discovery pass")
        return
    if owner and owners.has(owner, PRE_DNAT):
        failsafes = "" if from_pod or flow.direction == FORWARD else "inbound"
        yield Stage(PRE_DNAT, INGRESS, owner, "TC ingress", True, failsafes, skipped_once_accepted=True)
    if flow.direction == INGRESS:
        if from_pod:
            yield from _pod_to_host(flow, settings)
        elif owner:
            yield Stage(NORMAL, INGRESS, owner, "TC ingress", False, "inbound", skipped_once_accepted=True)
        else:
            yield _ebpf_unowned(flow, flow.interface, owners)
        return
    yield from _ebpf_forward(flow, owners, owner, from_pod, settings)


def _ebpf_forward(
    flow: Flow, owners: Owners, owner: Optional[HostEndpoint], from_pod: bool, settings: Settings
) -> Iterable[Step]:
    to_pod = is_workload_interface(flow.out_interface, settings.workload_prefixes)
    owner_out = (
        owners.wildcard
        if to_pod
        else _ebpf_owner(flow.out_interface, owners.named_out, owners.wildcard, settings)
    )
    if owner:
        yield Stage(FORWARD, INGRESS, owner, "TC ingress", skipped_once_accepted=True)
    if from_pod:
        yield PodStage("TC ingress", EGRESS, flow.source)
    lost = _ebpf_lost(flow, "TC egress") if owner_out or to_pod else None
    if lost:
        yield lost
        return
    if owner_out:
        yield Stage(FORWARD, EGRESS, owner_out, "TC egress")
    if to_pod:
        yield PodStage("TC egress", INGRESS, flow.destination)
    if not owner and not owner_out:
        yield _ebpf_unowned(flow, flow.out_interface, owners)


def _ebpf_egress(flow: Flow, owners: Owners, settings: Settings) -> Iterable[Step]:
    if owners.named and owners.has(owners.named, UNTRACKED):
        yield _raw(owners.named, EGRESS, "raw OUTPUT")
    if is_workload_interface(flow.interface, settings.workload_prefixes):
        yield _ebpf_lost(flow, "TC egress") or _host_to_pod("TC egress")
        return
    if flow.protocol == ICMPV6 and flow.icmp_type in _EBPF_LETS_PASS:
        yield Settled("TC egress", "allow", "neighbour-discovery", "eBPF lets neighbour discovery pass")
        return
    owner = _ebpf_owner(flow.interface, owners.named, owners.wildcard, settings)
    if flow.interface == "lo" and not _seen_on_loopback(flow, settings):
        text = (
            "of what leaves by lo, eBPF looks at UDP only" if settings.ebpf_loopback else "eBPF is not on lo"
        )
        yield Settled("TC egress", "allow", "not-an-ebpf-interface", text)
        return
    settled = _ebpf_before_policy(flow, flow.interface, owners, owner, settings)
    if settled:
        yield settled
        return
    if owner:
        yield Stage(NORMAL, EGRESS, owner, "TC egress", False, "outbound", skipped_once_accepted=True)
    else:
        yield _ebpf_unowned(flow, flow.interface, owners)


def _ebpf_owner(
    interface: str, named: Optional[HostEndpoint], wildcard: Optional[HostEndpoint], settings: Settings
) -> Optional[HostEndpoint]:
    """eBPF programs sit on some interfaces; there a named host endpoint replaces the wildcard."""
    return (named or wildcard) if _is_ebpf_interface(interface, settings) else None


def _is_ebpf_interface(interface: str, settings: Settings) -> bool:
    """Whether programs are on an interface: of the pattern, of the overlay, or lo (isDataIface)."""
    if interface == "lo":
        return bool(settings.ebpf_loopback)
    return interface in settings.ebpf_overlays or bool(re.search(settings.ebpf_interfaces, interface))


def _seen_on_loopback(flow: Flow, settings: Settings) -> bool:
    return settings.ebpf_loopback == "all" or (
        settings.ebpf_loopback == "udp" and flow.protocol == PROTOCOLS["udp"]
    )


def _ebpf_before_policy(
    flow: Flow, interface: str, owners: Owners, owner: Optional[HostEndpoint], settings: Settings
) -> Optional[Settled]:
    """What eBPF programs settle before any policy: tunnels, and TCP packets of no connection.

    Source: felix/bpf-gpl/parsing.h (IPIP, WireGuard, VXLAN that leaves), nat.h (VXLAN that arrives) and tc.c
    (mid-flow misses).
    """
    if not _is_ebpf_interface(interface, settings):
        return None
    arrives = flow.direction != EGRESS
    place = "TC ingress" if arrives else "TC egress"
    if _is_ipip(flow) and _is_layer3(interface, settings):
        return Settled(place, "deny", "tunnel", f"eBPF drops IPIP on {interface}: no tunnel goes through it")
    tunnel = _ebpf_tunnel(flow, interface, settings)
    if tunnel:
        peer = flow.source if arrives else flow.destination
        remote = interface != "lo"  # what leaves by lo goes to the node itself, which is no peer of its own
        if remote and peer in owners.peers:
            return Settled(place, "allow", "tunnel", f"{tunnel} between known nodes passes without policy")
        if tunnel == "VXLAN":
            return None  # another VXLAN network: policy decides
        text = f"eBPF drops {tunnel} of an address that is no other node of the cluster, host endpoint or not"
        if owners.peers or not remote:
            return Settled(place, "deny", "tunnel", text)
        return Settled(
            place, "undetermined", "tunnel", text, f"{peer} is the address of a node of this cluster"
        )
    return _ebpf_lost(flow, place) if owner or arrives else None


def _ebpf_lost(flow: Flow, place: str) -> Optional[Settled]:
    """A TCP packet of no connection, at a program that drops it or leaves it to iptables, which does."""
    if flow.protocol != PROTOCOLS["tcp"] or flow.state != "invalid":
        return None
    text = "a TCP packet of no connection is dropped, whatever policy allows"
    return Settled(place, "deny", "invalid-state", text)


def _is_ipip(flow: Flow) -> bool:
    return flow.protocol == _IPIP and flow.version == 4


def _is_layer3(interface: str, settings: Settings) -> bool:
    return interface == "tunl0" or interface in settings.wireguard_interfaces


def _ebpf_tunnel(flow: Flow, interface: str, settings: Settings) -> str:
    """Which tunnel's outer packet this is, or empty. WireGuard's port counts even where it is off."""
    if _is_ipip(flow):
        return "IPIP"
    if flow.protocol != PROTOCOLS["udp"]:
        return ""
    inside = _is_layer3(interface, settings) and flow.direction == EGRESS
    port = settings.wireguard_port if flow.version == 4 else settings.wireguard_port_v6
    if flow.destination_port == port and not inside:
        return "WireGuard"
    if flow.destination_port != settings.vxlan_port:
        return ""
    own = any(tunnel.name == "VXLAN" and tunnel.version == flow.version for tunnel in settings.tunnels)
    return "VXLAN" if own or flow.direction == EGRESS else ""


def _ebpf_unowned(flow: Flow, interface: str, owners: Owners) -> Settled:
    if owners.named or owners.wildcard:
        return Settled(
            "TC",
            "allow",
            "not-an-ebpf-interface",
            f"{interface} matches neither bpfDataIfacePattern nor bpfL3IfacePattern: eBPF ignores its host "
            "endpoint",
        )
    return _unowned("TC", flow)
