# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smallest change that would allow a row: a variable of the shipped sets, else a policy of one's own.

A policy allows what was seen and nothing more: these peers, this protocol and port, on the hosts where it was
seen, as far as their labels name them. Only what the operator asks for (``generalise``) makes it wider.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..address import Net, parse_net
from ..policy import allow, presets
from ..stored.model import Policy, Store
from ..verdict.packet_path import FORWARD, PRE_DNAT, UNTRACKED
from ..verdict.program import DecidedBy
from ..verdict.tier_order import promoted
from .labelled import Labelled
from .peers import API, LABEL, LOCAL, NODE, NONE, POD, SERVICE
from .rows import PROTOCOL_NAMES, Row

_API_VERSION = "projectcalico.org/v3"
_SSH_PORT = 22
_KUBELET_PORT = 10250
_MOST_HOSTS = 64
_DNS, _NTP = 53, 123
_TCP, _UDP, _SCTP = 6, 17, 132
_CALICO_PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP", 136: "UDPLite", 1: "ICMP", 58: "ICMPv6"}
# Whom the sets that come in let in whatever the port.
_OF_CLUSTER = {
    NODE: "policies_node_cidrs",
    POD: "policies_cluster_cidrs",
    SERVICE: "policies_cluster_cidrs",
    LOCAL: "policies_local_addresses",
}


@dataclass(frozen=True)
class Remedy:
    """What to do about a row.

    ``variable`` and what to ``add`` to it (networks, or for ``policies_allow`` an entry); ``policies`` to put
    into a directory of one's own, which do the same as such an entry; or neither, where ``text`` says why
    there is no rule that is not wider than what was seen.
    """

    text: str
    variable: str = ""
    add: tuple[Any, ...] = ()
    policies: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "variable": self.variable,
            "add": list(self.add),
            "policies": [dict(policy) for policy in self.policies],
        }


@dataclass(frozen=True)
class RemedyOptions:
    """What the operator says of remedies.

    :ivar variables: values of role policies' variables, for those of the shipped sets
    """

    generalise: str
    variables: Mapping[str, Any]

    @property
    def ssh_port(self) -> int:
        """A command line gives it as text."""
        port = str(self.variables.get("policies_ssh_port"))
        return int(port) if port.isdecimal() else _SSH_PORT


