# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The items of lists, as the API and kubectl give them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

_LIST = "List"


def items_of(value: object) -> Optional[list[object]]:
    """The items of a list, or None where the value is no list.

    Of a list of one kind (``TierList``) the API leaves kind and version out of each item; an item that says
    its own keeps it.
    """
    if not isinstance(value, Mapping):
        return None
    kind, items = value.get("kind"), value.get("items", ...) or []
    if not isinstance(kind, str) or not kind.endswith(_LIST) or not isinstance(items, list):
        return None
    if kind == _LIST:
        return list(items)
    inherited = {"apiVersion": value.get("apiVersion"), "kind": kind[: -len(_LIST)]}
    return [{**inherited, **item} if isinstance(item, Mapping) else item for item in items]
