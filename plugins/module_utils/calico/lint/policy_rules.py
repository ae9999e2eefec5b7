# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about a policy as a whole, and about several policies together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Optional

from ..bad_input import BadInput
from ..finding import ERROR, INFO, WARNING, Finding
from ..known_faults import FORWARD_DEFAULT
from ..selector import Selector, Term, parse
from ..stored.model import WILDCARD, Policy, Rule
from ..verdict.packet_path import EGRESS, FORWARD, INGRESS
from ..verdict.program import directions
from ..verdict.tier_order import DEFAULT_TIER
from ..verdict.unknown import readable
from .context import POD_LABEL_BEGINNINGS, POD_LABELS, LintContext, is_pod_label, rules_of, trap

RULES = {
    "v1-empty-types": "A v1 object without types governs both directions.",
    "negative-namespace-selector": "A negative namespaceSelector also matches host endpoints.",
    "negative-selector": "A selector that says what labels are not matches every host endpoint without them.",
    "selects-hosts-too": "A policy for everything selects the hosts as well.",
    "equal-order": "Policies of one tier and order: Calico's version decides which is asked first.",
    "early-without-forward": "preDNAT and doNotTrack need applyOnForward.",
    "prednat-with-egress": "preDNAT has no egress.",
    "prednat-and-untracked": "preDNAT and doNotTrack exclude each other; doNotTrack wins.",
    "untracked-on-wildcard": "doNotTrack does nothing on a host endpoint for all interfaces.",
    "policy-selects-nothing": "A policy that selects no host endpoint.",
    "missing-tier": "A policy of a tier that does not exist is evaluated last and ends in deny.",
    "lone-enforced": "One enforced policy among staged ones turns on the deny at the end of their tier.",
    "forward-one-direction": "applyOnForward in one direction takes the default allow from the other.",
    "never-allows": "Rules that never allow or pass: the end of the tier denies the rest of their direction.",
    "rules-not-in-types": "Rules of a direction that the policy's types leave out are never evaluated.",
    "global-selector": "global() outside a rule's namespaceSelector is true for everything.",
}

# Labels of a pod of which nothing else is known.
_ANY_POD = {**dict.fromkeys(POD_LABELS, "any"), "projectcalico.org/orchestrator": "k8s"}


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    for policy in context.policies:
        yield from _types(policy)
        yield from _early(policy)
        yield from _selection(context, policy)
        yield from _missing_tier(context, policy)
        yield from _never_allows(context, policy)
        yield from _rules_not_in_types(policy)
        yield from _global_selector(policy)
    yield from _equal_orders(context)
    yield from _lone_enforced(context)
    yield from _forward_one_direction(context)


def _finding(rule: str, severity: str, policy: Policy, place: str, message: str, remedy: str) -> Finding:
    return trap(rule, severity, str(policy.ref), place, message, remedy)


def _missing_tier(context: LintContext, policy: Policy) -> Iterator[Finding]:
    if policy.tier == DEFAULT_TIER or policy.tier in context.store.tiers:
        return
    if context.live:
        severity = ERROR
        message = (
            f"tier {policy.tier} does not exist: the policy is evaluated after all tiers and ends in deny"
        )
    else:
        severity = WARNING
        message = (
            f"tier {policy.tier} is not among these objects: where the cluster does not have it either, the "
            "policy is evaluated after all tiers and ends in deny"
        )
    remedy = "create the tier first, with the defaultAction you mean"
    yield _finding("missing-tier", severity, policy, "spec.tier", message, remedy)


