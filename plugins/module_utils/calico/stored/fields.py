# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields of a stored object, read leniently, and the notes about what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ..bad_input import BadInput
from .model import SKIPPED, Misreading

Raw = Mapping[str, Any]


class Notes:
    """Misreadings of one object while it is read."""

    def __init__(self) -> None:
        self.found: list[Misreading] = []

    def add(self, place: str, value: object, effect: str, meaning: str) -> None:
        self.found.append(Misreading(place, value, effect, meaning))

    def keeps_object(self) -> bool:
        return all(found.effect == SKIPPED for found in self.found)


def text_field(mapping: Raw, key: str, place: str) -> str:
    value = mapping.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"{place}.{key}", value, "a text")
    return value


def list_field(mapping: Raw, key: str, place: str) -> Sequence[Any]:
    value = mapping.get(key)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise BadInput(_at(place, key), value, "a list")
    return value


def _at(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def mapping_field(mapping: Raw, key: str, place: str) -> Raw:
    value = mapping.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInput(_at(place, key), value, "a mapping")
    return value


def mappings_field(mapping: Raw, key: str, place: str) -> list[tuple[str, Raw]]:
    """The mappings of a list, each with its place."""
    entries = []
    for index, entry in enumerate(list_field(mapping, key, place)):
        where = f"{_at(place, key)}[{index}]"
        if entry is not None and not isinstance(entry, Mapping):
            raise BadInput(where, entry, "a mapping")
        entries.append((where, entry or {}))
    return entries


def number_field(mapping: Raw, key: str, place: str) -> Optional[float]:
    value = mapping.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput(f"{place}.{key}", value, "a number")
    return float(value)


def flag_field(spec: Raw, key: str) -> bool:
    value = spec.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadInput(f"spec.{key}", value, "true or false")
    return value
