# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which policy sets a cluster has, and who else decides about its hosts: for whoever looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..stored import reader
from ..stored.difference import differences
from ..tier_wishes import wishes
from . import planner
from .names import POLICY, STAGED_POLICY, TIER
from .planner import Inventory, Live, Object
from .transition import is_bridge


def sets(inventory: Inventory, unproved: Mapping[str, str]) -> list[dict[str, Any]]:
    """The sets by name; the shape is that of ``sets`` of the module policies_info.

    :param unproved: since when and by whom sets are enforced without a proof, by their names
    """
    wished = {name for tier in _tiers(inventory) for name in wishes(tier.stored)}
    names = {o.set_name for o in inventory.objects} | wished
    open_questions = still_unproved(inventory, unproved)
    return [
        {**_set(inventory, name), "unproved": open_questions.get(name, "")} for name in sorted(names - {""})
    ]


def still_unproved(inventory: Inventory, unproved: Mapping[str, str]) -> dict[str, str]:
    """Of what was noted as unproved, the sets that are enforced now."""
    return {
        name: text
        for name, text in sorted(unproved.items())
        if any(o.enforces for o in inventory.of_set(name))
    }


def tiers(inventory: Inventory) -> list[dict[str, Any]]:
    """All tiers: ``name``, ``order``, ``default_action``, and whether they are ``ours``."""
    return [
        {
            "name": tier.name,
            "order": tier.spec.get("order"),
            "default_action": tier.spec.get("defaultAction", "Deny"),
            "ours": tier.ours,
        }
        for tier in _tiers(inventory)
    ]


def foreign(inventory: Inventory, host_endpoints: Iterable[Object]) -> list[dict[str, Any]]:
    """Enforced global policies of others that select at least one HostEndpoint, and how many each selects.

    :param host_endpoints: as stored
    """
    others = {o.stored_name: o for o in inventory.objects if o.kind == POLICY and not o.ours}
    typed = [_typed(inventory, "HostEndpoint", hep) for hep in host_endpoints]
    typed += [_typed(inventory, POLICY, o.stored) for o in others.values()]
    store = reader.read(typed)
    found = []
    for policy in store.policies:
        selected = sum(policy.selector.matches(hep.labels) for hep in store.host_endpoints)
        if selected:
            name = policy.ref.stored_name or policy.ref.name
            found.append(
                {"name": name, "tier": policy.tier, "order": policy.order, "host_endpoints": selected}
            )
    return found


def pending(inventory: Inventory, *, native: bool) -> list[dict[str, Any]]:
    """In what the state differs in which every staged policy of a set is enforced.

    :param native: whether Calico's v3 kinds are stored as they are
    """
    before, after = planner.once_enforced(inventory)
    return [change.as_dict() for change in differences(before, after, native=native)]


def _tiers(inventory: Inventory) -> list[Live]:
    return [o for o in inventory.objects if o.kind == TIER]


def _set(inventory: Inventory, name: str) -> dict[str, Any]:
    objects = inventory.of_set(name)
    wants = [(t.name, wishes(t.stored).get(name)) for t in _tiers(inventory) if not t.is_copy]
    return {
        "name": name,
        "state": _state([o for o in objects if not is_bridge(o.name, name)]),
        "objects": [{"kind": o.kind, "name": o.stored_name} for o in objects],
        "definitions": planner.restore_options(inventory, name)["definitions"],
        "tiers": [{"name": tier, "wants": wish} for tier, wish in wants if wish],
        "left_out": list(planner.left_out(inventory, name)),
        "bridges": [o.stored_name for o in objects if o.kind == POLICY and is_bridge(o.name, name)],
    }


def _state(objects: Sequence[Live]) -> str:
    enforced = any(o.enforces for o in objects)
    audited = any(o.is_copy for o in objects)
    staged = any(o.kind == STAGED_POLICY for o in objects)
    if enforced and (staged or audited):
        return "mixed"
    if enforced or audited:
        return planner.ENFORCED if enforced else planner.AUDITED
    return planner.STAGED if staged else "not stored"


def _typed(inventory: Inventory, kind: str, obj: Object) -> Object:
    return {**obj, "apiVersion": inventory.api_version, "kind": kind}