class Remedies:
    """Finds remedies for the rows of one audit."""

    def __init__(self, store: Store, wishes: RemedyOptions) -> None:
        self._wishes = wishes
        self._policies = promoted(store.policies, store.staged_deletions)
        self._labelled = Labelled(store)
        self._host_endpoints = store.host_endpoints

    def of(self, row: Row) -> Remedy:
        """The smallest change that allows what the row holds."""
        decided = row.then.decided_by
        if row.key.several_ports:
            return Remedy("no rule: too many ports to be one service; look at who connects")
        if row.peers.widened and self._wishes.generalise not in ("subnet", LABEL):
            return Remedy(
                "no rule: too many peers to name one by one; allow nets with audit_generalise=subnet, "
                "or by a rule of your own"
            )
        variable = self._variable(row, decided)
        missing = self._missing(row, variable) if variable else ()
        if missing:
            return Remedy(f"add {_listed(missing)} to {variable}", variable, missing)
        denying = self._denying(decided, row.key.direction)
        if denying is None:
            return Remedy("no rule: the policy that decides is not among the objects")
        hosts, selected = self._hosts(row, denying)
        policies = tuple(self._own(row, denying, hosts))
        note = f", for all {selected} hosts that {denying.ref.name} selects" if selected and not hosts else ""
        known = f"{variable} has them: stage the set again where that is new, else " if variable else ""
        if _is_shipped(decided) and row.key.direction != "egress":
            entry = self._allowed(row, denying, hosts)
            if entry:
                text = f"{known}add {json.dumps(entry)} to policies_allow{note}"
                return Remedy(text, "policies_allow", (entry,), policies)
        names = ", ".join(str(policy["metadata"]["name"]) for policy in policies)
        return Remedy(f"{known}add a policy of your own: {names}{note}", policies=policies)

    # -- variables of the shipped sets -----------------------------------------------------------

    def _missing(self, row: Row, variable: str) -> tuple[str, ...]:
        """The row's peers that the variable's value does not hold."""
        given = self._wishes.variables.get(variable)
        known = [net for net in map(parse_net, given) if net] if isinstance(given, (list, tuple)) else []
        nets = row.peers.nets(self._wishes.generalise)
        return tuple(text for text in nets if not _is_within(parse_net(text), known))

    def _variable(self, row: Row, decided: DecidedBy) -> str:
        """Which variable of which set allows it; empty where none does."""
        policy = decided.name.rpartition(".")[2]
        key = row.key
        port = key.port if key.original_port is None else key.original_port
        let_in = key.direction != "egress" and _is_shipped(decided) and policy != presets.NODEPORT
        if let_in and (key.protocol, port) == (_TCP, self._wishes.ssh_port):
            return "policies_ssh_sources"
        if policy.startswith(presets.INGRESS_LOCKDOWN) and key.direction != "egress":
            return _OF_CLUSTER.get(key.peer, "")
        if policy == presets.NODEPORT and key.direction != "egress":
            return _OF_CLUSTER.get(key.peer, "policies_nodeport_sources")
        if not _is_platform_tier(decided):
            return ""
        if key.direction == "ingress" and key.peer == API and (key.protocol, port) == (_TCP, _KUBELET_PORT):
            return "policies_platform_control_plane_cidrs"
        if key.direction == "egress":
            if key.peer == API:
                return "policies_platform_api_cidrs"
            if key.port == _DNS:
                return "policies_platform_dns_cidrs"
            if (key.protocol, key.port) == (_UDP, _NTP):
                return "policies_platform_ntp_cidrs"
        return ""

    # -- policies of one's own -------------------------------------------------------------------

    def _denying(self, decided: DecidedBy, direction: str) -> Optional[Policy]:
        """The policy that denies, or the first of the tier whose end does."""
        if decided.name and decided.kind != "Tier":
            return next((policy for policy in self._policies if policy.ref.name == decided.name), None)
        of_tier = [
            policy
            for policy in self._policies
            if policy.tier == decided.tier
            and (policy.governs_egress if direction == "egress" else policy.governs_ingress)
            and policy.pre_dnat == (decided.stage == PRE_DNAT)
            and policy.do_not_track == (decided.stage == UNTRACKED)
            and (policy.apply_on_forward or decided.stage != FORWARD)
        ]
        return min(of_tier, key=lambda policy: (policy.order is None, policy.order or 0), default=None)

    def _hosts(self, row: Row, denying: Policy) -> tuple[list[str], int]:
        """The hosts where it was seen, where they are not all that the denying policy selects.

        :returns: their names by label, empty where these are too many or have no such label, and how many
            hosts the policy selects, 0 where it was seen at all of them
        """
        names = {
            hep.node: hep.labels.get(allow.HOSTNAME_LABEL, "")
            for hep in self._host_endpoints
            if denying.selector.matches(hep.labels)
        }
        if self._wishes.generalise != NONE or row.nodes >= names.keys():
            return [], 0
        seen = sorted(names.get(node, "") for node in row.nodes)
        usable = len(seen) <= _MOST_HOSTS and all(name and "'" not in name for name in seen)
        return seen if usable else [], len(names)

    def _allowed(self, row: Row, denying: Policy, hosts: Sequence[str]) -> Optional[dict[str, Any]]:
        """The entry of policies_allow that lets it past the shipped sets; None where none can."""
        key = row.key
        protocol = PROTOCOL_NAMES.get(key.protocol, "")
        port = key.port if key.original_port is None else key.original_port
        if protocol.upper() not in allow.ALLOWED_PROTOCOLS or port is None:
            return None
        entry: dict[str, Any] = {
            "name": f"{protocol}-{port}-{_digest(row, denying)}",
            **({} if protocol == "tcp" else {"protocol": protocol.upper()}),
            "ports": [port],
            "sources": row.peers.nets(self._wishes.generalise),
        }
        return {**entry, "nodes": list(hosts)} if hosts else entry

    def _own(self, row: Row, denying: Policy, hosts: Sequence[str]) -> Iterator[dict[str, Any]]:
        rules = list(_rules(row, self._labelled.sides(row.peers, self._wishes.generalise)))
        side = "egress" if row.key.direction == "egress" else "ingress"
        stage = row.then.decided_by.stage
        selector = denying.selector_text or "all()"
        if hosts:
            named = ", ".join(f"'{name}'" for name in hosts)
            selector = f"({selector}) && {allow.HOSTNAME_LABEL} in {{{named}}}"
        spec: dict[str, Any] = {
            "tier": denying.tier,
            "order": _before(denying.order),
            "selector": selector,
            "types": [side.capitalize()],
            side: rules,
        }
        if denying.pre_dnat or stage == PRE_DNAT:
            spec.update(preDNAT=True, applyOnForward=True)
        elif denying.do_not_track or stage == UNTRACKED:
            spec.update(doNotTrack=True, applyOnForward=True)
        elif denying.apply_on_forward:
            spec["applyOnForward"] = True
        digest = _digest(row, denying)
        service = row.service.replace("/", "-").replace(" ", "-").replace(",", "")
        yield {
            "apiVersion": _API_VERSION,
            "kind": "GlobalNetworkPolicy",
            "metadata": {
                "name": f"{denying.tier}.observed-{side}-{service}-{digest}",
                "annotations": {"hostfence.io/evidence": row.text(self._wishes.generalise)},
            },
            "spec": spec,
        }


