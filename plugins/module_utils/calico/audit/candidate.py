# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster's objects once a candidate is enforced: what is staged, a directory of files, or a plan's writes.

The candidate's policies are among them as staged ones, which are then judged as enforced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..policy.definition import normal_spec
from ..policy.names import DEFAULT_TIER, canonical_name
from ..tier_wishes import without_wishes

_ENFORCED, _STAGED = "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy"
_TIER = "Tier"
_REPLACED = frozenset({_TIER, "GlobalNetworkSet"})
_API_VERSION = "projectcalico.org/v3"


def with_candidate(
    objects: Iterable[Mapping[str, Any]], candidate: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The objects with a candidate in them.

    Its policies are staged, whatever the files say; its tiers and network sets take the place of those of
    the same name.
    """
    given = [_staged(item) for item in candidate]
    named = {_identity(item) for item in given}
    kept = [item for item in objects if _identity(item) not in named]
    tiers = {_name(item) for item in (*kept, *given) if item.get("kind") == _TIER}
    wanted = {str((item.get("spec") or {}).get("tier") or DEFAULT_TIER) for item in given if _is_policy(item)}
    missing = sorted(wanted - tiers - {DEFAULT_TIER})
    return [*kept, *given, *(_tier(name) for name in missing)]


def with_writes(
    objects: Iterable[Mapping[str, Any]], writes: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The objects once writes are done: nothing else that is staged is taken for enforced.

    A tier ends as its own defaultAction says then: what a set that stays staged wants is left out.

    :param writes: each with ``kind``, ``name`` as stored and the whole ``object``, None where it is deleted
    """
    after = {
        (str(item.get("kind")), _name(item), str((item.get("metadata") or {}).get("namespace") or "")): (
            without_wishes(item) if item.get("kind") == _TIER else item
        )
        for item in objects
        if not str(item.get("kind")).startswith("Staged")
    }
    staged: dict[str, Mapping[str, Any]] = {}
    # What is only for the way is created and deleted: the last write of an object counts.
    last = {(str(write["kind"]), str(write["name"])): write["object"] for write in writes}
    for (kind, name), wanted in last.items():
        live = after.get((kind, name, ""))
        if kind == _ENFORCED and (wanted or live):
            action = "Set" if wanted else "Delete"
            changed = _staged({**(live or {}), **(wanted or {}), "kind": kind})
            staged[name] = {**changed, "spec": {**(changed.get("spec") or {}), "stagedAction": action}}
        elif kind in _REPLACED and wanted:
            after[kind, name, ""] = without_wishes({**(live or {}), **wanted, "kind": kind})
        elif kind in _REPLACED:
            after.pop((kind, name, ""), None)
    return [*after.values(), *staged.values()]


def is_change(objects: Iterable[Mapping[str, Any]], then: Iterable[Mapping[str, Any]]) -> bool:
    """Whether what is enforced changes: policies of the candidate, an order, an end, or a network set."""
    after = list(then)
    if any(item.get("kind") == _STAGED for item in after):
        return True
    before, now = _beside_policies(objects), _beside_policies(after)
    # A tier that comes or goes has no policies that decide.
    kept = before.keys() & now.keys()
    sets = {key for key in before.keys() ^ now.keys() if key[0] != _TIER}
    return bool(sets) or any(before[key] != now[key] for key in kept)


def _beside_policies(objects: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], object]:
    return {
        (str(item.get("kind")), _name(item)): (
            normal_spec(item.get("spec") or {}),
            (item.get("metadata") or {}).get("labels") if item.get("kind") != _TIER else None,
        )
        for item in objects
        if item.get("kind") in _REPLACED
    }


def _staged(item: Mapping[str, Any]) -> Mapping[str, Any]:
    if item.get("kind") not in (_ENFORCED, _STAGED):
        return item
    tier = str((item.get("spec") or {}).get("tier") or DEFAULT_TIER)
    metadata = {**(item.get("metadata") or {}), "name": canonical_name(_name(item), tier)}
    return {**item, "kind": _STAGED, "metadata": metadata}


def _is_policy(item: Mapping[str, Any]) -> bool:
    return item.get("kind") == _STAGED


def _name(item: Mapping[str, Any]) -> str:
    return str((item.get("metadata") or {}).get("name") or "")


def _identity(item: Mapping[str, Any]) -> tuple[str, str]:
    kind = str(item.get("kind"))
    return (kind, _name(item)) if kind == _STAGED or kind in _REPLACED else (kind, f"{id(item)}")


def _tier(name: str) -> Mapping[str, Any]:
    """A tier that the candidate names and nobody defines: as role policies makes it, after all others."""
    return {"apiVersion": _API_VERSION, "kind": "Tier", "metadata": {"name": name}, "spec": {}}
