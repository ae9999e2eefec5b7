# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about a policy as a whole, and about policies beside each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Optional

from ..stored.model import MISSING, SKIPPED, STALE, WILDCARD, Misreading, Policy, Reference
from ..verdict.packet_path import EBPF, EGRESS, FORWARD, INGRESS
from ..verdict.program import directions
from ..verdict.tier_order import DEFAULT_TIER
from ..version import DEFAULT_ALLOW_FOR_BOTH_DIRECTIONS
from .context import ERROR, INFO, WARNING, Finding, LintContext, rules_of

RULES = {
    "v1-empty-types": "A v1 object without types governs both directions.",
    "negative-namespace-selector": "A namespaceSelector that says what a namespace is not matches hosts too.",
    "selects-hosts-too": "A policy for everything selects the hosts as well.",
    "equal-order": "Policies of one tier and order: Calico's version decides which is asked first.",
    "early-without-forward": "preDNAT and doNotTrack need applyOnForward.",
    "prednat-with-egress": "preDNAT has no egress.",
    "prednat-and-untracked": "preDNAT and doNotTrack exclude each other; doNotTrack wins.",
    "untracked-on-wildcard": "doNotTrack does nothing on a host endpoint for all interfaces.",
    "policy-selects-nothing": "A policy that selects no host endpoint.",
    "missing-tier": "A policy of a tier that does not exist is asked last and ends in deny.",
    "lone-enforced": "One enforced policy among staged ones turns on the deny at the end of their tier.",
    "forward-one-direction": "applyOnForward in one direction takes the default allow from the other.",
    "hidden-labels": "Labels that Calico's metadata annotation overrides.",
    "invalid-net": "Not a net: Felix leaves it out, and a rule without nets matches everybody.",
    "invalid-port": "Not a port: Felix drops the policy, or sees no further policy change at all.",
    "ports-without-protocol": "Ports without TCP, UDP or SCTP: Felix ignores the whole policy.",
    "invalid-selector": "Not a selector: Felix ignores the whole policy, or just this selector.",
    "invalid-protocol": "Not a protocol: Felix ignores the object.",
    "invalid-icmp": "Not an ICMP type or code.",
    "invalid-address": "Not an address: Felix leaves it out.",
    "invalid-label": "Not a label for Felix: the object is ignored.",
    "invalid-field": "Another value that Felix does not take.",
}

_BY_FIELD = (
    (re.compile(r"annotations\[|^metadata\.labels$"), "hidden-labels"),
    (re.compile(r"^metadata\.labels\["), "invalid-label"),
    (re.compile(r"\.(nets|notNets)\[\d+\]$"), "invalid-net"),
    (re.compile(r"\.(ports|notPorts)\[\d+\](\.port|\.name)?$"), "invalid-port"),
    (re.compile(r"\.(ports|notPorts)$"), "ports-without-protocol"),
    (re.compile(r"[sS]elector$"), "invalid-selector"),
    (re.compile(r"[pP]rotocol$"), "invalid-protocol"),
    (re.compile(r"\.(icmp|notICMP)\."), "invalid-icmp"),
    (re.compile(r"expectedIPs\["), "invalid-address"),
)


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for ref, found in context.store.misreadings:
        yield _misread(ref, found)
    for policy in context.policies:
        yield from _types(policy)
        yield from _early(policy)
        yield from _selection(context, policy)
        if policy.tier != DEFAULT_TIER and policy.tier not in context.store.tiers:
            yield _finding(
                "missing-tier",
                ERROR,
                policy,
                "spec.tier",
                f"tier {policy.tier} does not exist: the policy is asked after all tiers and ends in deny",
                "create the tier first, with the defaultAction you mean",
            )
    yield from _equal_orders(context)
    yield from _lone_enforced(context)
    yield from _forward_one_direction(context)


def _finding(rule: str, severity: str, policy: Policy, place: str, message: str, remedy: str) -> Finding:
    return Finding(rule, severity, str(policy.ref), place, message, remedy)


