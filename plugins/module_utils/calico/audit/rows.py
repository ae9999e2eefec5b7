# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows of an audit: flows that get the same answers for the same reasons, whatever node and peer they have.

A row holds nets, counts and a few names, all bounded: a scan of a million peers or of all ports makes some
rows with wide nets, not a million rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ..verdict.judge import Verdict
from .observed import ObservedFlow
from .peers import LOCAL, NODE, NONE, POD, Peers

WOULD_DENY = "would_deny"
WOULD_ALLOW = "would_allow"
ESTABLISHED_ONLY = "established_only"
FAILSAFE_ONLY = "allowed_only_by_failsafe"
UNKNOWN = "unknown"
GROUPS = (WOULD_DENY, ESTABLISHED_ONLY, UNKNOWN, FAILSAFE_ONLY, WOULD_ALLOW)
PROTOCOL_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
_MOST_PORTS = 64
_MOST_OWNERS = 3
_MOST_NAMES = 10
_MOST_COUNTED = 4096
_KIND_NAMES = {NODE: "nodes", POD: "pods", LOCAL: "local addresses"}


@dataclass(frozen=True)
class RowKey:
    """What flows of one row have in common. ``several_ports``: there are too many to keep them apart."""

    group: str
    direction: str
    protocol: int
    port: Optional[int]
    original_port: Optional[int]
    icmp: Optional[tuple[int, Optional[int]]]
    peer: str
    now: tuple[object, ...]
    then: tuple[object, ...]
    several_ports: bool = False


@dataclass
class Row:
    """The flows of one key."""

    key: RowKey
    now: Verdict
    then: Verdict
    example: ObservedFlow
    peers: Peers = field(default_factory=Peers)
    peer_names: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    owners: list[str] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)
    destinations: Peers = field(default_factory=Peers)
    flows: int = 0
    connections: int = 0
    answered: int = 0
    assumptions: list[str] = field(default_factory=list)

    def add(self, observed: ObservedFlow, peer_name: str, service: str) -> None:
        flow = observed.flow
        self.flows += 1
        self.connections += observed.count
        self.nodes.add(flow.node)
        if observed.replied or observed.owner:
            self.answered += observed.count
        if flow.direction == "egress":
            self.peers.add(flow.destination, observed.destination_bits, observed.count)
        else:
            self.peers.add(flow.source, observed.source_bits, observed.count)
        if flow.direction == "forward":
            before, _port = flow.before_translation()
            self.destinations.add(before, observed.destination_bits, observed.count)
        if peer_name and len(self.peer_names) < _MOST_COUNTED:
            self.peer_names.add(peer_name)
        if service and len(self.services) < _MOST_NAMES:
            self.services.add(service)
        if observed.owner and observed.owner not in self.owners and len(self.owners) < _MOST_OWNERS:
            self.owners.append(observed.owner)

    def assume(self, assumptions: Iterable[str]) -> None:
        """Keep what its flows depend on."""
        new = [text for text in assumptions if text not in self.assumptions]
        self.assumptions += new[: max(_MOST_NAMES - len(self.assumptions), 0)]

    def merge(self, other: Row) -> None:
        """Add the flows of a row of the same key."""
        self.assume(other.assumptions)
        self.flows += other.flows
        self.connections += other.connections
        self.answered += other.answered
        self.nodes |= other.nodes
        self.peers.merge(other.peers)
        self.destinations.merge(other.destinations)
        self.peer_names |= set(sorted(other.peer_names)[: max(_MOST_COUNTED - len(self.peer_names), 0)])
        self.services |= set(sorted(other.services)[: max(_MOST_NAMES - len(self.services), 0)])
        new = [owner for owner in other.owners if owner not in self.owners]
        self.owners += new[: max(_MOST_OWNERS - len(self.owners), 0)]

    @property
    def service(self) -> str:
        """Protocol and port in words, such as ``tcp/9100``."""
        key = self.key
        name = PROTOCOL_NAMES.get(key.protocol, f"protocol {key.protocol}")
        if key.several_ports:
            return f"{name}, more than {_MOST_PORTS} ports"
        if key.icmp is not None:
            kind, code = key.icmp
            return f"{name} type {kind}" + (f" code {code}" if code else "")
        port = key.port if key.original_port is None else key.original_port
        return name if port is None else f"{name}/{port}"

    def text(self, generalise: str = NONE) -> str:
        """The row in one line for people."""
        nets = self.peers.nets(generalise)
        who = ", ".join(nets[:3]) + (f" and {len(nets) - 3} more nets" if len(nets) > 3 else "")
        kind = _KIND_NAMES.get(self.key.peer, "")
        names = f" ({len(self.peer_names)} {kind})" if kind and self.peer_names else ""
        if self.peer_names and (not kind or len(self.peer_names) == 1):
            some = sorted(self.peer_names)[:2]
            names = f" ({', '.join(some)}{' ...' if len(self.peer_names) > 2 else ''})"
        nodes = sorted(self.nodes)
        where = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
        parts = {
            "ingress": f"from {who}{names} to {self.service} of {where}",
            "egress": f"from {where} to {self.service} of {who}{names}",
            "forward": f"from {who}{names} through {where} to {self.service}",
        }[self.key.direction]
        service = f" by service {sorted(self.services)[0]}" if len(self.services) == 1 else ""
        if len(self.services) > 1:
            service = f" by services {', '.join(sorted(self.services)[:2])}"
            service += " ..." if len(self.services) > 2 else ""
        owners = f", {', '.join(self.owners)}" if self.owners else ""
        times = "once" if self.connections == 1 else f"{self.connections:,} times"
        return f"{parts}{service}{owners}, {times}"

    def as_dict(self, generalise: str) -> dict[str, Any]:
        """The form in which the module returns it."""
        key, nodes = self.key, sorted(self.nodes)
        return {
            "group": key.group,
            "direction": key.direction,
            "protocol": key.protocol,
            "port": key.port,
            "original_port": key.original_port,
            "icmp_type": key.icmp[0] if key.icmp else None,
            "icmp_code": key.icmp[1] if key.icmp else None,
            "several_ports": key.several_ports,
            "peer": key.peer,
            "peers": self.peers.nets(generalise),
            "peers_widened": self.peers.widened,
            "peer_names": sorted(self.peer_names)[:_MOST_NAMES],
            "services": sorted(self.services),
            "nodes": len(nodes),
            "node_names": nodes[:_MOST_NAMES],
            "owners": self.owners,
            "flows": self.flows,
            "connections": self.connections,
            "answered": self.answered,
            "now": _verdict(self.now),
            "then": _verdict(self.then),
            "assumptions": self.assumptions,
            "text": self.text(generalise),
        }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    told = verdict.as_dict()
    return {name: told[name] for name in ("verdict", "reason_code", "decided_by")}


