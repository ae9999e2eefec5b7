# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policies of a set in the cluster's form, as the reader makes them of what users wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from dataclasses import field as declare
from typing import Any, Optional, Union

from .names import EGRESS, INGRESS

Port = Union[int, str]
Protocol = Union[int, str]
Wire = dict[str, Any]


@dataclass(frozen=True)
class Icmp:
    """Type (0-254), and code (0-255) or None for any."""

    type: Optional[int] = None
    code: Optional[int] = None


@dataclass(frozen=True)
class Service:
    name: str
    namespace: str


@dataclass(frozen=True)
class ServiceAccounts:
    names: tuple[str, ...] = ()
    selector: str = ""


@dataclass(frozen=True)
class EntityDefinition:
    """One side of a rule; ports are numbers, ``first:last`` or names."""

    nets: tuple[str, ...] = ()
    not_nets: tuple[str, ...] = declare(default=(), metadata={"wire": "notNets"})
    selector: str = ""
    not_selector: str = declare(default="", metadata={"wire": "notSelector"})
    namespace_selector: str = declare(default="", metadata={"wire": "namespaceSelector"})
    ports: tuple[Port, ...] = ()
    not_ports: tuple[Port, ...] = declare(default=(), metadata={"wire": "notPorts"})
    services: Optional[Service] = None
    service_accounts: Optional[ServiceAccounts] = declare(default=None, metadata={"wire": "serviceAccounts"})


@dataclass(frozen=True)
class RuleMetadata:
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class RuleDefinition:
    action: str
    ip_version: Optional[int] = declare(default=None, metadata={"wire": "ipVersion"})
    protocol: Optional[Protocol] = None
    not_protocol: Optional[Protocol] = declare(default=None, metadata={"wire": "notProtocol"})
    icmp: Optional[Icmp] = None
    not_icmp: Optional[Icmp] = declare(default=None, metadata={"wire": "notICMP"})
    source: EntityDefinition = EntityDefinition()
    destination: EntityDefinition = EntityDefinition()
    metadata: Optional[RuleMetadata] = None


@dataclass(frozen=True)
class PolicySpec:
    """``types`` is never empty: an empty one means both directions to a Felix that reads v1 storage."""

    tier: str
    types: tuple[str, ...]
    order: Optional[float] = None
    selector: str = ""
    namespace_selector: str = declare(default="", metadata={"wire": "namespaceSelector"})
    service_account_selector: str = declare(default="", metadata={"wire": "serviceAccountSelector"})
    ingress: tuple[RuleDefinition, ...] = ()
    egress: tuple[RuleDefinition, ...] = ()
    do_not_track: bool = declare(default=False, metadata={"wire": "doNotTrack"})
    pre_dnat: bool = declare(default=False, metadata={"wire": "preDNAT"})
    apply_on_forward: bool = declare(default=False, metadata={"wire": "applyOnForward"})
    performance_hints: tuple[str, ...] = declare(default=(), metadata={"wire": "performanceHints"})


@dataclass(frozen=True)
class Metadata:
    """``name`` is canonical: ``<tier>.<name>`` outside the tier default, the plain name in it."""

    name: str
    labels: Mapping[str, str] = declare(default_factory=dict)
    annotations: Mapping[str, str] = declare(default_factory=dict)


@dataclass(frozen=True)
class PolicyDefinition:
    """A global policy, staged or not: which of the two is decided by the set's state."""

    metadata: Metadata
    spec: PolicySpec
    source: str = ""

    @property
    def name(self) -> str:
        return self.metadata.name


@dataclass(frozen=True)
class NetworkSetDefinition:
    metadata: Metadata
    nets: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True)
class TierDefinition:
    """``default_action`` is None where the user leaves it to the set."""

    metadata: Metadata
    order: Optional[float] = None
    default_action: Optional[str] = None
    source: str = ""


@dataclass(frozen=True)
class Definitions:
    """The objects of one set, names unique in each kind."""

    policies: tuple[PolicyDefinition, ...] = ()
    network_sets: tuple[NetworkSetDefinition, ...] = ()
    tiers: tuple[TierDefinition, ...] = ()


def infer_types(has_ingress: bool, has_egress: bool) -> tuple[str, ...]:
    """The directions of a policy that names none (libcalico-go/lib/clientv3, defaultPolicyTypesField)."""
    if not has_egress:
        return (INGRESS,)
    return (INGRESS, EGRESS) if has_ingress else (EGRESS,)


def wire(value: object) -> Any:
    """The API's form: camel case, and nothing that is empty or the API's default."""
    if isinstance(value, tuple):
        return [wire(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    if not hasattr(value, "__dataclass_fields__"):
        return value
    found = {
        f.metadata.get("wire", f.name): wire(getattr(value, f.name))
        for f in fields(value)  # type: ignore[arg-type]
    }
    return normal_spec(found)


def normal_spec(spec: Mapping[str, Any]) -> Wire:
    """A stored spec without what is empty, so that it compares with :func:`wire`'s."""
    # Not "in": zero equals False, and an order or an ICMP type may be zero.
    return {k: v for k, v in spec.items() if v is not None and v is not False and v not in ("", [], {})}
