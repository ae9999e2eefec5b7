# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel of one node must hold for its failsafes, worked out from the API's objects.

Which table holds which chain follows updateHostEndpoints in felix/dataplane/linux/endpoint_mgr.go, and the
chains' names and rules felix/rules/{static.go,endpoints.go,dispatch.go}, v3.32.1.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..address import Address, parse_address
from ..felix.chains import FAILSAFE_IN
from ..felix.configuration import FailsafePort, Failsafes, effective
from ..felix.settings import FelixSettings
from ..stored.model import HostEndpoint, Policy, Store
from ..stored.reader import inherited_labels, read
from ..verdict.interface_owner import is_workload_interface, resolve_host_endpoints
from ..verdict.packet_path import settings_of
from .ruleset import NFTABLES, DumpedRule, Match

ANY_INTERFACE = "any-interface-at-all"

JUDGED_KINDS = frozenset(
    (
        "HostEndpoint",
        "GlobalNetworkPolicy",
        "StagedGlobalNetworkPolicy",
        "Tier",
        "Profile",
        "Node",
        "FelixConfiguration",
    )
)
"""Kinds that have a say in what the failsafes of a node must look like."""

_IPTABLES_NAME_LIMIT = 28

Object = Mapping[str, Any]


@dataclass(frozen=True)
class ActiveEndpoint:
    """A host endpoint in force on one interface, and the classes of policy that select it.

    :ivar interface: a name, or ``any-interface-at-all`` for the wildcard
    :ivar enforced: how many policies its chain must lead to, by table (or ``forward``) and direction
    """

    interface: str
    name: str
    normal_ingress: bool
    normal_egress: bool
    pre_dnat: bool
    untracked: bool
    forward: bool
    enforced: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Names of the classes of policy, as Calico's documents name them."""
        named = {
            "normal": self.normal_ingress or self.normal_egress,
            "preDNAT": self.pre_dnat,
            "doNotTrack": self.untracked,
            "applyOnForward": self.forward,
        }
        return [name for name, present in named.items() if present]


@dataclass(frozen=True)
class Expectation:
    """What one node's kernel must hold.

    :ivar interfaces: names to try the dispatch with, workload interfaces excluded
    :ivar ipv6: whether Felix programs IPv6
    :ivar bpf: whether the configuration asks for the eBPF data plane
    :ivar bpf_interfaces: pattern of the interfaces that eBPF mode polices
    :ivar bpf_overlays: those of the overlay that it polices besides: named by a host endpoint, or in use
    :ivar forced_policies: some policy asks to be programmed although nothing refers to it
    :ivar undefined_interfaces: host endpoints given by address only, where the node's addresses are not known
    """

    node: str
    failsafes: Failsafes
    endpoints: tuple[ActiveEndpoint, ...]
    interfaces: tuple[str, ...]
    ipv6: bool = True
    bpf: bool = False
    bpf_interfaces: str = ""
    bpf_overlays: tuple[str, ...] = ()
    calico_version: str = ""
    forced_policies: bool = False
    undefined_interfaces: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        return bool(self.endpoints)

    def dispatched(self, table: str, direction: str) -> tuple[ActiveEndpoint, ...]:
        """Endpoints that a table's dispatch leads to.

        :param direction: ``from`` (ingress) or ``to`` (egress)
        """
        if table == "filter" or (table == "mangle" and direction == "to"):
            return self.endpoints
        if table == "mangle":
            return tuple(endpoint for endpoint in self.endpoints if endpoint.pre_dnat)
        return tuple(
            endpoint
            for endpoint in self.endpoints
            if endpoint.untracked and endpoint.interface != ANY_INTERFACE
        )

    def owner(self, table: str, direction: str, interface: str) -> Optional[ActiveEndpoint]:
        """The endpoint whose chain a packet of an interface must meet in a table, or None."""
        found = {endpoint.interface: endpoint for endpoint in self.dispatched(table, direction)}
        return found.get(interface) or found.get(ANY_INTERFACE)


def expect(
    resources: Iterable[Object],
    node: str,
    interfaces: Optional[Mapping[str, Sequence[str]]] = None,
    environment: Optional[Mapping[str, str]] = None,
    calico_version: str = "",
    config_file: Optional[Mapping[str, str]] = None,
) -> Expectation:
    """Work out what a node's kernel must hold.

    :param resources: objects as stored; kinds that have no say are passed over
    :param interfaces: interface name to its addresses, with or without prefix length; None where not known
    :param environment: variables of the running Felix that matter here, where they could be read
    :param config_file: settings of its configuration file, under the names of the variables
    :raises BadInput: an object that cannot be read
    """
    objects = [item for item in resources if item.get("kind") in JUDGED_KINDS]
    store = read(objects)
    labels = dict(store.nodes[node].labels) if node in store.nodes else {}
    local = {**(config_file or {}), **{name: text for name, text in (environment or {}).items() if text}}
    felix = FelixSettings(store.felix_configurations, node, labels, local)
    settings = settings_of(store.felix_configurations, node, labels, local, calico_version)
    prefixes = settings.workload_prefixes
    known = _addresses(interfaces) if interfaces is not None else _named_interfaces(store, node)
    resolution = resolve_host_endpoints(store.host_endpoints, node, known, prefixes)
    owners = dict(resolution.by_interface)
    if resolution.wildcard is not None:
        owners[ANY_INTERFACE] = resolution.wildcard
    by_address_only = [hep.name for hep in store.host_endpoints if hep.node == node and not hep.interface]
    return Expectation(
        node=node,
        failsafes=effective(
            store.felix_configurations, node, labels, environment, calico_version, config_file
        ),
        endpoints=tuple(_active(store, hep, interface) for interface, hep in sorted(owners.items())),
        interfaces=tuple(sorted(name for name in known if not is_workload_interface(name, prefixes))),
        ipv6=_ipv6(felix, interfaces),
        bpf=felix.flag("bpfEnabled", default=False),
        bpf_interfaces=settings.ebpf_interfaces,
        # The kernel makes a tunl0 of its own accord; an overlay that is in use has an address.
        bpf_overlays=tuple(name for name in settings.ebpf_overlays if name in owners or known.get(name)),
        calico_version=calico_version,
        forced_policies=any(_forced(item) for item in objects),
        undefined_interfaces=tuple(sorted(by_address_only)) if interfaces is None else (),
    )


