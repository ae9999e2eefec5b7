# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about single rules of policies, and about rules that hide each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..address import BITS
from ..finding import ERROR, INFO, WARNING, Finding
from ..stored.model import Entity, Policy, Ports, Rule
from ..verdict.address_sets import merged
from ..verdict.flow import ICMP, ICMPV6
from ..verdict.packet_path import EGRESS, INGRESS, NFTABLES
from ..verdict.program import directions
from ..verdict.rule_match import applies_to_family, unprogrammable
from ..verdict.unknown import readable
from .context import LintContext, in_yaml, rules_of, trap
from .shadowing import lacks_addresses, lacks_ports, shadow

RULES = {
    "never-matches": "A rule whose conditions exclude each other matches no packet.",
    "service-without-namespace": "A service without its namespace in a global policy: the rule matches none.",
    "peer-not-found": "A rule's selector finds nothing among the objects.",
    "untracked-one-direction": "doNotTrack allows one direction, and nothing allows the answers.",
    "one-family-allow": "An allow for nets of one family with a deny of both: the other family is cut off.",
    "one-family-deny": "A deny for nets of one family leaves the other open.",
    "selector-without-addresses": "A rule's selector finds host endpoints that stand for no address.",
    "unreachable-rule": "A rule that earlier rules, one alone or several together, leave nothing to match.",
    "icmp-code": "An ICMP code, in icmp or notICMP, that nft refuses: on nftables Felix stops programming.",
    "icmp-protocol": "ICMP fields without the protocol of the family: Felix stops programming.",
    "http-on-host": "Felix ignores http conditions on host endpoints: the rule matches without them.",
}


# Protocols as rules name them.
_NAMES = {"TCP": 6, "UDP": 17, "SCTP": 132, "UDPLite": 136, "ICMP": 1, "ICMPv6": 58}


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for policy in context.policies:
        if not context.judges_hosts(policy):
            continue
        for direction, rule, place in rules_of(policy):
            yield from _one_rule(context, policy, direction, rule, place)
    for tier in context.tiers.values():
        judging = [policy for policy in tier.policies if context.judges_hosts(policy)]
        for direction in (INGRESS, EGRESS):
            yield from _unreachable(context, judging, direction)


def _one_rule(
    context: LintContext, policy: Policy, direction: str, rule: Rule, place: str
) -> Iterator[Finding]:
    name = str(policy.ref)
    if rule.http:
        yield trap(
            "http-on-host",
            INFO if context.assumed(policy) else WARNING,
            name,
            f"{place}.http",
            "host endpoints have no HTTP match: the rule matches every packet that fits otherwise"
            + context.assumed(policy),
            "take the http part out; for pods put the rule into a policy with namespaceSelector: all()",
        )
    yield from _never_matches(name, rule, place)
    yield from _icmp(context, name, rule, place)
    yield from _one_family(context, policy, direction, rule, place)
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        yield from _without_addresses(context, name, entity, f"{place}.{side}.selector")
        yield from _peer_not_found(context, name, rule, entity, f"{place}.{side}")
    if policy.do_not_track and rule.action == "allow":
        yield from _untracked_one_direction(context, policy, direction, rule, place)


def _never_matches(name: str, rule: Rule, place: str) -> Iterator[Finding]:
    severity = ERROR if rule.action == "deny" else WARNING
    nets = [net for side in (rule.source, rule.destination) for net in (*side.nets, *side.not_nets)]
    of_protocol = {ICMP: 4, ICMPV6: 6}.get(rule.protocol or 0)
    if not any(applies_to_family(rule, version) for version in BITS if of_protocol in (None, version)):
        asked = {net.version for net in nets} | {rule.ip_version, of_protocol} - {None}
        families = " and ".join(f"IPv{version}" for version in sorted(filter(None, asked)))
        yield trap(
            "never-matches",
            severity,
            name,
            place,
            f"needs {families} at once, so no packet matches",
            "write one rule for each family, with nets, ipVersion and ICMP of that family alone",
        )
        return
    for what, remedy in _excluded(rule):
        message = f"{what}, so no packet matches"
        yield trap("never-matches", severity, name, place, message, remedy)
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        for index, net in enumerate(entity.not_nets):
            if net.prefix == 0:
                yield trap(
                    "never-matches",
                    severity,
                    name,
                    f"{place}.{side}.notNets[{index}]",
                    f"notNets {net} is everything: over IPv{net.version} the rule matches no packet",
                    "take the net out, or remove the rule",
                )


