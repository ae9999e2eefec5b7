# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shipped policy sets, as data, rendered by the same code as the flows that a platform's hosts need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .names import API_VERSION, DENY, INGRESS, PASS, POLICY
from .required_flows import (
    NODE_FLOWS,
    Peer,
    PlatformNetworks,
    Port,
    RequiredFlow,
    Shape,
    policies,
    required_flows,
    rules_of,
)

INGRESS_LOCKDOWN, NODEPORT = "ingress-lockdown", "nodeport"
PLATFORM_FLOWS, PLATFORM_TIER = "platform-flows", "platform-tier"
SHIPPED = (INGRESS_LOCKDOWN, NODEPORT, PLATFORM_FLOWS, PLATFORM_TIER)
# The networks without which a set would cut off the cluster or its administrators.
REQUIRED = {
    INGRESS_LOCKDOWN: ("ssh", "nodes", "cluster"),
    NODEPORT: ("nodes", "cluster"),
    PLATFORM_FLOWS: ("nodes", "cluster"),
    PLATFORM_TIER: ("ssh", "nodes", "cluster"),
}

ALLOW = "Allow"
Rules = list[dict[str, Any]]


@dataclass(frozen=True)
class NodePorts:
    """Who may use NodePorts.

    :ivar ports: of NodePort services
    :ivar sources: networks, besides the cluster itself
    :ivar source_selector: of GlobalNetworkSets whose networks may, too
    """

    ports: tuple[Port, ...] = ("30000:32767",)
    sources: tuple[str, ...] = ()
    source_selector: str = ""


@dataclass(frozen=True)
class Clause:
    """Some rules of a policy.

    :ivar flows: that they are about; none means everything
    """

    action: str
    flows: tuple[RequiredFlow, ...] = ()


@dataclass(frozen=True)
class PresetPolicy:
    """One policy of a set.

    :ivar suffix: of its name behind the set's name; empty where the set has but one
    """

    suffix: str
    order: float
    direction: str = INGRESS
    pre_dnat: bool = True
    clauses: tuple[Clause, ...] = field(default_factory=tuple)


def _from(peer: Peer, purpose: str, protocol: str = "", *ports: Port) -> RequiredFlow:
    return RequiredFlow(purpose, INGRESS, peer, protocol, ports)


_NODES = _from(Peer.NODES, "nodes")
_CLUSTER = _from(Peer.CLUSTER, "pods and services")
_NODE_ITSELF = _from(Peer.LOCAL, "the node itself")

LOCKDOWN = (
    PresetPolicy("outbound", 10, "Egress", pre_dnat=False, clauses=(Clause(ALLOW),)),
    PresetPolicy("inbound", 20, clauses=(Clause(ALLOW, (*NODE_FLOWS, _NODES, _CLUSTER)),)),
    # After the policies of the other sets, so that they can let more in.
    PresetPolicy("drop", 2000, clauses=(Clause(DENY),)),
)


def preset(name: str, platform: str, around: PlatformNetworks, shape: Shape, ports: NodePorts) -> Rules:
    """The policies of a shipped set.

    :param platform: whose flows the sets platform-flows and platform-tier allow
    :returns: ``projectcalico.org/v3`` objects, to be read by :func:`.definition.parse` like any others
    """
    if name == INGRESS_LOCKDOWN:
        return [_rendered(policy, around, shape) for policy in _lockdown(around)]
    if name == NODEPORT:
        return [_nodeport(around, shape, ports)]
    return policies(required_flows(platform, around), around, shape)


def _lockdown(around: PlatformNetworks) -> Iterator[PresetPolicy]:
    ssh = RequiredFlow("administrators", INGRESS, Peer.ANYONE, "TCP", (around.ssh_port,), nets=around.ssh)
    for policy in LOCKDOWN:
        if policy.suffix == "inbound" and around.ssh:
            yield replace(policy, clauses=(*policy.clauses, Clause(ALLOW, (ssh,))))
        else:
            yield policy


def _rendered(policy: PresetPolicy, around: PlatformNetworks, shape: Shape) -> dict[str, Any]:
    rules = [rule for clause in policy.clauses for rule in _rules(clause, around)]
    return _policy(policy, shape, rules)


def _rules(clause: Clause, around: PlatformNetworks) -> Iterable[dict[str, Any]]:
    if not clause.flows:
        return [{"action": clause.action}]
    return [{**rule, "action": clause.action} for flow in clause.flows for rule in rules_of(flow, around)]


def _nodeport(around: PlatformNetworks, shape: Shape, ports: NodePorts) -> dict[str, Any]:
    """One policy, so that any change of it is one write."""
    # Pods' own traffic meets this policy too, and it is none of this set's business.
    rules = list(_rules(Clause(PASS, (_NODE_ITSELF, _NODES, _CLUSTER)), around))
    for protocol in ("TCP", "UDP", "SCTP"):
        users = RequiredFlow("users of NodePorts", INGRESS, Peer.ANYONE, protocol, ports.ports)
        if ports.sources:
            rules += _rules(Clause(ALLOW, (replace(users, nets=ports.sources),)), around)
        if ports.source_selector:
            [rule] = _rules(Clause(ALLOW, (users,)), around)
            rules.append({**rule, "source": {"selector": ports.source_selector}})
        rules += _rules(Clause(DENY, (replace(users, purpose="everybody else"),)), around)
    return _policy(PresetPolicy("", 500), shape, rules)


def _policy(policy: PresetPolicy, shape: Shape, rules: Rules) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "order": policy.order,
        "selector": shape.selector,
        "types": [policy.direction],
        policy.direction.lower(): rules,
    }
    if policy.pre_dnat:
        spec.update(preDNAT=True, applyOnForward=True)
    name = f"{shape.set_name}-{policy.suffix}" if policy.suffix else shape.set_name
    return {"apiVersion": API_VERSION, "kind": POLICY, "metadata": {"name": name}, "spec": spec}
