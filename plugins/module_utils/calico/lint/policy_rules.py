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
from .context import ERROR, INFO, WARNING, Finding, Survey, rules_of

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


def check(survey: Survey) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for ref, found in survey.store.misreadings:
        yield _misread(ref, found)
    for policy in survey.policies:
        yield from _types(policy)
        yield from _early(policy)
        yield from _selection(survey, policy)
        if policy.tier != DEFAULT_TIER and policy.tier not in survey.store.tiers:
            yield _finding(
                "missing-tier",
                ERROR,
                policy,
                "spec.tier",
                f"tier {policy.tier} does not exist: the policy is asked after all tiers and ends in deny",
                "create the tier first, with the defaultAction you mean",
            )
    yield from _equal_orders(survey)
    yield from _lone_enforced(survey)
    yield from _forward_one_direction(survey)


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


def _selection(survey: Survey, policy: Policy) -> Iterator[Finding]:
    special = policy.do_not_track or policy.pre_dnat or policy.apply_on_forward
    kinds = survey.selected(policy)
    matches_hosts = bool(kinds) if survey.has_endpoints() else policy.selector.matches({})
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
    if policy.do_not_track and kinds and all(kind.example.interface == WILDCARD for kind in kinds):
        yield _finding(
            "untracked-on-wildcard",
            WARNING,
            policy,
            "spec.doNotTrack",
            f"selects only host endpoints for all interfaces ({kinds[0]}), where Felix ignores doNotTrack",
            "give the host endpoint an interfaceName, or drop doNotTrack",
        )
    if survey.has_endpoints() and not kinds and (special or not _selects_pods(survey, policy)):
        yield _finding(
            "policy-selects-nothing",
            WARNING if special else INFO,
            policy,
            "spec.selector",
            f"selects no host endpoint ({policy.selector!s})",
            "compare the selector with the labels of your host endpoints",
        )


def _selects_pods(survey: Survey, policy: Policy) -> bool:
    """Whether a policy has pods in mind: it may well select none of the hosts."""
    return bool(policy.namespace_selector_text) or any(
        policy.selector.decide(pod.labels, pod.unknown_labels) is not False for pod in survey.store.workloads
    )


def _equal_orders(survey: Survey) -> Iterator[Finding]:
    for tier in survey.tiers.values():
        groups: dict[tuple[Optional[float], str, bool, bool], list[Policy]] = {}
        for policy in tier.policies:
            for direction in directions(policy):
                key = (policy.order, direction, policy.do_not_track, policy.pre_dnat)
                groups.setdefault(key, []).append(policy)
        for (order, direction, *_early), group in groups.items():
            rivals = _rivals(survey, group, direction)
            if len(rivals) < 2:
                continue
            names = ", ".join(policy.ref.name for policy in rivals)
            shown = "no order" if order is None else f"order {order:g}"
            yield Finding(
                "equal-order",
                WARNING,
                survey.name_of("GlobalNetworkPolicy", rivals[0].ref.name),
                "spec.order",
                f"{names} have {shown} in tier {tier.name} and decide differently; ties go by name, and by "
                "another form of the name before Calico 3.32",
                "give each its own order",
            )


def _rivals(survey: Survey, group: list[Policy], direction: str) -> list[Policy]:
    """Policies of a group that meet on a host endpoint and whose sequence matters."""
    meeting = [
        policy
        for policy in group
        if any(other is not policy and _meet(survey, policy, other) for other in group)
    ]
    actions = {
        rule.action for policy in meeting for side, rule, _place in rules_of(policy) if side == direction
    }
    return meeting if len(actions - {"log"}) > 1 else []


def _meet(survey: Survey, one: Policy, other: Policy) -> bool:
    if not survey.has_endpoints():
        return "all()" in (str(one.selector), str(other.selector)) or one.selector == other.selector
    return any(
        one.selector.matches(kind.labels) and other.selector.matches(kind.labels) for kind in survey.kinds
    )


def _lone_enforced(survey: Survey) -> Iterator[Finding]:
    members: dict[str, list[Policy]] = {}
    for policy in survey.policies:
        members.setdefault(policy.tier, []).append(policy)
    for tier, policies in members.items():
        stored = survey.store.tiers.get(tier)
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


def _forward_one_direction(survey: Survey) -> Iterator[Finding]:
    if survey.version < (3, 29) or survey.options.dataplane == EBPF:
        return
    for kind in survey.kinds:
        chains = survey.program.view(kind.example).chains
        governed = [direction for direction in (INGRESS, EGRESS) if chains.get((FORWARD, direction))]
        if len(governed) != 1:
            continue
        other = EGRESS if governed[0] == INGRESS else INGRESS
        for policy in _forward_policies(survey, kind.labels):
            yield Finding(
                "forward-one-direction",
                WARNING,
                survey.name_of("GlobalNetworkPolicy", policy.ref.name),
                "spec.types",
                f"{kind}: applyOnForward policy governs {governed[0]} only; forwarded {other} is then no "
                "longer accepted by Calico but left to the node's own FORWARD rules",
                f"add an applyOnForward policy that allows {other}",
            )


def _forward_policies(survey: Survey, labels: Mapping[str, str]) -> Iterable[Policy]:
    for policy in survey.intended:
        forward = policy.apply_on_forward and not policy.pre_dnat and not policy.do_not_track
        if forward and policy.selector.matches(labels):
            yield policy
