# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What changes between two states of policy, tier by tier, and whether a switch can do it.

Each tier that changes gets a neighbour directly before it, named ``<tier>-next``, which holds the new
policies until the tier itself does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..bad_input import BadInput
from ..host_endpoint import OWNER, OWNER_LABEL
from ..policy.definition import normal_spec
from ..policy.names import (
    API_VERSION,
    BUILTIN_TIERS,
    DEFAULT_TIER,
    DENY,
    MAX_NAME,
    NETWORK_SET,
    POLICY,
    TIER,
    canonical_name,
    is_simple_name,
)
from ..stored.model import Entity, Policy
from ..stored.reader import merged_metadata, read
from .state import TRANSACTION_LABEL, Contents, Object, switch_labels

NEXT_SUFFIX = "-next"
_MAX_TIER = 63


class NoSwitch(BadInput):
    """A change that a switch cannot make; ``enforce_without_switch`` makes it by an order of writes."""


@dataclass(frozen=True)
class TierChange:
    """One tier's policies before and after, as stored objects.

    :ivar before: the Tier object, or None where there is none yet
    :ivar after: the same once all is done, or None where it goes
    :ivar next_order: place of the neighbour
    """

    name: str
    before: Optional[Object]
    after: Optional[Object]
    old: tuple[Object, ...]
    new: tuple[Object, ...]
    next_order: float

    @property
    def next(self) -> str:
        return self.name + NEXT_SUFFIX

    @property
    def default_action(self) -> str:
        return str(((self.after or {}).get("spec") or {}).get("defaultAction") or DENY)


@dataclass(frozen=True)
class Change:
    """A change that a switch can make.

    :ivar added_sets: network sets that only new policy refers to; they are written first
    :ivar late_sets: network sets that nothing enforced refers to once the tiers hold the new policy
    :ivar gone: (kind, name) of what is deleted in the end
    """

    tiers: tuple[TierChange, ...]
    added_sets: tuple[Object, ...] = ()
    late_sets: tuple[Object, ...] = ()
    gone: tuple[tuple[str, str], ...] = ()

    @property
    def forward_before(self) -> bool:
        return any(_forwards(obj) for tier in self.tiers for obj in tier.old)

    @property
    def forward_after(self) -> bool:
        return any(_forwards(obj) for tier in self.tiers for obj in tier.new)


def compare(old: Contents, new: Contents) -> tuple[Contents, Contents]:
    """Both states, each without what is in no tier that changes and in no network set that does."""
    tiers = _changed_tiers(old, new)
    sets = _changed(old, new, NETWORK_SET)

    def kept(contents: Contents) -> Contents:
        return Contents(
            tuple(
                obj
                for obj in contents.objects
                if (obj["kind"] == POLICY and tier_of(obj) in tiers)
                or (obj["kind"] == TIER and obj["metadata"]["name"] in tiers)
                or (obj["kind"] == NETWORK_SET and obj["metadata"]["name"] in sets)
            )
        )

    return kept(old), kept(new)


def change_of(old: Contents, new: Contents, all_tiers: Sequence[Object]) -> Change:
    """What is to be done, of the two states that :func:`compare` left.

    :param all_tiers: the Tier objects of the cluster
    :raises NoSwitch: the tier is Calico's own, moves past another one, or has doNotTrack policies
    """
    names = sorted(
        {tier_of(o) for c in (old, new) for o in c.of(POLICY)} | _names(old, TIER) | _names(new, TIER)
    )
    tiers = tuple(_tier_change(name, old, new, all_tiers) for name in names)
    sets_before, sets_after = _by_name(old, NETWORK_SET), _by_name(new, NETWORK_SET)
    added = tuple(obj for name, obj in sets_after.items() if name not in sets_before)
    late = tuple(obj for name, obj in sets_after.items() if name in sets_before)
    gone = [(TIER, tier.name) for tier in tiers if tier.before and not tier.after]
    gone += [(NETWORK_SET, name) for name in sets_before if name not in sets_after]
    return Change(tiers, added, late, tuple(gone))


