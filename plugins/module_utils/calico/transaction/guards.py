# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies that make one tier, or the one before it, decide: the guards of a switch.

A guard selects exactly what the policies behind it select, direction by direction and class by class. A wider
one would switch a tier on for endpoints that no policy of it selects, and the tier's end would deny there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import selector as selectors
from ..bad_input import BadInput
from ..policy.names import EGRESS, INGRESS
from .state import Wave, switch_selector

Spec = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """Endpoints, directions and class that a group of policies has in common."""

    selector: str
    namespace_selector: str
    account_selector: str
    types: tuple[str, ...]
    pre_dnat: bool
    forward: bool


def selections(specs: Iterable[Spec]) -> list[Selection]:
    """What policies select, each class and each combination of directions once."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for spec in specs:
        text = str(spec.get("selector") or "all()")
        try:
            selectors.parse(text)
        except BadInput:
            continue  # Felix takes such a policy for missing
        key = (
            str(spec.get("namespaceSelector") or ""),
            str(spec.get("serviceAccountSelector") or ""),
            _types(spec),
            bool(spec.get("preDNAT")),
            bool(spec.get("applyOnForward")),
        )
        groups.setdefault(key, []).append(text)
    return [Selection(_union(texts), *key) for key, texts in sorted(groups.items())]


def guard(selection: Selection, wave: Wave, number: int, tier: str, order: float, *, when_on: bool) -> Spec:
    """The spec of a guard that lets everything pass the tier, while the switch is on or while it is off."""
    side = {"notSelector" if when_on else "selector": switch_selector(number)}
    rules = {
        INGRESS: {"ingress": [{"action": "Pass", "source": side}]},
        EGRESS: {"egress": [{"action": "Pass", "destination": side}]},
    }
    spec: Spec = {
        "tier": tier,
        "order": order,
        "selector": _in_wave(selection.selector, wave.selector),
        "types": list(selection.types),
    }
    for direction in selection.types:
        spec.update(rules[direction])
    if selection.namespace_selector:
        spec["namespaceSelector"] = selection.namespace_selector
    if selection.account_selector:
        spec["serviceAccountSelector"] = selection.account_selector
    if selection.forward:
        spec["applyOnForward"] = True
    if selection.pre_dnat:
        spec["preDNAT"] = True
    return spec


def first_order(specs: Sequence[Spec]) -> float:
    """An order before all policies of a tier."""
    orders = [float(spec["order"]) for spec in specs if spec.get("order") is not None]
    return min(orders, default=1.0) - 1


def _types(spec: Spec) -> tuple[str, ...]:
    """The directions that Felix takes a stored policy to govern (felix/calc/policy_sorter.go)."""
    if spec.get("preDNAT"):
        return (INGRESS,)
    given = {str(entry).lower() for entry in spec.get("types") or ()}
    if not given:
        return (INGRESS, EGRESS)
    return tuple(direction for direction in (INGRESS, EGRESS) if direction.lower() in given)


def _union(texts: Sequence[str]) -> str:
    unique = sorted(set(texts))
    if "all()" in unique:
        return "all()"
    return unique[0] if len(unique) == 1 else " || ".join(f"({text})" for text in unique)


def _in_wave(selector: str, wave: str) -> str:
    if not wave:
        return selector
    return wave if selector == "all()" else f"({selector}) && ({wave})"
