# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Node object, and others with a status, say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROL_PLANE_LABELS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def is_control_plane(item: Mapping[str, Any]) -> bool:
    """Whether a Node object is one of the control plane's."""
    labels = (item.get("metadata") or {}).get("labels") or {}
    return any(label in labels for label in CONTROL_PLANE_LABELS)


def is_true(item: Mapping[str, Any], condition: str) -> bool:
    """Whether a Node, a pod or a Job says that a condition of its status holds, ``Ready`` for example."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return any(c.get("type") == condition and c.get("status") == "True" for c in conditions)
