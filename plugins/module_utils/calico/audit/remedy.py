# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smallest change that would allow a row: a variable of the shipped sets, else a policy of one's own.

A policy allows what was seen and nothing more: these peers, this protocol and port, on the hosts that the
denying policy selects. Only what the operator asks for (``generalise``) makes it wider.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..stored.model import Policy, Store
from ..verdict.packet_path import FORWARD, PRE_DNAT, UNTRACKED
from ..verdict.program import DecidedBy
from ..verdict.tier_order import promoted
from .labelled import Labelled
from .peers import API, LABEL, LOCAL, NODE, POD, SERVICE
from .rows import Row

_API_VERSION = "projectcalico.org/v3"
_SSH_PORT = 22
_DNS, _NTP = 53, 123
_TCP, _UDP, _SCTP = 6, 17, 132
_CALICO_PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP", 136: "UDPLite", 1: "ICMP", 58: "ICMPv6"}


@dataclass(frozen=True)
class Remedy:
    """What to do about a row.

    Either ``variable`` and what to ``add`` to it, or ``policies`` to put into a directory of one's own, or
    neither, where ``text`` says why there is no rule that is not wider than what was seen.
    """

    text: str
    variable: str = ""
    add: tuple[str, ...] = ()
    policies: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "variable": self.variable,
            "add": list(self.add),
            "policies": [dict(policy) for policy in self.policies],
        }


@dataclass(frozen=True)
class Wishes:
    """What the operator says of remedies.

    :ivar variables: values of role policies' variables, for those of the shipped sets
    """

    generalise: str
    variables: Mapping[str, Any]

    @property
    def ssh_port(self) -> int:
        port = self.variables.get("policies_ssh_port", _SSH_PORT)
        return port if isinstance(port, int) else _SSH_PORT


class Remedies:
    """Finds remedies for the rows of one audit."""

    def __init__(self, store: Store, wishes: Wishes) -> None:
        self._wishes = wishes
        self._policies = promoted(store.policies, store.staged_deletions)
        self._labelled = Labelled(store)

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
        shipped = self._shipped(row, decided)
        if shipped:
            return shipped
        denying = self._denying(decided, row.key.direction)
        if denying is None:
            return Remedy("no rule: the policy that decides is not among the objects")
        policies = tuple(self._own(row, denying))
        names = ", ".join(str(policy["metadata"]["name"]) for policy in policies)
        return Remedy(f"add a policy of your own: {names}", policies=policies)

    # -- variables of the shipped sets -----------------------------------------------------------

    def _shipped(self, row: Row, decided: DecidedBy) -> Optional[Remedy]:
        variable = self._variable(row, decided.name.rpartition(".")[2])
        if not variable:
            return None
        nets = tuple(row.peers.nets(self._wishes.generalise))
        given = self._wishes.variables.get(variable)
        known = {str(net) for net in given} if isinstance(given, Sequence) else set()
        missing = tuple(net for net in nets if net not in known)
        if not missing:
            return None
        return Remedy(f"add {_listed(missing)} to {variable}", variable, missing)

    def _variable(self, row: Row, policy: str) -> str:
        """Which variable of which set allows it; empty where none does."""
        key = row.key
        if policy.startswith("ingress-lockdown") and key.direction != "egress":
            if (key.protocol, key.original_port or key.port) == (_TCP, self._wishes.ssh_port):
                return "policies_ssh_sources"
            if key.peer == NODE:
                return "policies_node_cidrs"
            if key.peer in (POD, SERVICE):
                return "policies_cluster_cidrs"
            return "policies_local_addresses" if key.peer == LOCAL else ""
        if policy == "nodeport" and key.direction != "egress":
            return {NODE: "policies_node_cidrs", POD: "policies_cluster_cidrs"}.get(
                key.peer, "policies_nodeport_sources"
            )
        if policy.startswith("platform") and key.direction == "egress":
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

    def _own(self, row: Row, denying: Policy) -> Iterator[dict[str, Any]]:
        rules = list(_rules(row, self._labelled.sides(row.peers, self._wishes.generalise)))
        side = "egress" if row.key.direction == "egress" else "ingress"
        stage = row.then.decided_by.stage
        spec: dict[str, Any] = {
            "tier": denying.tier,
            "order": _before(denying.order),
            "selector": denying.selector_text or "all()",
            "types": [side.capitalize()],
            side: rules,
        }
        if denying.pre_dnat or stage == PRE_DNAT:
            spec.update(preDNAT=True, applyOnForward=True)
        elif denying.do_not_track or stage == UNTRACKED:
            spec.update(doNotTrack=True, applyOnForward=True)
        elif denying.apply_on_forward:
            spec["applyOnForward"] = True
        digest = hashlib.sha256(repr((row.key, denying.ref.name)).encode()).hexdigest()[:8]
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
