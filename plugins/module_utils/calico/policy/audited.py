# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of policies that decide nothing, so that the kernel counts what the policies would decide.

In a tier before all others each final action is replaced by Pass: a packet that a rule matches is counted
there and goes on to what decides today. The name of a copy tells the original, and an annotation of each rule
its place, which Felix writes into the kernel's rules as a comment.

Only what is neutral is copied. A Pass is not neutral for forwarded traffic: where no other policy with
applyOnForward follows, the node's own FORWARD rules would decide in place of Calico's default. No policy with
doNotTrack is neutral. These are left out and named. Tiers are counted each by itself: a connection that an
earlier tier would allow is counted in a later one, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..host_endpoint import OWNER, OWNER_LABEL, effective_labels
from .names import DEFAULT_TIER, POLICY, TIER, canonical_name

API_VERSION = "projectcalico.org/v3"
PREFIX = "audited-"
END_OF_TIER = "end-of-tier"
RULE_ANNOTATION = "hostfence.io/audits"
_SIDES = ("ingress", "egress")
_NOT_FINAL = "Log"
# Finite, because what ends a tier comes after the policies that have no order.
_LAST, _END = 10**15, 2 * 10**15


@dataclass(frozen=True)
class Audited:
    """``objects`` to write, tiers first; ``left_out`` says what the kernel will not count, and why."""

    objects: tuple[Mapping[str, Any], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class CandidateTier:
    """A tier of the candidate, and what its end does."""

    name: str
    default_action: str = "Deny"


def audited(
    policies: Iterable[Mapping[str, Any]],
    tiers: Sequence[CandidateTier],
    first_order: Optional[float],
    set_name: str,
    *,
    log: bool = False,
) -> Audited:
    """Copies of a candidate's policies.

    :param policies: GlobalNetworkPolicies, staged or not, as ``projectcalico.org/v3`` objects
    :param tiers: those that the policies are in
    :param first_order: the lowest order of a tier that exists, or None where none has one
    :param set_name: whose policies they are: sets that share a tier have each its own copies of its end
    :param log: also let the kernel log what would be denied, by a rule that decides nothing
    """
    given = list(policies)
    # In which order tiers of copies are evaluated changes nothing: each lets everything go on to the next.
    order = (0 if first_order is None else min(first_order, 0)) - 1
    objects: list[Mapping[str, Any]] = []
    for tier in sorted(tiers, key=lambda tier: tier.name):
        copied = [p for p in given if _tier_of(p) == tier.name and not _not_neutral(p)]
        if copied:
            objects.append(_tier(tier.name, order))
            objects.extend(_copies(tier, copied, set_name, log=log))
    return Audited(tuple(objects), left_out(given))


def left_out(policies: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What of policies cannot be counted without deciding, and why; the parameter is :func:`audited`'s."""
    return tuple(f"{_name(policy)}: {why}" for policy in policies if (why := _uncounted(policy)))


def is_copy(kind: str, obj: dict[str, Any]) -> bool:
    """Whether a stored object only counts: a copy, or a tier of copies."""
    if effective_labels(obj).get(OWNER_LABEL) != OWNER:
        return False
    if kind == TIER:
        return is_tier_of_copies(str(obj["metadata"]["name"]))
    return kind == POLICY and is_tier_of_copies(_tier_of(obj))


def is_tier_of_copies(name: str) -> bool:
    """Whether Hostfence keeps a tier's name for copies."""
    return name.startswith(PREFIX)


def is_end_of_tier(name: str) -> bool:
    """Whether a policy's name is one that the copies of a tier's end stand for."""
    return name.rpartition(".")[2].startswith(f"{END_OF_TIER}-")


def original_name(name: str) -> str:
    """The policy that a copy stands for; empty where the name is no copy's."""
    return name[len(PREFIX) :] if name.startswith(PREFIX) else ""


def _copies(
    tier: CandidateTier, policies: Sequence[Mapping[str, Any]], set_name: str, *, log: bool
) -> Iterator[Mapping[str, Any]]:
    yield from (_copy(tier.name, policy, log=log) for policy in policies)
    if tier.default_action == "Deny":
        yield from _ends(tier.name, policies, set_name, log=log)


def _uncounted(policy: Mapping[str, Any]) -> str:
    why = _not_neutral(policy)
    if why:
        return why
    forwards = policy["spec"].get("applyOnForward") and not policy["spec"].get("preDNAT")
    return "forwarded traffic, only what ends at the host is counted" if forwards else ""


def _not_neutral(policy: Mapping[str, Any]) -> str:
    spec = policy["spec"]
    if spec.get("doNotTrack"):
        return "doNotTrack cannot be counted without deciding"
    if spec.get("namespaceSelector") or spec.get("serviceAccountSelector"):
        return "it selects pods by namespace or service account"
    return ""


def _copy(tier: str, policy: Mapping[str, Any], *, log: bool) -> Mapping[str, Any]:
    spec = policy["spec"]
    base = _name(policy).removeprefix(f"{tier}.")
    copy: dict[str, Any] = {"selector": spec.get("selector") or "all()", "types": _types(spec)}
    if spec.get("preDNAT"):
        copy.update(preDNAT=True, applyOnForward=True)
    for side in _SIDES:
        rules = [
            copied
            for at, rule in enumerate(spec.get(side) or ())
            if _is_final(rule)
            for copied in _passing(rule, str(at), logged=log and rule.get("action") == "Deny")
        ]
        if rules:
            copy[side] = rules
    return _policy(tier, base, _place(spec.get("order")), copy)


def _passing(rule: Mapping[str, Any], at: str, *, logged: bool) -> Iterator[Mapping[str, Any]]:
    """The rule that is counted, and before it the one that logs: its kernel rule sets no mark."""
    if logged:
        yield {**{key: value for key, value in rule.items() if key != "metadata"}, "action": _NOT_FINAL}
    yield {**rule, "action": "Pass", "metadata": {"annotations": {RULE_ANNOTATION: at}}}


def _is_final(rule: Mapping[str, Any]) -> bool:
    """The candidate's own Log rules decide nothing and would fill the node's log: they are left out."""
    return rule.get("action") != _NOT_FINAL


def _ends(
    tier: str, policies: Sequence[Mapping[str, Any]], set_name: str, *, log: bool
) -> Iterator[Mapping[str, Any]]:
    """For each governed direction, what would be denied at the tier's end: only normal policy has one."""
    for side in _SIDES:
        selectors = [
            policy["spec"].get("selector") or "all()"
            for policy in policies
            if side.capitalize() in _types(policy["spec"]) and not policy["spec"].get("preDNAT")
        ]
        if selectors:
            selector = " || ".join(f"({text})" for text in dict.fromkeys(selectors))
            rules = list(_passing({}, END_OF_TIER, logged=log))
            spec = {"selector": selector, "types": [side.capitalize()], side: rules}
            yield _policy(tier, f"{END_OF_TIER}-{side}-{set_name}", _END, spec)


def _policy(tier: str, base: str, order: float, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": f"{PREFIX}{tier}.{base}"},
        "spec": {"tier": f"{PREFIX}{tier}", "order": order, **spec},
    }


def _tier(name: str, order: float) -> Mapping[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Tier",
        "metadata": {"name": f"{PREFIX}{name}"},
        "spec": {"order": order, "defaultAction": "Pass"},
    }


def _types(spec: Mapping[str, Any]) -> list[str]:
    """As the API defaults them: Egress where there are rules for it, Ingress unless there are only those."""
    if spec.get("types"):
        return list(spec["types"])
    if spec.get("egress"):
        return ["Ingress", "Egress"] if spec.get("ingress") else ["Egress"]
    return ["Ingress"]


def _tier_of(policy: Mapping[str, Any]) -> str:
    return str(policy["spec"].get("tier") or DEFAULT_TIER)


def _name(policy: Mapping[str, Any]) -> str:
    return canonical_name(str(policy["metadata"]["name"]), _tier_of(policy))


def _place(order: Optional[float]) -> float:
    return _LAST if order is None else min(order, _LAST)
