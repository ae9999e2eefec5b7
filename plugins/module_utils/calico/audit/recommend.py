# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A policy set from what nodes were seen to do: required flows of a preset, and the rest from traffic.

The set is one tier that ends in Deny. It allows who connected to which port, and what the platform needs
whether it was seen or not. Every rule says what it rests on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..policy.required_flows import PlatformNetworks, Shape, policies, required_flows
from .labelled import Labelled
from .observed import FlowDocument, ObservedFlow
from .peers import NONE, Peers
from .remedy import calico_protocol
from .rows import PROTOCOL_NAMES

EVIDENCE = "hostfence.io/evidence"
_API_VERSION = "projectcalico.org/v3"
_INGRESS, _EGRESS = "ingress", "egress"


@dataclass(frozen=True)
class WantedSet:
    """The set to make.

    :ivar directions: which are governed; a direction that is left out stays open
    """

    tier: str
    selector: str
    control_plane_selector: str
    generalise: str
    directions: tuple[str, ...]
    platform: str
    around: PlatformNetworks


@dataclass(frozen=True)
class _Service:
    direction: str
    protocol: int
    port: Optional[int]
    icmp_type: Optional[int]
    icmp_code: Optional[int]


@dataclass
class _Evidence:
    peers: Peers = field(default_factory=Peers)
    nodes: set[str] = field(default_factory=set)
    connections: int = 0
    owners: list[str] = field(default_factory=list)


class Recommendation:
    """Collects the documents of the nodes one by one.

    :param labelled: for rules by labels
    """

    def __init__(self, wanted: WantedSet, labelled: Labelled) -> None:
        self._wanted = wanted
        self._labelled = labelled
        self._seen: dict[_Service, _Evidence] = defaultdict(_Evidence)
        self.left_out: list[str] = []

    def add(self, document: FlowDocument) -> None:
        """Take in what a node was seen to do. Forwarded traffic is left to the policy of pods."""
        for observed in document.flows():
            direction = observed.flow.direction
            if direction.capitalize() in self._wanted.directions:
                self._add(observed)

    def _add(self, observed: ObservedFlow) -> None:
        flow = observed.flow
        port = flow.destination_port
        service = _Service(flow.direction, flow.protocol, port, flow.icmp_type, flow.icmp_code)
        evidence = self._seen[service]
        if flow.direction == _EGRESS:
            evidence.peers.add(flow.destination, observed.destination_bits, observed.count)
        else:
            evidence.peers.add(flow.source, observed.source_bits, observed.count)
        evidence.nodes.add(flow.node)
        evidence.connections += observed.count
        if observed.owner and observed.owner not in evidence.owners and len(evidence.owners) < 3:
            evidence.owners.append(observed.owner)

    def objects(self) -> list[dict[str, Any]]:
        """The tier, one policy a direction of what was seen, and those of what the platform needs."""
        wanted = self._wanted
        tier = {
            "apiVersion": _API_VERSION,
            "kind": "Tier",
            "metadata": {"name": wanted.tier},
            "spec": {"order": 100, "defaultAction": "Deny"},
        }
        return [tier, *self._observed(), *self._required()]

    def _required(self) -> Iterator[dict[str, Any]]:
        """What the platform needs, whether it was seen or not."""
        wanted = self._wanted
        shape = Shape("required", wanted.selector, wanted.control_plane_selector, wanted.directions)
        for policy in policies(required_flows(wanted.platform, wanted.around), wanted.around, shape):
            name = f"{wanted.tier}.{policy['metadata']['name']}"
            yield {**policy, "metadata": {"name": name}, "spec": {"tier": wanted.tier, **policy["spec"]}}

    def _observed(self) -> Iterator[dict[str, Any]]:
        for direction in (_INGRESS, _EGRESS):
            if direction.capitalize() not in self._wanted.directions:
                continue
            rules: list[dict[str, Any]] = []
            for service, evidence in sorted(self._seen.items(), key=lambda item: _order(item[0])):
                if service.direction == direction:
                    rules.extend(self._rules(service, evidence))
            if rules:
                yield self._policy(f"observed-{direction}", direction, rules)

    def _policy(self, name: str, direction: str, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        wanted = self._wanted
        return {
            "apiVersion": _API_VERSION,
            "kind": "GlobalNetworkPolicy",
            "metadata": {"name": f"{wanted.tier}.{name}"},
            "spec": {
                "tier": wanted.tier,
                "order": 500,
                "selector": wanted.selector,
                "types": [direction.capitalize()],
                direction: list(rules),
            },
        }

    def _rules(self, service: _Service, evidence: _Evidence) -> Iterator[dict[str, Any]]:
        peer = "destination" if service.direction == _EGRESS else "source"
        if evidence.peers.widened and self._wanted.generalise == NONE:
            self.left_out.append(
                f"{_named(service)}: too many peers to name one by one; generalise=subnet makes nets of them"
            )
            return
        for family, side in self._labelled.sides(evidence.peers, self._wanted.generalise):
            rule: dict[str, Any] = {
                "action": "Allow",
                "protocol": calico_protocol(service.protocol),
                "metadata": {"annotations": {EVIDENCE: _text(service, evidence)}},
                peer: side,
            }
            if "selector" in side:
                rule["ipVersion"] = family
            if service.port is not None:
                rule.setdefault("destination", {})["ports"] = [service.port]
            if service.icmp_type is not None:
                code = {} if service.icmp_code is None else {"code": service.icmp_code}
                rule["icmp"] = {"type": service.icmp_type, **code}
            yield rule


def _order(service: _Service) -> tuple[object, ...]:
    return (service.protocol, service.port or 0, service.icmp_type or 0, service.icmp_code or 0)


def _named(service: _Service) -> str:
    name = PROTOCOL_NAMES.get(service.protocol, f"protocol {service.protocol}")
    return f"{service.direction} {name}" + (f"/{service.port}" if service.port is not None else "")


def _text(service: _Service, evidence: _Evidence) -> str:
    owners = f", {', '.join(evidence.owners)}" if evidence.owners else ""
    times = "once" if evidence.connections == 1 else f"{evidence.connections:,} times"
    nodes = sorted(evidence.nodes)
    where = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
    return f"seen {times} at {where}{owners}"
