# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules that ask the verdict engine: what all policies do to packets that no node can do without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..address import Address
from ..stored.model import WILDCARD
from ..stored.rules import PROTOCOLS
from ..verdict.flow import ICMPV6, Flow
from ..verdict.packet_path import EBPF, EGRESS, INGRESS, NFTABLES, NORMAL, PRE_DNAT, Settings, Stage
from ..verdict.program import DENY, Outcome
from .context import ERROR, INFO, WARNING, EndpointGroup, Finding, LintContext

RULES = {
    "deny-covers-loopback": "A host endpoint's policy denies the node's own loopback traffic.",
    "deny-without-neighbour-discovery": "ICMPv6 130-136 is denied: the node loses IPv6.",
}

# Felix's own health port: when loopback is denied, Felix is the first to be reported unready.
_LOOPBACK_PORT = 9099
_TYPES = {INGRESS: range(130, 137), EGRESS: range(130, 137)}
_VITAL = {INGRESS: {134, 135, 136}, EGRESS: {133, 135, 136}}
_EBPF_JUDGES = {134}
_LOOPBACK = {4: Address(4, 0x7F000001), 6: Address(6, 1)}
_NEIGHBOURS = (Address(6, 0xFE80 << 112 | 1), Address(6, 0xFE80 << 112 | 2))


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for group in context.groups:
        if group.example.interface in (WILDCARD, "lo"):
            yield from _loopback(context, group)
        yield from _neighbours(context, group)


def _loopback(context: LintContext, group: EndpointGroup) -> Iterator[Finding]:
    if context.options.dataplane == EBPF:
        return  # its programs are not on lo
    for version, address in _LOOPBACK.items():
        for direction in (INGRESS, EGRESS):
            flow = Flow("", direction, PROTOCOLS["tcp"], address, address, "lo", "", None, _LOOPBACK_PORT)
            denied = _denied(context, group, flow)
            if denied is None:
                continue
            yield Finding(
                "deny-covers-loopback",
                ERROR if version == 4 or context.uses_ipv6() else WARNING,
                _blamed(context, group, denied),
                f"spec.{direction}",
                f"{group}: {direction} {address} to {address} is denied ({denied.reason}): services that "
                "talk to their own node stop, Felix's readiness check among them",
                f"allow it from and to {'127.0.0.0/8' if version == 4 else '::1/128'} before the deny",
            )


def _neighbours(context: LintContext, group: EndpointGroup) -> Iterator[Finding]:
    for direction in (INGRESS, EGRESS):
        if direction == EGRESS and context.options.dataplane == NFTABLES:
            continue  # never reaches egress policy there
        denied: dict[int, Outcome] = {}
        for number in _TYPES[direction]:
            if context.options.dataplane == EBPF and number not in _EBPF_JUDGES:
                continue
            outcome = _denied(context, group, _neighbour_packet(direction, number))
            if outcome:
                denied[number] = outcome
        if not denied:
            continue
        vital = bool(_VITAL[direction] & denied.keys())
        types = ", ".join(map(str, sorted(denied)))
        outcome = denied[min(denied)]
        yield Finding(
            "deny-without-neighbour-discovery",
            (ERROR if context.uses_ipv6() else WARNING) if vital else INFO,
            _blamed(context, group, outcome),
            f"spec.{direction}",
            f"{group}: {direction} ICMPv6 {types} are denied ({outcome.reason})"
            + (": no neighbour is found any more, failsafe SSH over IPv6 included" if vital else ""),
            "allow protocol ICMPv6, types 130 to 136, in both directions before the deny",
        )


def _neighbour_packet(direction: str, number: int) -> Flow:
    return Flow("", direction, ICMPV6, *_NEIGHBOURS, "eth0", icmp_type=number, icmp_code=0)


def _denied(context: LintContext, group: EndpointGroup, flow: Flow) -> Optional[Outcome]:
    """The outcome that denies a packet for sure at this group of host endpoint, if one does."""
    view = context.program.view(group.example)
    settings = Settings((), ())
    classes = [PRE_DNAT] if flow.direction == INGRESS and view.governs(PRE_DNAT) else []
    for policy_class in (*classes, NORMAL):
        stage = Stage(policy_class, flow.direction, group.example, "", policy_class == PRE_DNAT)
        outcomes = context.program.judge(stage, flow, settings)
        if all(outcome.verdict == DENY for outcome in outcomes):
            return outcomes[-1]
        if any(outcome.accepts for outcome in outcomes):
            return None
    return None


def _blamed(context: LintContext, group: EndpointGroup, outcome: Outcome) -> str:
    """The object to change: the policy that denies, the first of the tier that ends, or the host endpoint."""
    decided = outcome.decided_by
    if decided.kind == "GlobalNetworkPolicy":
        return context.name_of(decided.kind, decided.name)
    if decided.kind == "Tier":
        tier = context.tiers[decided.name]
        policy = next(p for p in reversed(tier.policies) if p.selector.matches(group.labels))
        return context.name_of(policy.ref.kind, policy.ref.name)
    return str(group.example.ref)