class Rows:
    """All rows of an audit."""

    def __init__(self) -> None:
        self._rows: dict[RowKey, Row] = {}
        self._ports: dict[tuple[object, ...], set[tuple[Optional[int], Optional[int]]]] = {}

    def of(self, group: str, observed: ObservedFlow, now: Verdict, then: Verdict, peer: str) -> Row:
        """The row that a flow belongs to.

        :param peer: what kind the other end is of
        """
        flow = observed.flow
        icmp = (flow.icmp_type, flow.icmp_code) if flow.icmp_type is not None else None
        same = (group, flow.direction, flow.protocol, peer, _reason(now), _reason(then))
        ports = self._ports.setdefault(same, set())
        port = (flow.destination_port, flow.original_destination_port)
        several = port not in ports and len(ports) >= _MOST_PORTS
        if several:
            port = (None, None)
        else:
            ports.add(port)
        key = RowKey(group, flow.direction, flow.protocol, *port, icmp, peer, same[4], same[5], several)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(key, now, then, observed)
        if group == UNKNOWN:
            row.assume(then.assumptions or now.assumptions)
        return row

    def merge(self, other: Rows) -> None:
        """Add all rows of another audit; of its ports those that find no place are kept together."""
        for key, row in other._rows.items():
            if not key.several_ports:
                ports = self._ports.setdefault(_same(key), set())
                if (key.port, key.original_port) not in ports and len(ports) >= _MOST_PORTS:
                    key = replace(key, port=None, original_port=None, several_ports=True)
                else:
                    ports.add((key.port, key.original_port))
            mine = self._rows.get(key)
            if mine is None:
                self._rows[key] = replace(row, key=key)
            else:
                mine.merge(row)

    def ranked(self) -> list[Row]:
        """Worst first: by group, then what was answered, then by connections."""

        def weight(row: Row) -> tuple[int, bool, int, str]:
            return (GROUPS.index(row.key.group), not row.answered, -row.connections, repr(row.key))

        return sorted(self._rows.values(), key=weight)


def _same(key: RowKey) -> tuple[object, ...]:
    """What flows have in common whose ports are counted together."""
    return (key.group, key.direction, key.protocol, key.peer, key.now, key.then)


def _reason(verdict: Verdict) -> tuple[object, ...]:
    decided = verdict.decided_by
    return (
        verdict.verdict,
        verdict.reason_code,
        decided.stage if decided.kind else "",
        decided.tier,
        decided.kind,
        decided.name,
        decided.rule_index,
    )
