# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each policy set wants at the end of a tier, as annotations of the tier say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "sets.hostfence.io/"
"""Begins one annotation for each policy set that uses the tier: the defaultAction that the set wants."""
DENY_ONCE_ENFORCED = "DenyOnceEnforced"
"""What a set wishes that is not enforced yet, of a tier that is to end in Deny then. It counts as Pass."""


def wishes(tier: Mapping[str, Any]) -> dict[str, str]:
    """Which sets use a stored tier, and what each wants at its end."""
    metadata = tier.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    if not isinstance(annotations, Mapping):
        return {}
    return {k[len(PREFIX) :]: str(v) for k, v in annotations.items() if str(k).startswith(PREFIX)}


def is_denying_once_enforced(tier: Mapping[str, Any]) -> bool:
    """Whether a stored tier ends in Deny once the sets are enforced that are staged in it now."""
    return DENY_ONCE_ENFORCED in wishes(tier).values()


def without_wishes(tier: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tier as its own end says, whatever is staged in it."""
    if not wishes(tier):
        return tier
    metadata = tier["metadata"]
    kept = {k: v for k, v in metadata["annotations"].items() if not str(k).startswith(PREFIX)}
    return {**tier, "metadata": {**metadata, "annotations": kept}}