def endpoint_chain(prefix: str, interface: str, dialect: str) -> str:
    """Name of an endpoint's chain: iptables allows 28 characters, longer ones are hashed."""
    name = prefix + interface
    if dialect == NFTABLES or len(name) <= _IPTABLES_NAME_LIMIT:
        return name
    digest = base64.urlsafe_b64encode(hashlib.sha256(interface.encode()).digest()).decode()
    return f"{prefix}_{digest[: _IPTABLES_NAME_LIMIT - 1 - len(prefix)]}"


def failsafe_rules(failsafes: Failsafes, chain: str, table: str, family: int) -> list[DumpedRule]:
    """The rules of a failsafe chain, in Felix's order and without hashes.

    In raw, before connection tracking, each chain also lets the answers of the other direction pass.
    """
    inbound = chain == FAILSAFE_IN
    forth = failsafes.inbound if inbound else failsafes.outbound
    back = (failsafes.outbound if inbound else failsafes.inbound) if table == "raw" else ()
    side = "saddr" if inbound else "daddr"
    return [
        *(_failsafe_rule(entry, "dports", side) for entry in forth if entry.family in (None, family)),
        *(_failsafe_rule(entry, "sports", side) for entry in back if entry.family in (None, family)),
    ]


def _failsafe_rule(entry: FailsafePort, ports: str, side: str) -> DumpedRule:
    match: list[Match] = [("proto", entry.protocol), (ports, str(entry.port))]
    if entry.net is not None:
        match.append((side, entry.net))
    return DumpedRule(tuple(match), "accept")


def _addresses(interfaces: Mapping[str, Sequence[str]]) -> dict[str, list[Address]]:
    found: dict[str, list[Address]] = {}
    for name, texts in interfaces.items():
        parsed = [parse_address(str(text).partition("/")[0]) for text in texts or []]
        found[name] = [address for address in parsed if address]
    return found


def _named_interfaces(store: Store, node: str) -> dict[str, list[Address]]:
    """Where the node's interfaces are not known: those that its host endpoints name are taken to exist."""
    return {
        hep.interface: []
        for hep in store.host_endpoints
        if hep.node == node and hep.interface not in ("", "*")
    }


def _active(store: Store, hep: HostEndpoint, interface: str) -> ActiveEndpoint:
    labels = inherited_labels(hep.labels, hep.profiles, store.profiles)
    mine = [
        policy for policy in store.policies if not policy.ref.namespace and policy.selector.matches(labels)
    ]
    untracked = [policy for policy in mine if policy.do_not_track]
    pre_dnat = [policy for policy in mine if policy.pre_dnat and not policy.do_not_track]
    normal = [policy for policy in mine if not policy.pre_dnat and not policy.do_not_track]
    forwarded = [policy for policy in normal if policy.apply_on_forward]
    return ActiveEndpoint(
        interface,
        hep.name,
        normal_ingress=any(policy.governs_ingress for policy in normal),
        normal_egress=any(policy.governs_egress for policy in normal),
        pre_dnat=any(policy.governs_ingress for policy in pre_dnat),
        untracked=any(_governs(policy) for policy in untracked),
        forward=any(_governs(policy) for policy in forwarded),
        enforced={
            (place, direction): _enforced(policies, direction)
            for place, direction, policies in (
                ("filter", "from", normal),
                ("filter", "to", normal),
                ("mangle", "from", pre_dnat),
                ("mangle", "to", normal),
                ("raw", "from", untracked),
                ("raw", "to", untracked),
                ("forward", "from", forwarded),
                ("forward", "to", forwarded),
            )
        },
    )


def _enforced(policies: Sequence[Policy], direction: str) -> int:
    inbound = direction == "from"
    return sum(
        not policy.staged and (policy.governs_ingress if inbound else policy.governs_egress)
        for policy in policies
    )


def _governs(policy: Policy) -> bool:
    return policy.governs_ingress or policy.governs_egress


def _forced(item: Object) -> bool:
    return "AssumeNeededOnEveryNode" in ((item.get("spec") or {}).get("performanceHints") or [])


def _ipv6(settings: FelixSettings, interfaces: Optional[Mapping[str, Sequence[str]]]) -> bool:
    """Felix programs IPv6 unless it is configured not to, or the kernel has none (then not even ``lo`` has an
    address)."""
    if not settings.flag("ipv6Support", default=True):
        return False
    if not interfaces or not any(interfaces.values()):
        return True
    return any(":" in str(text) for texts in interfaces.values() for text in texts or [])
