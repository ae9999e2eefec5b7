# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who else writes what a transaction changes, by the field managers that the API server keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..host_endpoint import FIELD_MANAGER

_SHOWN = 3


def others(obj: Mapping[str, Any]) -> list[str]:
    """Managers apart from Hostfence that wrote fields of an object's spec."""
    managers = (
        str(entry.get("manager") or "")
        for entry in obj["metadata"].get("managedFields") or ()
        if "f:spec" in (entry.get("fieldsV1") or {}) and not entry.get("subresource")
    )
    return sorted({name for name in managers if name and name != FIELD_MANAGER})


def remark(objects: Iterable[Mapping[str, Any]]) -> str:
    """What is to be said of objects that others write, too; empty if nobody does.

    :param objects: those that change, as stored, each with ``kind``
    """
    found = [(f"{obj['kind']} {obj['metadata']['name']}", others(obj)) for obj in objects]
    shared = [f"{name} (by {', '.join(managers)})" for name, managers in found if managers]
    if not shared:
        return ""
    more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
    return (
        f"others write what this changes, too: {', '.join(shared[:_SHOWN])}{more}. A GitOps controller takes "
        "the change back: take these objects out of its repository first"
    )