def _excluded(rule: Rule) -> Iterator[tuple[str, str]]:
    """What a rule wants and excludes at the same time, and what to write instead."""
    if rule.protocol is not None and rule.protocol == rule.not_protocol:
        yield "protocol and notProtocol are the same", "take notProtocol out"
    if rule.icmp is not None and rule.not_icmp in (rule.icmp, (rule.icmp[0], None)):
        yield "notICMP excludes what icmp wants", "take notICMP out"
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        if entity.not_selector is not None and str(entity.not_selector) in ("all()", "global()"):
            yield f"{side}.notSelector finds everything", f"take {side}.notSelector out, or remove the rule"
        everything = any(net.prefix == 0 for net in entity.not_nets)  # has a finding of its own
        if not everything and lacks_addresses(rule, entity):
            remedy = f"write {side}.notNets that leave some, or remove the rule"
            yield f"{side}.notNets leave no address", remedy
        if lacks_ports(entity):
            remedy = f"write {side}.notPorts that leave some, or remove the rule"
            yield f"{side}.notPorts leave no port", remedy


def _peer_not_found(
    context: LintContext, name: str, rule: Rule, side: Entity, place: str
) -> Iterator[Finding]:
    if side.service.startswith("/"):
        yield trap(
            "service-without-namespace",
            ERROR,
            name,
            f"{place}.services.namespace",
            f"service {side.service[1:]!r} has no namespace: it matches none, and Calico's API refuses it",
            "name the service's namespace",
        )
    if side.selector is None or rule.action not in ("allow", "deny"):
        return
    if any(context.sets.of_selector(side.selector, version).possible for version in BITS):
        return
    if any(side.selector.matches(group.labels) for group in context.groups):
        return
    where = "in the cluster" if context.live else "among these objects"
    effect = "nothing is allowed by it" if rule.action == "allow" else "nothing is denied by it"
    yield trap(
        "peer-not-found",
        INFO,
        name,
        f"{place}.selector",
        f"{readable(side.selector)} finds no endpoint or network set with addresses {where}: as far as that "
        f"goes, {effect}",
        "compare the selector with the labels of what you mean: pods, network sets or host endpoints",
    )


def _untracked_one_direction(
    context: LintContext, policy: Policy, direction: str, rule: Rule, place: str
) -> Iterator[Finding]:
    """The kernel keeps no connection for what such a rule allows, so the answers need a rule as well."""
    other = EGRESS if direction == INGRESS else INGRESS
    groups = context.selected(policy)
    mates = [
        mate
        for companion in context.intended
        if companion.do_not_track
        and (
            all(companion.selector.matches(group.labels) for group in groups)
            if groups
            else str(companion.selector) in ("all()", str(policy.selector))
        )
        for side, mate, _place in rules_of(companion)
        if side == other and mate.action == "allow"
    ]
    if any(_answers(mate, rule) for mate in mates) or any(_answers(rule, mate) for mate in mates):
        return
    yield trap(
        "untracked-one-direction",
        WARNING,
        str(policy.ref),
        place,
        f"allows {direction} untracked, and no such rule allows the answers ({other}): they belong to no "
        "connection. TCP answers are dropped on iptables and pass on nftables; others meet normal policy",
        f"write in a doNotTrack policy, in {other}: {_answer_to(rule)}",
    )


def _answer_to(rule: Rule) -> str:
    """The rule that allows the answers, as one would write it."""
    fields = ["action: Allow"]
    if rule.protocol is not None:
        name = next((name for name, number in _NAMES.items() if number == rule.protocol), rule.protocol)
        fields.append(f"protocol: {name}")
    for name, side in (("source", rule.destination), ("destination", rule.source)):
        found = [f"nets: [{', '.join(map(in_yaml, side.nets))}]"] if side.nets else []
        if side.ports:
            ranges = [
                str(low) if low == high else in_yaml(f"{low}:{high}") for low, high in side.ports.ranges
            ]
            found.append(f"ports: [{', '.join((*ranges, *side.ports.names))}]")
        fields += [f"{name}: {{{', '.join(found)}}}"] if found else []
    return f"{{{', '.join(fields)}}}"