def _is_within(net: Optional[Net], nets: Iterable[Net]) -> bool:
    return net is not None and any(one.covers(net) for one in nets)


def _is_platform_tier(decided: DecidedBy) -> bool:
    """Whether the end of the set platform-tier's tier decides."""
    return any(f".{presets.PLATFORM_TIER}-" in policy for policy in decided.policies)


def _is_shipped(decided: DecidedBy) -> bool:
    """Whether a shipped set decides, past which an entry of policies_allow lets what comes in."""
    policy = decided.name.rpartition(".")[2]
    return (
        policy == presets.NODEPORT
        or policy.startswith(f"{presets.INGRESS_LOCKDOWN}-")
        or _is_platform_tier(decided)
    )


def _digest(row: Row, denying: Policy) -> str:
    return hashlib.sha256(repr((row.key, denying.ref.name)).encode()).hexdigest()[:8]


def _rules(row: Row, sides: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """One rule a family; ``sides`` are those of its peers."""
    key = row.key
    peer = "destination" if key.direction == "egress" else "source"
    pre_dnat = row.then.decided_by.stage == PRE_DNAT
    port = key.original_port if pre_dnat and key.original_port is not None else key.port
    for family, side in sides:
        rule: dict[str, Any] = {
            "action": "Allow",
            "protocol": calico_protocol(key.protocol),
            peer: side,
        }
        if "selector" in side:
            rule["ipVersion"] = family
        if port is not None:
            rule.setdefault("destination", {})["ports"] = [port]
        if key.icmp is not None:
            kind, code = key.icmp
            rule["icmp"] = {"type": kind} if code is None else {"type": kind, "code": code}
        if key.direction == "forward":
            targets = [net for net in _targets(row, pre_dnat=pre_dnat) if (":" in net) == (family == 6)]
            if targets:
                rule.setdefault("destination", {})["nets"] = targets
        yield rule


def _targets(row: Row, *, pre_dnat: bool) -> Iterable[str]:
    """Where forwarded packets go: before DNAT where the rule looks there."""
    return row.destinations.nets() if pre_dnat or row.key.original_port is None else ()


def _before(order: Optional[float]) -> float:
    """An order that comes before another: policies without one come last."""
    return 0 if order is None else order - 1


def calico_protocol(number: int) -> object:
    """A protocol as policies write it: by name where Calico knows one."""
    return _CALICO_PROTOCOLS.get(number, number)


def _listed(nets: Sequence[str]) -> str:
    shown = ", ".join(nets[:5])
    return shown if len(nets) <= 5 else f"{shown} and {len(nets) - 5} more"
