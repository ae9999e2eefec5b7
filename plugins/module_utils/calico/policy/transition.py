# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From one state of policy to another by single writes, no instant stricter than both.

The promise: a flow that is allowed before and after is allowed at every instant between. Each write is
atomic, so one write alone keeps it. Several writes keep it in one of three ways:

* growing: only creations, in tiers whose ``defaultAction`` is Pass meanwhile. Policies that only allow
  go first, those that deny follow in the order of evaluation, ``defaultAction: Deny`` comes last.
* shrinking: the same backwards.
* bridged: for everything else, in each tier a *bridge* is put before the policies that change: it
  allows all that they select. Behind it the writes may come in any order. Then it is taken away.

doNotTrack is outside the promise: its Allow needs both directions at once, and no policy is neutral
to it. Such policies are written in the same order, each in one write.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from .. import selector as selectors
from ..bad_input import BadInput
from .definition import Wire
from .names import DEFAULT_TIER, DENY, EGRESS, INGRESS, NETWORK_SET, PASS, POLICY, TIER, canonical_name

NORMAL, PRE_DNAT, UNTRACKED = "normal", "preDNAT", "untracked"
# In which order a packet meets the classes (felix/calc/event_sequencer.go, tierInfoToProtoTierInfo).
_CLASSES = (UNTRACKED, PRE_DNAT, NORMAL)
BRIDGE_SUFFIX = "-changing"


@dataclass(frozen=True)
class Ranked:
    """What of a tier decides about packets."""

    order: Optional[float]
    default_action: str


@dataclass(frozen=True)
class SetMembers:
    """What of a network set decides: its networks and the labels that rules find it by."""

    nets: frozenset[str]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class PolicyState:
    """All enforced policies of the tiers concerned, whoever owns them, by canonical name.

    ``policies`` holds normal specs (policy.normal_spec); ``tiers`` those that exist, ``network_sets``
    those of the set that changes.
    """

    policies: Mapping[str, Wire] = field(default_factory=dict)
    network_sets: Mapping[str, SetMembers] = field(default_factory=dict)
    tiers: Mapping[str, Ranked] = field(default_factory=dict)

    def content(self, kind: str, name: str) -> Any:
        """What an object holds in this state, or None where it does not exist."""
        objects: Mapping[str, Any] = {
            POLICY: self.policies,
            NETWORK_SET: self.network_sets,
            TIER: self.tiers,
        }[kind]
        return objects.get(name)


@dataclass(frozen=True)
class PolicyStep:
    """One write. ``content`` is a policy's spec, Members or Ranked; None deletes."""

    kind: str
    name: str
    content: Any = None

    @property
    def deletes(self) -> bool:
        return self.content is None


def plan(old: PolicyState, new: PolicyState, set_name: str) -> list[PolicyStep]:
    """The writes that lead from ``old`` to ``new``, in order.

    :param set_name: names the bridge, where one is needed
    """
    change = _Change(old, new)
    if len(change) <= 1:
        return list(change.final_steps())
    if change.only_grows():
        return _growing(change)
    if change.reversed().only_grows():
        return _backwards(_growing(change.reversed()), new)
    return _bridged(change, set_name)


def is_bridge(name: str, set_name: str) -> bool:
    """Whether a policy of this canonical name is the set's bridge, left by a run that was interrupted."""
    return name.rpartition(".")[2] in {_bridge_base(set_name, c) for c in (NORMAL, PRE_DNAT)}


