# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules that ask the verdict engine: what all policies do to packets that no node can do without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..address import BITS, Address
from ..finding import ERROR, INFO, WARNING, Finding
from ..host_endpoint import DEFAULT_ALLOW_PROFILE
from ..stored.model import WILDCARD
from ..stored.rules import PROTOCOLS
from ..verdict.flow import ICMPV6, Flow
from ..verdict.packet_path import EBPF, EGRESS, INGRESS, NFTABLES, NORMAL, PRE_DNAT, Settings, Stage
from ..verdict.program import DENY, Outcome
from .context import EndpointGroup, LintContext, in_yaml, trap

RULES = {
    "deny-covers-loopback": "A host endpoint's policy denies the node's own loopback traffic.",
    "deny-without-neighbour-discovery": "ICMPv6 130-136 is denied: the node loses IPv6.",
    "prednat-denies-pods": "A preDNAT deny on a host endpoint for all interfaces denies what pods send, too.",
}

# Felix's own health port: when loopback is denied, Felix is the first to be reported unready.
_LOOPBACK_PORT = 9099
_KUBELET_PORT = 10250
_MOST_NODES = 50
_TYPES = {INGRESS: range(130, 137), EGRESS: range(130, 137)}
_VITAL = {INGRESS: {134, 135, 136}, EGRESS: {133, 135, 136}}
_EBPF_JUDGES = {134}
_LOOPBACK = {4: Address(4, 0x7F000001), 6: Address(6, 1)}
# What every pod needs, DNS, and what stands for the rest of what it sends.
_OF_PODS = (("udp", 53), ("tcp", 443))
_USUAL = {
    4: (Address(4, 0x0AF40007), Address(4, 0x0A60000A)),  # 10.244.0.7, 10.96.0.10
    6: (Address(6, 0xFD00 << 112 | 0xF4 << 64 | 7), Address(6, 0xFD00 << 112 | 0x60 << 64 | 10)),
}
_NEIGHBOURS = (Address(6, 0xFE80 << 112 | 1), Address(6, 0xFE80 << 112 | 2))


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for group in context.groups:
        if group.example.interface in (WILDCARD, "lo"):
            yield from _loopback(context, group)
        if group.example.interface == WILDCARD:
            yield from _pods(context, group)
        yield from _neighbours(context, group)


def _loopback(context: LintContext, group: EndpointGroup) -> Iterator[Finding]:
    if context.options.dataplane == EBPF:
        return  # its programs are not on lo
    for version, loopback in _LOOPBACK.items():
        for direction in (INGRESS, EGRESS):
            denied = _denied(context, group, _over_lo(direction, loopback, _LOOPBACK_PORT))
            if denied:
                grave = ERROR if version == 4 or context.uses_ipv6() else WARNING
                net = "127.0.0.0/8" if version == 4 else "::1/128"
                what = "services that talk to their own node stop, Felix's readiness check among them"
                yield _over_lo_denied(context, group, direction, loopback, denied, (grave, what, net))
                continue
            for own in _own_addresses(context, group, version):
                denied = _denied(context, group, _over_lo(direction, own, _KUBELET_PORT))
                if denied:
                    what = "a node reaches itself over lo: kubelet's probes of host-networked pods fail"
                    net = f"{own}/{BITS[version]}"
                    yield _over_lo_denied(context, group, direction, own, denied, (WARNING, what, net))
                    break


def _over_lo(direction: str, address: Address, port: int) -> Flow:
    return Flow("", direction, PROTOCOLS["tcp"], address, address, "lo", "", None, port)


def _over_lo_denied(
    context: LintContext,
    group: EndpointGroup,
    direction: str,
    address: Address,
    denied: Outcome,
    words: tuple[str, str, str],
) -> Finding:
    severity, what, net = words
    side = "source" if direction == INGRESS else "destination"
    allow = f"{{action: Allow, {side}: {{nets: [{in_yaml(net)}]}}}}"
    if address not in _LOOPBACK.values():
        allow += ", and so for every node's addresses"
    blamed = _blamed(context, group, denied)
    return trap(
        "deny-covers-loopback",
        context.severity(group, severity),
        blamed,
        _place(blamed, direction),
        f"{group}: {direction} {address} to {address} is denied ({denied.reason}): {what}",
        _remedy(blamed, direction, allow),
    )


def _place(blamed: str, direction: str) -> str:
    return "spec.profiles" if blamed.startswith("HostEndpoint") else f"spec.{direction}"


def _remedy(blamed: str, direction: str, allow: str) -> str:
    """What to write so that a packet is allowed: rules are a policy's, a host endpoint has profiles."""
    if blamed.startswith("HostEndpoint"):
        return (
            f"write profiles: [{DEFAULT_ALLOW_PROFILE}] there, or in a policy that selects it and governs "
            f"{direction} the rule {allow}"
        )
    return f"write before what denies it, in {direction}: {allow}"


def _own_addresses(context: LintContext, group: EndpointGroup, version: int) -> Iterator[Address]:
    """Addresses of the nodes of a group, of one family: of some nodes where there are many."""
    step = len(group.members) // _MOST_NODES + 1
    for member in group.members[::step]:
        node = context.store.nodes.get(member.node)
        for address in dict.fromkeys((*member.expected_ips, *(node.addresses if node else ()))):
            if address.version == version:
                yield address


def _pods(context: LintContext, group: EndpointGroup) -> Iterator[Finding]:
    """What pods send to a service, DNS for example, meets preDNAT policy of ``*`` before it is translated."""
    if not context.program.view(group.example).governs(PRE_DNAT):
        return
    for version, (pod, service) in _pod_addresses(context).items():
        stage = Stage(PRE_DNAT, INGRESS, group.example, "", True)
        for protocol, port in _OF_PODS:
            number = PROTOCOLS[protocol]
            flow = Flow("", INGRESS, number, pod, service, "cali0", destination_port=port, source_port=40000)
            outcomes = context.program.judge(stage, flow, Settings((), ()))
            if any(outcome.verdict != DENY for outcome in outcomes):
                continue
            yield trap(
                "prednat-denies-pods",
                context.severity(group, WARNING if version == 4 or context.uses_ipv6() else INFO),
                _blamed(context, group, outcomes[-1]),
                f"spec.{INGRESS}",
                f"{group}: what a pod sends ({pod} to {protocol}/{port} of {service}) is denied before DNAT: "
                "interfaces of pods belong to a host endpoint for * as well",
                "limit the deny to the ports that you mean, or write before it, with the pods' nets: "
                "{action: Allow, source: {nets: […]}}",
            )
            break


def _pod_addresses(context: LintContext) -> dict[int, tuple[Address, Address]]:
    """An address that a pod may have, and one of a service, by family; usual ones where no pool is known."""
    found = dict(_USUAL)
    for net in context.store.pod_nets:
        found[net.version] = (Address(net.version, net.number + 7), _USUAL[net.version][1])
    return found


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
        blamed = _blamed(context, group, outcome)
        yield trap(
            "deny-without-neighbour-discovery",
            context.severity(group, (ERROR if context.uses_ipv6() else WARNING) if vital else INFO),
            blamed,
            _place(blamed, direction),
            f"{group}: {direction} ICMPv6 {types} are denied ({outcome.reason})"
            + (": no neighbour is found any more, failsafe SSH over IPv6 included" if vital else ""),
            _remedy(blamed, direction, "{action: Allow, protocol: ICMPv6}"),
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