def _never_allows(context: LintContext, policy: Policy) -> Iterator[Finding]:
    tier = context.store.tiers.get(policy.tier)
    if policy.do_not_track or policy.pre_dnat or (tier and tier.default_action == "Pass"):
        return
    if not context.judges_hosts(policy):
        return
    for direction in directions(policy):
        actions = {rule.action for side, rule, _place in rules_of(policy) if side == direction}
        logs_only = actions == {"log"}
        if not actions or not actions <= {"log", "deny"} or _denies_all(policy, direction):
            continue
        if not logs_only and _allowed_by_others(context, policy, direction):
            continue
        does = "only log" if logs_only else "only log and deny"
        yield _finding(
            "never-allows",
            WARNING,
            policy,
            f"spec.{direction}",
            f"its {direction} rules {does}: by governing {direction} the policy denies, at the end of tier "
            f"{policy.tier}, everything that no other policy of the tier allows",
            "end the rules with Pass or Allow, or put the policy into a tier whose defaultAction is Pass",
        )


def _denies_all(policy: Policy, direction: str) -> bool:
    """Whether a rule denies without a condition, which says that the deny is meant."""
    rules = [rule for side, rule, _place in rules_of(policy) if side == direction]
    return any(rule == Rule(rule.index, "deny") for rule in rules)


def _allowed_by_others(context: LintContext, policy: Policy, direction: str) -> bool:
    return any(
        rule.action in ("allow", "pass")
        for other in context.policies
        if other.ref != policy.ref and other.tier == policy.tier and _meet(context, policy, other)
        for side, rule, _place in rules_of(other)
        if side == direction
    )


def _rules_not_in_types(policy: Policy) -> Iterator[Finding]:
    for direction, rules in ((INGRESS, policy.ingress), (EGRESS, policy.egress)):
        if not rules or direction in directions(policy) or (policy.pre_dnat and direction == EGRESS):
            continue
        yield _finding(
            "rules-not-in-types",
            WARNING,
            policy,
            "spec.types",
            f"types leave {direction} out: its {len(rules)} {direction} rules are never evaluated",
            f"add {direction.capitalize()} to types, or remove the rules",
        )


def _global_selector(policy: Policy) -> Iterator[Finding]:
    texts = (
        ("spec.selector", policy.selector_text),
        ("spec.namespaceSelector", policy.namespace_selector_text),
        ("spec.serviceAccountSelector", policy.account_selector_text),
    )
    for field, text in texts:
        if _speaks_of_global(text):
            yield _finding(
                "global-selector",
                ERROR,
                policy,
                field,
                f"{text!r}: Calico's API refuses global() here, and to Felix it is true for every endpoint",
                "use global() only in a rule's namespaceSelector; here select a label that hosts carry",
            )
    for _direction, rule, place in rules_of(policy):
        for side, entity in (("source", rule.source), ("destination", rule.destination)):
            # Of a namespaceSelector nothing is left here: Felix reads it as having no namespace.
            for field, selector in (("selector", entity.selector), ("notSelector", entity.not_selector)):
                if selector is None or not _has_global(selector):
                    continue
                yield _finding(
                    "global-selector",
                    ERROR,
                    policy,
                    f"{place}.{side}.{field}",
                    f"{readable(selector)}: the API refuses global() here, and to Felix it is true for all",
                    f"write {side}.namespaceSelector: global(), which finds what has no namespace",
                )


def _speaks_of_global(text: str) -> bool:
    try:
        return _has_global(parse(text))
    except BadInput:
        return False  # said by invalid-selector


def _has_global(selector: Selector) -> bool:
    return any(isinstance(step, Term) and step.op == "global" for step in selector.program)


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
        _types_meant(policy),
    )