class _Change:
    """The difference of two states."""

    def __init__(self, old: PolicyState, new: PolicyState) -> None:
        self.old, self.new = old, new
        self.policies = _differing(old.policies, new.policies)
        self.sets = _differing(old.network_sets, new.network_sets)
        self.tiers = _differing(old.tiers, new.tiers)

    def __len__(self) -> int:
        return len(self.policies) + len(self.sets) + len(self.tiers)

    def reversed(self) -> _Change:
        return _Change(self.new, self.old)

    def specs(self, names: Iterable[str]) -> Iterator[Wire]:
        """Each policy's spec before and after, where it has one."""
        for name in names:
            yield from (s.policies[name] for s in (self.old, self.new) if name in s.policies)

    def final_steps(self) -> Iterator[PolicyStep]:
        for kind, names in ((TIER, self.tiers), (NETWORK_SET, self.sets), (POLICY, self.policies)):
            yield from (PolicyStep(kind, name, self.new.content(kind, name)) for name in names)

    def only_grows(self) -> bool:
        """Whether all is created, and the tiers concerned can stand at Pass until the end."""
        if any(n in self.old.policies for n in self.policies) or any(
            n in self.old.network_sets for n in self.sets
        ):
            return False
        if any(n not in self.new.tiers or self._reordered(n) for n in self.tiers):
            return False
        created = [self.new.policies[n] for n in self.policies]
        if any(_class(s) == NORMAL and not self._stands_at_pass(_tier(s)) for s in created):
            return False
        stages = {(_class(s), _tier(s)) for s in created}
        if len(stages) > 1 and any("Pass" in _actions(s) for s in created):
            return False
        return all(name in self.policies for name in self.users_of_sets())

    def users_of_sets(self) -> list[str]:
        """Policies with a rule that a changing network set falls under."""
        members = [s.network_sets[n] for n in self.sets for s in (self.old, self.new) if n in s.network_sets]
        names = {**self.old.policies, **self.new.policies}
        return [n for n in names if any(refers_to(s, m.labels) for s in self.specs([n]) for m in members)]

    def _reordered(self, tier: str) -> bool:
        before = self.old.tiers.get(tier)
        return before is not None and before.order != self.new.tiers[tier].order

    def _stands_at_pass(self, tier: str) -> bool:
        before, after = self.old.tiers.get(tier), self.new.tiers.get(tier)
        if before is None:
            return after is not None
        return PASS in (before.default_action, after.default_action if after else DENY)


def _growing(change: _Change) -> list[PolicyStep]:
    new = change.new
    opened = [n for n in change.tiers if n not in change.old.tiers or new.tiers[n].default_action == PASS]
    closed = [n for n in change.tiers if new.tiers[n].default_action != PASS]
    rank = _ranking(new)
    created = sorted(change.policies, key=lambda n: rank(n, new.policies[n]))
    allowing = [n for n in created if _actions(new.policies[n]) <= {"Allow", "Log"}]
    deciding = [n for n in created if n not in allowing]
    return [
        *(PolicyStep(TIER, n, Ranked(new.tiers[n].order, PASS)) for n in opened),
        *(PolicyStep(NETWORK_SET, n, new.network_sets[n]) for n in change.sets),
        *(PolicyStep(POLICY, n, new.policies[n]) for n in (*allowing, *deciding)),
        *(PolicyStep(TIER, n, new.tiers[n]) for n in closed),
    ]


def _backwards(growth: list[PolicyStep], start: PolicyState) -> list[PolicyStep]:
    """Growth undone, write by write, the last first.

    :param start: where the growth would have begun, and its undoing ends
    """
    present: dict[tuple[str, str], Any] = {}
    undone: list[PolicyStep] = []
    for step in growth:
        key = (step.kind, step.name)
        undone.append(replace(step, content=present.get(key, start.content(*key))))
        present[key] = step.content
    return undone[::-1]


def _bridged(change: _Change, set_name: str) -> list[PolicyStep]:
    new = change.new
    covered = dict.fromkeys(change.policies)
    if change.sets:
        covered.update(dict.fromkeys(change.users_of_sets()))
    moving = [n for n in change.tiers if n in change.old.tiers and n in new.tiers]
    if len(moving) > 1:
        both = {**change.old.policies, **new.policies}
        covered.update(dict.fromkeys(n for n, spec in both.items() if _tier(spec) in moving))
    bridges = _bridges(list(change.specs(covered)), set_name)
    rank = _ranking(new)
    kept = sorted((n for n in change.policies if n in new.policies), key=lambda n: rank(n, new.policies[n]))
    gone = [n for n in change.policies if n not in new.policies and n not in bridges]
    return [
        *(PolicyStep(TIER, n, new.tiers[n]) for n in change.tiers if n not in change.old.tiers),
        *(PolicyStep(POLICY, name, spec) for name, spec in bridges.items()),
        *(PolicyStep(NETWORK_SET, n, new.network_sets[n]) for n in change.sets if n in new.network_sets),
        *(PolicyStep(TIER, n, new.tiers[n]) for n in moving),
        *(PolicyStep(POLICY, n, new.policies[n]) for n in kept),
        *(PolicyStep(POLICY, n) for n in gone),
        *(PolicyStep(NETWORK_SET, n) for n in change.sets if n not in new.network_sets),
        *(PolicyStep(POLICY, name) for name in bridges),
        *(PolicyStep(TIER, n) for n in change.tiers if n not in new.tiers),
    ]