def _answers(first: Rule, second: Rule) -> bool:
    """Whether one rule allows every answer to what another one allows: its ends are swapped."""
    if first.protocol not in (None, second.protocol) or first.ip_version not in (None, second.ip_version):
        return False
    return _wider(first.source, second.destination) and _wider(first.destination, second.source)


def _wider(side: Entity, other: Entity) -> bool:
    nets = all(any(wide.covers(net) for wide in side.nets) for net in other.nets) if other.nets else False
    return (
        (not side.nets or nets)
        and (not side.not_nets or side.not_nets == other.not_nets)
        and side.selector in (None, other.selector)
        and side.not_selector in (None, other.not_selector)
        and _ports_cover(side.ports, other.ports)
        and (not side.not_ports or side.not_ports == other.not_ports)
    )


def _icmp(context: LintContext, name: str, rule: Rule, place: str) -> Iterator[Finding]:
    if unprogrammable(rule, nftables=False):
        yield trap(
            "icmp-protocol",
            ERROR,
            name,
            f"{place}.protocol",
            f"{unprogrammable(rule, nftables=False)}: the kernel's tools refuse it, Felix programs no more",
            "set protocol to ICMP or ICMPv6, and leave ipVersion out",
        )
    elif unprogrammable(rule, nftables=True):
        field = "icmp" if rule.icmp and rule.icmp[1] is not None else "notICMP"
        yield trap(
            "icmp-code",
            ERROR if context.options.dataplane == NFTABLES else INFO,
            name,
            f"{place}.{field}.code",
            "on nftables the kernel's tools refuse the rule: Felix programs nothing more until it is gone",
            "match by type alone",
        )


def _without_addresses(context: LintContext, name: str, side: Entity, place: str) -> Iterator[Finding]:
    if side.selector is None:
        return
    bare = [
        member.name
        for group in context.groups
        if not group.imagined and side.selector.matches(group.labels)
        for member in group.members
        if not member.expected_ips
    ]
    if bare:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        yield trap(
            "selector-without-addresses",
            WARNING,
            name,
            place,
            f"finds host endpoint {bare[0]}{more}, which has no expectedIPs: it stands for no address",
            "set expectedIPs of the host endpoint to the node's addresses",
        )


def _families(rule: Rule) -> set[int]:
    """The families that the nets of a rule, wanted or not, leave it in; empty where it has no nets."""
    if not any(side.nets or side.not_nets for side in (rule.source, rule.destination)):
        return set()
    return {version for version in BITS if applies_to_family(replace(rule, ip_version=None), version)}


def _net_fields(rule: Rule) -> str:
    sides = (rule.source, rule.destination)
    return "nets" if any(side.nets for side in sides) else "notNets"


def _one_family(
    context: LintContext, policy: Policy, direction: str, rule: Rule, place: str
) -> Iterator[Finding]:
    families = _families(rule)
    if len(families) != 1 or rule.ip_version is not None or rule.protocol in (1, 58):
        return
    family = min(families)
    other = 10 - family
    rules = policy.ingress if direction == INGRESS else policy.egress
    if rule.action == "deny":
        mates = _rules_of_tier(context, policy, direction, same_hosts=True)
        if not any(_pairs(rule, mate, other) for mate in mates if mate.action == "deny"):
            fields = _net_fields(rule)
            of_family = f"the IPv{other} {fields}"
            added = of_family if fields == "nets" else f"ipVersion: {other}, and {of_family} if there are any"
            yield trap(
                "one-family-deny",
                WARNING,
                str(policy.ref),
                place,
                f"denies by IPv{family} {fields} only: the same over IPv{other} stays open",
                f"add the same rule with {added} in place of these; or set ipVersion: {family} here to say "
                "that it is meant",
            )
        return
    if rule.action != "allow" or not _denied_later(context, policy, rule, rules, other):
        return
    mates = _rules_of_tier(context, policy, direction, same_hosts=False)
    if not any(_pairs(rule, mate, other) for mate in mates if mate.action == "allow"):
        yield trap(
            "one-family-allow",
            WARNING,
            str(policy.ref),
            place,
            f"allows by IPv{family} {_net_fields(rule)} only while the deny after it is for both families: "
            f"the same over IPv{other} is cut off",
            f"add the same rule with the IPv{other} nets in place of these; or set ipVersion: {family} here "
            "to say that it is meant",
        )


