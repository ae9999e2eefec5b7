# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects that decide about a packet, as Felix holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..address import Address, Net
from ..selector import Selector

WILDCARD = "*"

# How far a misread value reaches.
MISSING = "missing"  # Felix acts as if the object did not exist
STALE = "stale"  # Felix cannot decode the object, and sees no further change of this kind
SKIPPED = "skipped"  # only the value is left out


@dataclass(frozen=True)
class Misreading:
    """A value that the API took and Felix does not read as it looks.

    ``effect`` is MISSING, STALE or SKIPPED; ``meaning`` says in words what Felix makes of it.
    """

    field: str
    value: object
    effect: str
    meaning: str


@dataclass(frozen=True)
class Reference:
    """Which object: ``kind``, ``name`` (Calico's, not the storage's), ``namespace``; the API it came by."""

    kind: str
    name: str
    namespace: str = ""
    api: str = ""
    stored_name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True)
class Ports:
    """A list of ports: ``ranges`` (first, last) and ``names``; empty when the list was not given."""

    ranges: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ranges or self.names)


@dataclass(frozen=True)
class Entity:
    """One side of a rule, after libcalico-go has joined its selectors.

    ``selector`` already holds the namespace and service-account parts, and the negated selector where
    there is a positive one; ``not_selector`` stands alone. ``domains`` are names, which only Calico's
    commercial editions resolve.
    """

    nets: tuple[Net, ...] = ()
    not_nets: tuple[Net, ...] = ()
    ports: Ports = Ports()
    not_ports: Ports = Ports()
    selector: Optional[Selector] = None
    not_selector: Optional[Selector] = None
    service: str = ""
    domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule; ``protocol`` and ``not_protocol`` are numbers, ``icmp`` is (type, code or None)."""

    index: int
    action: str
    ip_version: Optional[int] = None
    protocol: Optional[int] = None
    not_protocol: Optional[int] = None
    icmp: Optional[tuple[int, Optional[int]]] = None
    not_icmp: Optional[tuple[int, Optional[int]]] = None
    source: Entity = Entity()
    destination: Entity = Entity()
    http: bool = False


@dataclass(frozen=True)
class Policy:
    """A policy as Felix holds it. ``types_given`` is False where neither user nor API set ``types``."""

    ref: Reference
    tier: str
    order: Optional[float]
    selector: Selector
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]
    governs_ingress: bool
    governs_egress: bool
    do_not_track: bool = False
    pre_dnat: bool = False
    apply_on_forward: bool = False
    staged: bool = False
    types_given: bool = True
    selector_text: str = ""
    namespace_selector_text: str = ""
    misreadings: tuple[Misreading, ...] = ()
    account_selector_text: str = ""

    @property
    def bound_to_pods(self) -> bool:
        """Whether it is bound to namespaces or service accounts, which hosts have none of."""
        return bool(self.namespace_selector_text or self.account_selector_text)


@dataclass(frozen=True)
class EndpointPort:
    """A named port of an endpoint; ``protocol`` is a number."""

    name: str
    protocol: int
    port: int


@dataclass(frozen=True)
class HostEndpoint:
    """A host endpoint. ``interface`` is a name, ``*`` or empty (by ``expected_ips``)."""

    ref: Reference
    node: str
    interface: str
    expected_ips: tuple[Address, ...]
    labels: Mapping[str, str]
    profiles: tuple[str, ...]
    ports: tuple[EndpointPort, ...] = ()
    misreadings: tuple[Misreading, ...] = ()

    @property
    def name(self) -> str:
        return self.ref.name


@dataclass(frozen=True)
class Workload:
    """A pod. ``labels`` are its own; ``unknown_labels`` are beginnings of labels whose values are unknown."""

    ref: Reference
    node: str
    labels: Mapping[str, str]
    addresses: tuple[Address, ...]
    ports: tuple[EndpointPort, ...] = ()
    interface: str = ""
    profiles: tuple[str, ...] = ()
    unknown_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tier:
    """A tier; ``default_action`` is ``Deny`` or ``Pass``.

    :ivar denies_once_enforced: whether it is to end in Deny once what is staged in it is enforced
    """

    ref: Reference
    order: Optional[float]
    default_action: str
    misreadings: tuple[Misreading, ...] = ()
    denies_once_enforced: bool = False


@dataclass(frozen=True)
class NetworkSet:
    """A (global) network set and the labels that selectors see."""

    ref: Reference
    nets: tuple[Net, ...]
    labels: Mapping[str, str]
    misreadings: tuple[Misreading, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A profile: labels that its endpoints inherit, and rules that run after the tiers."""

    name: str
    labels: Mapping[str, str]
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class ServiceEndpoint:
    """Where a service leads: address, protocol number and port."""

    address: Address
    protocol: int
    port: int


@dataclass(frozen=True)
class Node:
    """A Kubernetes node: labels and addresses."""

    name: str
    labels: Mapping[str, str]
    addresses: tuple[Address, ...] = ()


@dataclass
class Store:
    """All that was read. Objects that Felix drops are in ``dropped`` only, with the reasons.

    ``staged_deletions`` would delete the policy of their name once enforced; Felix never sees them.
    ``pod_nets`` are the nets that pods get their addresses from; ``tunnels`` the (``ipip`` or ``vxlan``,
    family) that address pools make Calico use between nodes; ``kubernetes_policies`` the namespaces that have
    Kubernetes' own NetworkPolicies, whose rules are not read.
    """

    host_endpoints: list[HostEndpoint] = field(default_factory=list)
    policies: list[Policy] = field(default_factory=list)
    staged_deletions: list[Reference] = field(default_factory=list)
    tiers: dict[str, Tier] = field(default_factory=dict)
    network_sets: list[NetworkSet] = field(default_factory=list)
    profiles: dict[str, Profile] = field(default_factory=dict)
    workloads: list[Workload] = field(default_factory=list)
    services: dict[str, tuple[ServiceEndpoint, ...]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    felix_configurations: list[dict[str, Any]] = field(default_factory=list)
    pod_nets: list[Net] = field(default_factory=list)
    tunnels: set[tuple[str, int]] = field(default_factory=set)
    kubernetes_policies: set[str] = field(default_factory=set)
    dropped: list[tuple[Reference, tuple[Misreading, ...]]] = field(default_factory=list)
    misreadings: list[tuple[Reference, Misreading]] = field(default_factory=list)

    def unknown_kinds(self) -> list[tuple[Reference, Misreading]]:
        """Objects of a kind that their API does not have, where it is Calico's or was meant to be."""
        return [(ref, found) for ref, found in self.misreadings if found.field in ("kind", "apiVersion")]

    def stale(self) -> list[tuple[Reference, Misreading]]:
        """What keeps Felix from seeing any change of a kind."""
        return [(ref, found) for ref, found in self.misreadings if found.effect == STALE]