def _bridges(specs: list[Wire], set_name: str) -> dict[str, Wire]:
    """A bridge for each tier and class: selects what any of the policies selects, and allows it all."""
    found: dict[str, Wire] = {}
    for tier in sorted({_tier(s) for s in specs}):
        for policy_class in (PRE_DNAT, NORMAL):
            members = [s for s in specs if _tier(s) == tier and _class(s) == policy_class]
            if members:
                name = canonical_name(_bridge_base(set_name, policy_class), tier)
                found[name] = _bridge(tier, policy_class, members)
    return found


def _bridge(tier: str, policy_class: str, members: list[Wire]) -> Wire:
    types = [t for t in (INGRESS, EGRESS) if any(t in s.get("types", (INGRESS, EGRESS)) for s in members)]
    orders = [s["order"] for s in members if s.get("order") is not None]
    spec: Wire = {
        "tier": tier,
        "order": min(orders, default=1) - 1,
        "selector": _union(members),
        "types": types,
        **{t.lower(): [{"action": "Allow"}] for t in types},
    }
    if any(s.get("applyOnForward") for s in members):
        spec["applyOnForward"] = True
    if policy_class == PRE_DNAT:
        spec["preDNAT"] = True
    return spec


def _union(members: list[Wire]) -> str:
    """A selector for all that any of the policies selects, or for more."""
    texts = []
    for spec in members:
        if spec.get("namespaceSelector") or spec.get("serviceAccountSelector"):
            # Joined with them, Calico rewrites the selector itself; no plain union is safe.
            return "all()"
        text = str(spec.get("selector") or "all()")
        try:
            texts.append(str(selectors.parse(text)))
        except BadInput:
            continue  # Felix drops such a policy: it selects nothing
    unique = list(dict.fromkeys(texts)) or ["!all()"]
    if "all()" in unique:
        return "all()"
    return unique[0] if len(unique) == 1 else " || ".join(f"({text})" for text in unique)


def _bridge_base(set_name: str, policy_class: str) -> str:
    return f"{set_name}{BRIDGE_SUFFIX}" + ("-prednat" if policy_class == PRE_DNAT else "")


def _ranking(state: PolicyState) -> Any:
    """Sort key: the order in which a packet meets policies (felix/calc/policy_sorter.go)."""

    def rank(name: str, spec: Wire) -> tuple[Any, ...]:
        tier = state.tiers.get(_tier(spec))
        return (
            _CLASSES.index(_class(spec)),
            tier is None,
            _finite(tier.order if tier else None),
            _tier(spec),
            _finite(spec.get("order")),
            name,
        )

    return rank


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _tier(spec: Wire) -> str:
    return str(spec.get("tier") or DEFAULT_TIER)


def _class(spec: Wire) -> str:
    if spec.get("doNotTrack"):
        return UNTRACKED
    return PRE_DNAT if spec.get("preDNAT") else NORMAL


def _actions(spec: Wire) -> set[str]:
    return {str(rule.get("action")) for rule in (*spec.get("ingress", ()), *spec.get("egress", ()))}


def refers_to(spec: Wire, labels: Mapping[str, str]) -> bool:
    """Whether a rule of a policy finds a network set with these labels."""
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for side in (rule.get("source") or {}, rule.get("destination") or {}):
            if side.get("namespaceSelector") and not (side.get("selector") or side.get("notSelector")):
                return True
            for text in (side.get("selector"), side.get("notSelector")):
                if text and _matches(text, labels):
                    return True
    return False


def _matches(text: str, labels: Mapping[str, str]) -> bool:
    try:
        return selectors.parse(text).matches(labels)
    except BadInput:
        return False


def _finite(order: Optional[float]) -> float:
    return math.inf if order is None else order