def _types_meant(policy: Policy) -> str:
    if policy.pre_dnat:
        return "write types: [Ingress]"
    if bool(policy.ingress) == bool(policy.egress):
        return "write types: [Ingress, Egress], or the one that you mean"
    return (
        f"write types: [{'Ingress' if policy.ingress else 'Egress'}], or [Ingress, Egress] if both are meant"
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
    yield from _too_many(context, policy, special=special)
    if policy.do_not_track and groups and all(group.example.interface == WILDCARD for group in groups):
        yield _finding(
            "untracked-on-wildcard",
            WARNING,
            policy,
            "spec.doNotTrack",
            f"selects only host endpoints for all interfaces ({groups[0]}), where Felix ignores doNotTrack",
            "give the host endpoint an interfaceName, or drop doNotTrack",
        )
    if not groups and (special or not _selects_pods(context, policy)):
        yield from _selects_nothing(context, policy, WARNING if special else INFO)


def _too_many(context: LintContext, policy: Policy, *, special: bool) -> Iterator[Finding]:
    """Selectors that are true for host endpoints which their author may not have thought of."""
    matches_hosts = bool(context.selected(policy)) if context.has_endpoints() else policy.selector.matches({})
    names = policy.selector.label_names()
    if matches_hosts and policy.bound_to_pods:
        text = policy.namespace_selector_text or policy.account_selector_text
        yield _finding(
            "negative-namespace-selector",
            ERROR,
            policy,
            "spec.namespaceSelector" if policy.namespace_selector_text else "spec.serviceAccountSelector",
            f"{text!r} is true for hosts, which have no namespace and no service account",
            "add: has(projectcalico.org/name) && …",
        )
    elif matches_hosts and _by_what_pods_carry(context, policy):
        yield _finding(
            "negative-namespace-selector",
            ERROR,
            policy,
            "spec.selector",
            f"{policy.selector_text!r} is true for hosts, which do not carry labels such as "
            f"{min(filter(is_pod_label, names))}",
            "add: has(projectcalico.org/namespace) && …",
        )
    elif not special and not policy.bound_to_pods and str(policy.selector) == "all()":
        yield _finding(
            "selects-hosts-too",
            WARNING,
            policy,
            "spec.selector",
            "selects every host endpoint along with every pod",
            "for pods only add namespaceSelector: all(); for hosts only select a label that hosts carry",
        )
    elif matches_hosts and not special and not all(map(is_pod_label, names)) and policy.selector.matches({}):
        yield _finding(
            "negative-selector",
            INFO,
            policy,
            "spec.selector",
            f"{policy.selector_text!r} is true for every host endpoint, and every pod, without "
            f"{', '.join(sorted(names)[:3])}",
            "for hosts only add a label that they carry: has(kubernetes.io/hostname) && …",
        )


def _by_what_pods_carry(context: LintContext, policy: Policy) -> bool:
    """Whether hosts are selected because they lack a label that pods carry, and pods are meant as well.

    ``!has(projectcalico.org/namespace)`` is true for no pod: who writes that means hosts.
    """
    chosen = [group.labels for group in context.selected(policy)] if context.has_endpoints() else [{}]
    return any(
        policy.selector.decide(labels, POD_LABEL_BEGINNINGS) is None
        and policy.selector.matches({**labels, **_ANY_POD})
        for labels in chosen
    )


def _selects_nothing(context: LintContext, policy: Policy, severity: str) -> Iterator[Finding]:
    if context.has_endpoints():
        message = f"selects no host endpoint ({policy.selector!s})"
        remedy = "compare the selector with the labels of your host endpoints"
    elif context.live:
        message = "no host endpoint exists: this policy protects nothing"
        remedy = "create host endpoints with the labels that it selects (role host_endpoints)"
    else:
        return
    yield _finding("policy-selects-nothing", severity, policy, "spec.selector", message, remedy)


def _selects_pods(context: LintContext, policy: Policy) -> bool:
    """Whether a policy has pods in mind: it may well select none of the hosts."""
    return policy.bound_to_pods or any(
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
            yield trap(
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
    if not FORWARD_DEFAULT.affects(context.version, context.options.dataplane):
        return
    for group in context.groups:
        chains = context.program.view(group.example).chains
        governed = [direction for direction in (INGRESS, EGRESS) if chains.get((FORWARD, direction))]
        if len(governed) != 1:
            continue
        other = EGRESS if governed[0] == INGRESS else INGRESS
        for policy in _forward_policies(context, group.labels):
            yield trap(
                "forward-one-direction",
                context.severity(group, WARNING),
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