def refuse_others(change: Change, policies: Iterable[Object]) -> None:
    """A guard skips the whole tier, so every policy of it must be ours to carry over.

    :param policies: all policies of the cluster, namespaced ones included
    :raises NoSwitch: names the first one that is not
    """
    tiers = {tier.name for tier in change.tiers}
    for obj in policies:
        name, labels, _bad = merged_metadata(obj)
        if tier_of(obj) not in tiers or str(obj["kind"]).startswith("Staged"):
            continue
        if obj["kind"] != POLICY or labels.get(OWNER_LABEL) != OWNER:
            namespace = obj["metadata"].get("namespace")
            shown = name or obj["metadata"]["name"]
            where = f"{namespace}/{shown}" if namespace else shown
            raise NoSwitch(
                "tier",
                tier_of(obj),
                f"holds {obj['kind']} {where}, which Hostfence does not manage: a switch would "
                "skip it together "
                "with the rest of the tier. Give the sets a tier of their own (policies_tier_name), or set "
                "enforce_without_switch",
            )


def refuse_shared_sets(change: Change, old: Contents, policies: Sequence[Object]) -> None:
    """Network sets that old and new policy see differently cannot be switched.

    :param policies: all policies of the cluster
    :raises NoSwitch: names the set and the policy
    """
    new = [obj for tier in change.tiers for obj in tier.new]
    before = _by_name(old, NETWORK_SET)
    removed = [before[name] for kind, name in change.gone if kind == NETWORK_SET]
    changed = [*change.late_sets, *(before[obj["metadata"]["name"]] for obj in change.late_sets)]
    for sets, *readers in (
        (change.added_sets, policies),
        (removed, _elsewhere(change, policies), new),
        (changed, policies, new),
    ):
        for network_set in sets:
            _name, labels, _bad = merged_metadata(network_set)
            found = next(filter(None, (matched_by(labels, some) for some in readers)), "")
            if found:
                raise NoSwitch(
                    f"GlobalNetworkSet {network_set['metadata']['name']}",
                    ", ".join(f"{k}={v}" for k, v in sorted(labels.items())),
                    f"changes, and {found} refers to it both before and after: give the changed "
                    "set a name and a "
                    "label of its own, or set enforce_without_switch",
                )


def refuse_matching(policies: Sequence[Object], number: int) -> None:
    """No rule but a guard's may find the switch, which holds every address.

    :raises NoSwitch: names the rule's policy
    """
    found = matched_by(switch_labels(number), [p for p in policies if not is_guard(p)])
    if found:
        raise NoSwitch(
            "selector",
            found,
            "a rule of it matches every network set of the cluster, by all(), global(), !has() "
            "or !=, so it would "
            "match the switch, which holds every address: narrow its selector, or set enforce_without_switch",
        )


def matched_by(labels: Mapping[str, str], policies: Sequence[Object]) -> str:
    """The first enforced policy with a rule that finds a global network set of these labels, or empty."""
    # What is to be written has no version of the API yet.
    enforced = [
        {"apiVersion": API_VERSION, **obj} for obj in policies if not str(obj["kind"]).startswith("Staged")
    ]
    for policy in read(enforced).policies:
        if _finds(policy, labels):
            return str(policy.ref)
    return ""


def is_guard(obj: Object) -> bool:
    """Whether this is an object of a transaction."""
    return TRANSACTION_LABEL in (obj["metadata"].get("labels") or {})


def tier_of(obj: Object) -> str:
    return str((obj.get("spec") or {}).get("tier") or DEFAULT_TIER)


def base_name(obj: Object) -> str:
    """A policy's name without its tier."""
    tier = tier_of(obj)
    canonical = canonical_name(str(obj["metadata"]["name"]), tier)
    return canonical if tier == DEFAULT_TIER else canonical[len(tier) + 1 :]


def _finds(policy: Policy, labels: Mapping[str, str]) -> bool:
    rules = (*policy.ingress, *policy.egress)
    return any(_entity_finds(side, labels) for rule in rules for side in (rule.source, rule.destination))


def _entity_finds(entity: Entity, labels: Mapping[str, str]) -> bool:
    return any(s is not None and s.matches(labels) for s in (entity.selector, entity.not_selector))


def _tier_change(name: str, old: Contents, new: Contents, all_tiers: Sequence[Object]) -> TierChange:
    if name in BUILTIN_TIERS:
        raise NoSwitch(
            "tier",
            name,
            "is Calico's own, and no tier of Hostfence can stand directly before it for "
            "everybody else's policy: "
            "give the sets a tier of their own (policies_tier_name), or set enforce_without_switch",
        )
    before, after = _by_name(old, TIER).get(name), _by_name(new, TIER).get(name)
    mine = [tuple(o for o in c.of(POLICY) if tier_of(o) == name) for c in (old, new)]
    change = TierChange(name, before, after, mine[0], mine[1], _next_order(name, before, after, all_tiers))
    _check(change)
    return change


