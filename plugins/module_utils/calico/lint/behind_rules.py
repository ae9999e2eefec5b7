# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint rules about what stands before a policy: in another class, or in another tier.

A packet meets doNotTrack policy of all tiers first, what comes in then preDNAT policy of all tiers, and then
each tier in its order. Once it is denied, no later policy is evaluated. (Within one tier and class
:mod:`.single_rules` looks.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

from ..finding import WARNING, Finding
from ..stored.model import WILDCARD, Policy, Rule
from ..verdict.packet_path import EGRESS, INGRESS
from ..verdict.program import directions
from ..verdict.tier_order import RankedTier
from .context import LintContext, rules_of, trap
from .shadowing import apart, shadow

RULES = {
    "allow-behind-deny": "An allow whose packets a doNotTrack or preDNAT policy, or an earlier tier, denies.",
}
# What a tier with defaultAction Deny does with what its policies select and do not decide.
_END_OF_TIER = Rule(-1, "deny")


@dataclass(frozen=True)
class _Before:
    """A rule that is asked before a policy, with whose it is; ``tier`` where its end decides."""

    rule: Rule
    policy: Policy
    tier: RankedTier

    @property
    def ends_tier(self) -> bool:
        return self.rule is _END_OF_TIER


def check(context: LintContext) -> Iterator[Finding]:
    """All findings of this file's rules."""
    tiers = list(context.tiers.values())
    for at, tier in enumerate(tiers):
        for policy in tier.policies:
            if not context.judges_hosts(policy):
                continue
            for direction in directions(policy):
                yield from _behind(context, policy, direction, tiers[: at + 1])


def _behind(
    context: LintContext, policy: Policy, direction: str, tiers: Sequence[RankedTier]
) -> Iterator[Finding]:
    allows = [
        (rule, place)
        for side, rule, place in rules_of(policy)
        if side == direction and rule.action == "allow"
    ]
    stages = [list(_of_earlier_tiers(context, policy, direction, tiers[:-1]))]
    if direction == INGRESS and not (policy.pre_dnat or policy.do_not_track):
        stages.insert(0, [list(_before_dnat(context, policy, tier)) for tier in context.tiers.values()])
    if _meets_untracked(context, policy, direction):
        untracked = [list(_untracked(context, policy, direction, tier)) for tier in context.tiers.values()]
        stages.insert(0, untracked)
    if not any(entry.rule.action == "deny" for stage in stages for chain in stage for entry in chain):
        return
    for rule, place in allows:
        denying = next((found for stage in stages if (found := _denying(rule, stage))), None)
        if denying:
            yield _finding(context, policy, direction, place, denying)


def _before_dnat(context: LintContext, policy: Policy, tier: RankedTier) -> Iterator[_Before]:
    for other in tier.policies:
        if other.pre_dnat and other.governs_ingress and _selects_as_much(context, other, policy):
            yield from (_Before(rule, other, tier) for rule in other.ingress)


def _meets_untracked(context: LintContext, policy: Policy, direction: str) -> bool:
    """Whether doNotTrack policy is evaluated for every packet before this policy is.

    It is not on ``*``, where Felix ignores it, nor for what is forwarded as it leaves the node.
    """
    if policy.do_not_track or (direction == EGRESS and policy.apply_on_forward):
        return False
    return not any(group.example.interface == WILDCARD for group in context.selected(policy))


def _untracked(context: LintContext, policy: Policy, direction: str, tier: RankedTier) -> Iterator[_Before]:
    for other in tier.policies:
        asked = other.do_not_track and direction in directions(other)
        if asked and _selects_as_much(context, other, policy):
            yield from (_Before(rule, other, tier) for rule in _rules(other, direction))


def _rules(policy: Policy, direction: str) -> Sequence[Rule]:
    return policy.ingress if direction == INGRESS else policy.egress


def _of_earlier_tiers(
    context: LintContext, policy: Policy, direction: str, tiers: Sequence[RankedTier]
) -> Iterator[list[_Before]]:
    """Each tier's rules in their order, and its end where that denies."""
    for tier in tiers:
        asked = [
            other
            for other in tier.policies
            if direction in directions(other)
            and _same_class(other, policy)
            and _selects_as_much(context, other, policy)
        ]
        entries = [_Before(rule, other, tier) for other in asked for rule in _rules(other, direction)]
        if asked and tier.default_action != "Pass" and not (policy.pre_dnat or policy.do_not_track):
            entries.append(_Before(_END_OF_TIER, asked[-1], tier))
        yield entries


def _same_class(other: Policy, policy: Policy) -> bool:
    if other.do_not_track or policy.do_not_track:
        return other.do_not_track and policy.do_not_track
    if other.pre_dnat != policy.pre_dnat:
        return False
    return other.apply_on_forward or not policy.apply_on_forward


def _selects_as_much(context: LintContext, other: Policy, policy: Policy) -> bool:
    """Whether the other one selects every host endpoint that the policy selects, as far as is known."""
    if str(other.selector) in ("all()", str(policy.selector)):
        return True
    selected = context.selected(policy)
    return bool(selected) and all(other.selector.matches(group.labels) for group in selected)


def _denying(rule: Rule, chains: Sequence[Sequence[_Before]]) -> Optional[list[_Before]]:
    """What, one alone or several together, decides all that a rule matches before it; a deny among it.

    A Pass leaves its tier, so that of a tier only what comes before one counts that the rule may meet.
    """
    counted: list[_Before] = []
    for chain in chains:
        for entry in chain:
            if entry.rule.action == "pass" and not apart(entry.rule, rule):
                break
            if entry.rule.action in ("allow", "deny"):
                counted.append(entry)
    hiding = shadow(rule, [entry.rule for entry in counted])
    if not hiding:
        return None
    found = [entry for entry in counted if any(entry.rule is one for one in hiding)]
    denying = [entry for entry in found if entry.rule.action == "deny"]
    return denying or None


def _finding(
    context: LintContext, policy: Policy, direction: str, place: str, denying: Sequence[_Before]
) -> Finding:
    first = denying[0]
    untracked = first.policy.do_not_track and not policy.do_not_track
    early = first.policy.pre_dnat and not policy.pre_dnat and not untracked
    name = context.name_of("GlobalNetworkPolicy", first.policy.ref.name)
    what = (
        f"the end of tier {first.tier.name}, which denies what {name} selects and no policy of it decides"
        if first.ends_tier
        else f"{name} {direction}[{first.rule.index}]"
    )
    when = f"in tier {first.tier.name}, which comes before tier {policy.tier}"
    if early or untracked:
        when = "before DNAT" if early else "by doNotTrack policy, which comes before all other"
    return trap(
        "allow-behind-deny",
        WARNING,
        context.name_of("GlobalNetworkPolicy", policy.ref.name),
        place,
        f"allows nothing: what it matches is denied {when}, by {what}",
        _pass_untracked(direction, first) if untracked else _remedy(policy, direction, first, early=early),
    )


def _pass_untracked(direction: str, first: _Before) -> str:
    there = f"{direction}[{first.rule.index}] of {first.policy.ref.name}"
    order = first.policy.order
    before = "any order" if order is None else f"an order below {order:g}"
    return (
        f"put a rule {{action: Pass}} for it before {there}, or into a policy of its own with tier: "
        f"{first.tier.name}, doNotTrack: true, applyOnForward: true and {before}: what is passed there is "
        "tracked, and comes here"
    )


def _remedy(policy: Policy, direction: str, first: _Before, *, early: bool) -> str:
    there = "" if policy.tier == first.tier.name else f"tier: {first.tier.name}, "
    order = first.policy.order
    before = "any order" if order is None else f"an order below {order:g}"
    if early:
        alone = directions(policy) == (INGRESS,) or EGRESS not in directions(policy)
        where = "write here" if alone else "move the ingress rules into a policy of their own with"
        return f"{where} {there}preDNAT: true, applyOnForward: true, types: [Ingress] and {before}"
    if first.ends_tier:
        return (
            f"write here {there}so that the policy is asked before that end; or end {first.policy.ref.name} "
            f"with a rule {{action: Pass}}, or give tier {first.tier.name} defaultAction: Pass"
        )
    return (
        f"write here {there}and {before}; or put a rule {{action: Pass}} for it before "
        f"{direction}[{first.rule.index}] of {first.policy.ref.name}"
    )
