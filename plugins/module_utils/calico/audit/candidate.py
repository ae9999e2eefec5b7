# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies that are in no cluster yet, put beside a cluster's objects as if they were staged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..policy.definition import DEFAULT_TIER, canonical_name

_ENFORCED, _STAGED = "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy"
_REPLACED = frozenset({"Tier", "GlobalNetworkSet"})
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
    tiers = {_name(item) for item in (*kept, *given) if item.get("kind") == "Tier"}
    wanted = {str((item.get("spec") or {}).get("tier") or DEFAULT_TIER) for item in given if _is_policy(item)}
    missing = sorted(wanted - tiers - {DEFAULT_TIER})
    return [*kept, *given, *(_tier(name) for name in missing)]


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