def _misread(ref: Reference, found: Misreading) -> Finding:
    rule = next((rule for pattern, rule in _BY_FIELD if pattern.search(found.field)), "invalid-field")
    in_rule = found.field.startswith(("spec.ingress", "spec.egress"))
    grave = found.effect in (MISSING, STALE) or (
        found.effect == SKIPPED and in_rule and rule == "invalid-net"
    )
    remedy = "write the value that you mean; the API stores what Felix cannot use"
    if rule == "hidden-labels":
        remedy = "change the labels through Calico's own API, or in the annotation as well"
    if rule == "invalid-selector" and found.effect == SKIPPED:
        grave = True
    message = f"{found.value!r}: {found.meaning}"
    return Finding(rule, ERROR if grave else WARNING, str(ref), found.field, message, remedy)


def _types(policy: Policy) -> Iterator[Finding]:
    if policy.types_given:
        return
    one_sided = bool(policy.ingress) != bool(policy.egress) and not policy.pre_dnat
    silent = "egress" if policy.ingress else "ingress"
    yield _finding(
        "v1-empty-types",
        ERROR if one_sided else WARNING,
        policy,
        "spec.types",
        "no types in a v1 object means Ingress and Egress"
        + (
            f": {silent} is governed without any rule, so the end of the tier decides it" if one_sided else ""
        ),
        "write types as you mean them",
    )


def _early(policy: Policy) -> Iterator[Finding]:
    name = "preDNAT" if policy.pre_dnat else "doNotTrack"
    if (policy.pre_dnat or policy.do_not_track) and not policy.apply_on_forward:
        yield _finding(
            "early-without-forward",
            ERROR,
            policy,
            "spec.applyOnForward",
            f"{name} policy without applyOnForward: Calico's API refuses it, Felix applies it all the same",
            "set applyOnForward to true",
        )
    if policy.pre_dnat and policy.do_not_track:
        yield _finding(
            "prednat-and-untracked",
            ERROR,
            policy,
            "spec.preDNAT",
            "both preDNAT and doNotTrack: Felix takes it for doNotTrack",
            "choose one of them",
        )
    elif policy.pre_dnat and (policy.egress or (policy.governs_egress and policy.types_given)):
        yield _finding(
            "prednat-with-egress",
            ERROR,
            policy,
            "spec.egress" if policy.egress else "spec.types",
            "preDNAT policy is for ingress: Felix silently leaves its egress out",
            "put egress rules in a policy without preDNAT",
        )


def _selection(context: LintContext, policy: Policy) -> Iterator[Finding]:
    special = policy.do_not_track or policy.pre_dnat or policy.apply_on_forward
    groups = context.selected(policy)
    matches_hosts = bool(groups) if context.has_endpoints() else policy.selector.matches({})
    if policy.namespace_selector_text and matches_hosts:
        yield _finding(
            "negative-namespace-selector",
            ERROR,
            policy,
            "spec.namespaceSelector",
            f"{policy.namespace_selector_text!r} is true for hosts, which have no namespace",
            "add: has(projectcalico.org/name) && …",
        )
    elif not special and not policy.namespace_selector_text and str(policy.selector) == "all()":
        yield _finding(
            "selects-hosts-too",
            WARNING,
            policy,
            "spec.selector",
            "selects every host endpoint along with every pod",
            "for pods only add namespaceSelector: all(); for hosts only select a label that hosts carry",
        )
    if policy.do_not_track and groups and all(group.example.interface == WILDCARD for group in groups):
        yield _finding(
            "untracked-on-wildcard",
            WARNING,
            policy,
            "spec.doNotTrack",
            f"selects only host endpoints for all interfaces ({groups[0]}), where Felix ignores doNotTrack",
            "give the host endpoint an interfaceName, or drop doNotTrack",
        )
    if context.has_endpoints() and not groups and (special or not _selects_pods(context, policy)):
        yield _finding(
            "policy-selects-nothing",
            WARNING if special else INFO,
            policy,
            "spec.selector",
            f"selects no host endpoint ({policy.selector!s})",
            "compare the selector with the labels of your host endpoints",
        )