def _rules_of_tier(
    context: LintContext, policy: Policy, direction: str, *, same_hosts: bool
) -> Iterator[Rule]:
    """The rules of one direction of a policy and of those of its tier, or of those for the same hosts."""
    tier = context.tiers.get(policy.tier)
    for companion in (policy, *(tier.policies if tier else ())):
        if same_hosts and companion is not policy and not _same_class(companion, policy):
            continue
        yield from (rule for side, rule, _place in rules_of(companion) if side == direction)


def _denied_later(
    context: LintContext, policy: Policy, rule: Rule, rules: Sequence[Rule], family: int
) -> bool:
    tier = context.store.tiers.get(policy.tier)
    ends = not (policy.pre_dnat or policy.do_not_track) and not (tier and tier.default_action == "Pass")
    return ends or any(
        later.action == "deny" and later.index > rule.index and _families(later) in (set(), {family}, {4, 6})
        for later in rules
    )


def _pairs(rule: Rule, mate: Rule, family: int) -> bool:
    """Whether another rule takes care of the same traffic of the other family."""
    nets = _families(mate)
    same_ports = _ports_cover(mate.destination.ports, rule.destination.ports)
    return (
        mate is not rule
        and mate.protocol in (None, rule.protocol)
        and mate.ip_version in (None, family)
        and (not nets or family in nets)
        and same_ports
    )


# -- rules that hide each other --------------------------------------------------------------------


def _unreachable(context: LintContext, policies: Sequence[Policy], direction: str) -> Iterator[Finding]:
    earlier: list[tuple[Policy, Rule]] = []
    for policy in policies:
        if direction not in directions(policy):
            continue
        before = [(by, rule) for by, rule in earlier if _same_class(by, policy)]
        for rule in policy.ingress if direction == INGRESS else policy.egress:
            hiding = shadow(rule, [hider for _by, hider in before])
            if hiding:
                shown = [
                    f"{by.ref.name} {direction}[{hider.index}]"
                    for by, hider in before
                    if any(hider is one for one in hiding)
                ]
                more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
                yield trap(
                    "unreachable-rule",
                    WARNING,
                    context.name_of("GlobalNetworkPolicy", policy.ref.name),
                    f"spec.{direction}[{rule.index}]",
                    f"never reached: everything it matches is decided by {', '.join(shown[:5])}{more}",
                    _reachable(policy, [by for by, hider in before if any(hider is one for one in hiding)]),
                )
            if rule.action != "log":
                earlier.append((policy, rule))
                before.append((policy, rule))


def _reachable(policy: Policy, hiders: Sequence[Policy]) -> str:
    """What to do about a rule that others hide."""
    first = hiders[0]
    if first is policy or first.order is None:
        return "remove it, or move it before what hides it"
    return f"remove it, or give the policy an order below {first.order:g}, that of {first.ref.name}"


def _same_class(hider: Policy, policy: Policy) -> bool:
    """Whether wherever the second is asked, the first was asked before it."""
    if (hider.do_not_track, hider.pre_dnat) != (policy.do_not_track, policy.pre_dnat):
        return False
    if policy.apply_on_forward and not hider.apply_on_forward:
        return False
    return str(hider.selector) in ("all()", str(policy.selector))


def _ports_cover(wide: Ports, narrow: Ports) -> bool:
    if not wide:
        return True
    if not narrow or not set(narrow.names) <= set(wide.names):
        return False
    spans = merged(sorted(wide.ranges))
    return all(any(low <= first and last <= high for low, high in spans) for first, last in narrow.ranges)
