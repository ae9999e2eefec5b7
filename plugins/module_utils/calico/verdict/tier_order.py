# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which Felix evaluates tiers and policies.

Source: TierLess and PolKVLess in felix/calc/policy_sorter.go (v3.32.1); policies of a tier that does not
exist are not left out by sendEndpointUpdate in felix/calc/policy_resolver.go, they come last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..stored.model import Policy, Reference, Tier
from ..version import CURRENT, NAMES_WITHOUT_TIER_PREFIX, Version

DEFAULT_TIER = "default"
DEFAULT_TIER_ORDER = 1_000_000.0


@dataclass(frozen=True)
class RankedTier:
    """A tier with its policies in order. ``exists`` is False for a tier that only policies name."""

    name: str
    default_action: str
    exists: bool
    policies: tuple[Policy, ...]


def rank(
    policies: Iterable[Policy], tiers: Mapping[str, Tier], version: Version = CURRENT
) -> tuple[RankedTier, ...]:
    """Sort policies into their tiers. A tier ``default`` that is not given is as Calico makes it."""
    members: dict[str, list[Policy]] = {}
    for policy in policies:
        members.setdefault(policy.tier, []).append(policy)
    known = dict(tiers)
    known.setdefault(DEFAULT_TIER, Tier(Reference("Tier", DEFAULT_TIER), DEFAULT_TIER_ORDER, "Deny"))

    def place(name: str) -> tuple[bool, float, bytes]:
        tier = known.get(name)
        order = tier.order if tier else None
        return (tier is None, math.inf if order is None else order, name.encode())

    return tuple(
        RankedTier(
            name,
            known[name].default_action if name in known else "Deny",
            name in known,
            tuple(sorted(members[name], key=lambda policy: policy_place(policy, version))),
        )
        for name in sorted(members, key=place)
    )


def policy_place(policy: Policy, version: Version = CURRENT) -> tuple[float, bytes]:
    """Sort key of a policy inside its tier: order, then the text that breaks ties in this version."""
    order = math.inf if policy.order is None else policy.order
    ref = policy.ref
    if version >= NAMES_WITHOUT_TIER_PREFIX:
        return order, f"{ref.name}/{ref.namespace}/{ref.kind}".encode()
    stored = ref.stored_name or ref.name
    if policy.tier == DEFAULT_TIER and ref.name == stored:
        stored = f"{DEFAULT_TIER}.{stored}"
    name = f"staged:{stored}" if policy.staged else stored
    return order, (f"{ref.namespace}/{name}" if ref.namespace else name).encode()


def ended(tiers: Mapping[str, Tier]) -> dict[str, Tier]:
    """Tiers with the ends that they are to have once every staged policy is enforced."""
    return {
        name: replace(tier, default_action="Deny") if tier.denies_once_enforced else tier
        for name, tier in tiers.items()
    }


def promoted(policies: Iterable[Policy], deletions: Iterable[Reference]) -> list[Policy]:
    """What would be in force once every staged policy is enforced.

    A staged policy takes the place of the enforced one of its name; a staged deletion removes it.
    """
    chosen: dict[tuple[str, str, str], Policy] = {}
    for policy in sorted(policies, key=lambda item: item.staged):
        kind = policy.ref.kind.replace("Staged", "")
        chosen[kind, policy.ref.namespace, policy.ref.name] = (
            replace(policy, staged=False, ref=replace(policy.ref, kind=kind)) if policy.staged else policy
        )
    for ref in deletions:
        chosen.pop((ref.kind.replace("Staged", ""), ref.namespace, ref.name), None)
    return list(chosen.values())