def _check(change: TierChange) -> None:
    if not is_simple_name(change.next):
        raise NoSwitch("tier", change.name, f"must leave room for {NEXT_SUFFIX} in {_MAX_TIER} characters")
    for obj in (*change.old, *change.new):
        if (obj.get("spec") or {}).get("doNotTrack"):
            raise NoSwitch(
                "doNotTrack",
                obj["metadata"]["name"],
                "a guard cannot pass untracked packets in both directions at once: move the "
                "policy to another "
                "tier, or set enforce_without_switch",
            )
        if len(f"{change.next}.{base_name(obj)}") > MAX_NAME:
            raise NoSwitch("metadata.name", obj["metadata"]["name"], f"must leave room for {NEXT_SUFFIX}")


def _next_order(
    name: str, before: Optional[Object], after: Optional[Object], all_tiers: Sequence[Object]
) -> float:
    """A place with no tier between it and the tier itself, before and after the change."""
    places = [_rank(tier) for tier in (before, after) if tier]
    if not places:
        raise NoSwitch("tier", name, "does not exist: make it first")
    own = {name, name + NEXT_SUFFIX}
    others = sorted(_rank(tier) for tier in all_tiers if tier["metadata"]["name"] not in own)
    first, last = min(places), max(places)
    between = [rank for rank in others if first < rank < last]
    if between:
        raise NoSwitch(
            "order",
            name,
            f"moves past the tier {between[0][1]}: change the order first, while the tier has no "
            "policies, or set "
            "enforce_without_switch",
        )
    earlier = [rank[0] for rank in others if rank < first]
    lower = earlier[-1] if earlier else None
    if lower is None:
        order = (0.0 if math.isinf(first[0]) else first[0]) - 1
    elif math.isinf(first[0]):
        order = lower + 1
    else:
        order = (lower + first[0]) / 2
    if (lower is not None and not lower < order) or not order < first[0]:
        raise NoSwitch(
            "order", name, "leaves no room between it and the tier before it: give it a higher order"
        )
    return order


def _rank(tier: Object) -> tuple[float, str]:
    order = (tier.get("spec") or {}).get("order")
    return (math.inf if order is None else float(order), str(tier["metadata"]["name"]))


def _changed_tiers(old: Contents, new: Contents) -> set[str]:
    policies = [{_identity(obj): _decisive(obj) for obj in c.of(POLICY)} for c in (old, new)]
    changed = {key[0] for key in {*policies[0], *policies[1]} if policies[0].get(key) != policies[1].get(key)}
    used = {tier_of(obj) for c in (old, new) for obj in c.of(POLICY)}
    return changed | (_changed(old, new, TIER) & used)


def _identity(obj: Object) -> tuple[str, str]:
    return tier_of(obj), base_name(obj)


def _decisive(obj: Object) -> dict[str, Any]:
    spec = normal_spec(obj.get("spec") or {})
    spec.pop("tier", None)
    return spec


def _changed(old: Contents, new: Contents, kind: str) -> set[str]:
    before, after = _by_name(old, kind), _by_name(new, kind)
    return {n for n in {*before, *after} if _content(before.get(n), kind) != _content(after.get(n), kind)}


def _content(obj: Optional[Object], kind: str) -> Any:
    if obj is None:
        return None
    spec = normal_spec(obj.get("spec") or {})
    if kind == TIER:
        return spec.get("order"), spec.get("defaultAction") or DENY
    return sorted(spec.get("nets") or ()), dict(merged_metadata(obj)[1])


def _elsewhere(change: Change, policies: Iterable[Object]) -> list[Object]:
    tiers = {tier.name for tier in change.tiers}
    return [obj for obj in policies if tier_of(obj) not in tiers]


def _forwards(obj: Object) -> bool:
    spec = obj.get("spec") or {}
    return bool(spec.get("applyOnForward")) and not spec.get("preDNAT")


def _by_name(contents: Contents, kind: str) -> dict[str, Object]:
    return {str(obj["metadata"]["name"]): obj for obj in contents.of(kind)}


def _names(contents: Contents, kind: str) -> set[str]:
    return set(_by_name(contents, kind))