def _selects_pods(context: LintContext, policy: Policy) -> bool:
    """Whether a policy has pods in mind: it may well select none of the hosts."""
    return bool(policy.namespace_selector_text) or any(
        policy.selector.decide(pod.labels, pod.unknown_labels) is not False for pod in context.store.workloads
    )


def _equal_orders(context: LintContext) -> Iterator[Finding]:
    for tier in context.tiers.values():
        groups: dict[tuple[Optional[float], str, bool, bool], list[Policy]] = {}
        for policy in tier.policies:
            for direction in directions(policy):
                key = (policy.order, direction, policy.do_not_track, policy.pre_dnat)
                groups.setdefault(key, []).append(policy)
        for (order, direction, *_early), group in groups.items():
            rivals = _rivals(context, group, direction)
            if len(rivals) < 2:
                continue
            names = ", ".join(policy.ref.name for policy in rivals)
            shown = "no order" if order is None else f"order {order:g}"
            yield Finding(
                "equal-order",
                WARNING,
                context.name_of("GlobalNetworkPolicy", rivals[0].ref.name),
                "spec.order",
                f"{names} have {shown} in tier {tier.name} and decide differently; ties go by name, and by "
                "another form of the name before Calico 3.32",
                "give each its own order",
            )


def _rivals(context: LintContext, group: list[Policy], direction: str) -> list[Policy]:
    """Policies of a group that meet on a host endpoint and whose sequence matters."""
    meeting = [
        policy
        for policy in group
        if any(other is not policy and _meet(context, policy, other) for other in group)
    ]
    actions = {
        rule.action for policy in meeting for side, rule, _place in rules_of(policy) if side == direction
    }
    return meeting if len(actions - {"log"}) > 1 else []


def _meet(context: LintContext, one: Policy, other: Policy) -> bool:
    if not context.has_endpoints():
        return "all()" in (str(one.selector), str(other.selector)) or one.selector == other.selector
    return any(
        one.selector.matches(group.labels) and other.selector.matches(group.labels)
        for group in context.groups
    )


def _lone_enforced(context: LintContext) -> Iterator[Finding]:
    members: dict[str, list[Policy]] = {}
    for policy in context.policies:
        members.setdefault(policy.tier, []).append(policy)
    for tier, policies in members.items():
        stored = context.store.tiers.get(tier)
        enforced = [policy for policy in policies if not policy.staged]
        # Only normal and forward policy ends in a deny.
        if any(policy.do_not_track or policy.pre_dnat for policy in enforced):
            continue
        if len(enforced) != 1 or len(policies) < 2 or (stored and stored.default_action == "Pass"):
            continue
        yield _finding(
            "lone-enforced",
            WARNING,
            enforced[0],
            "spec.tier",
            f"the other {len(policies) - 1} policies of tier {tier} are staged: what only they would allow "
            "is denied at the end of the tier because of this one",
            "stage it as well, enforce the others, or set the tier's defaultAction to Pass",
        )


def _forward_one_direction(context: LintContext) -> Iterator[Finding]:
    if context.version < DEFAULT_ALLOW_FOR_BOTH_DIRECTIONS or context.options.dataplane == EBPF:
        return
    for group in context.groups:
        chains = context.program.view(group.example).chains
        governed = [direction for direction in (INGRESS, EGRESS) if chains.get((FORWARD, direction))]
        if len(governed) != 1:
            continue
        other = EGRESS if governed[0] == INGRESS else INGRESS
        for policy in _forward_policies(context, group.labels):
            yield Finding(
                "forward-one-direction",
                WARNING,
                context.name_of("GlobalNetworkPolicy", policy.ref.name),
                "spec.types",
                f"{group}: applyOnForward policy governs {governed[0]} only; forwarded {other} is then no "
                "longer accepted by Calico but left to the node's own FORWARD rules",
                f"add an applyOnForward policy that allows {other}",
            )


def _forward_policies(context: LintContext, labels: Mapping[str, str]) -> Iterable[Policy]:
    for policy in context.intended:
        forward = policy.apply_on_forward and not policy.pre_dnat and not policy.do_not_track
        if forward and policy.selector.matches(labels):
            yield policy
