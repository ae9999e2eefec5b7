# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields of a stored object: what is left out is empty, what no API would hold is refused by its place."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.fields import (
    Notes,
    flag_field,
    list_field,
    mapping_field,
    mappings_field,
    number_field,
    text_field,
)
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.model import (
    MISSING,
    SKIPPED,
    STALE,
)


def flag(mapping: Any, key: str, _place: str) -> bool:
    return flag_field(mapping, key)


@pytest.mark.parametrize(
    ("read", "empty"),
    [
        (text_field, ""),
        (list_field, ()),
        (mapping_field, {}),
        (mappings_field, []),
        (number_field, None),
        (flag, False),
    ],
)
def test_what_is_left_out_or_null_is_empty(read: Callable[..., Any], empty: Any) -> None:
    assert read({}, "key", "spec") == empty
    assert read({"key": None}, "key", "spec") == empty


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (text_field, "a"),
        (list_field, ["a"]),
        (mapping_field, {"a": 1}),
        (number_field, 0),
        (number_field, -1.5),
        (flag, True),
        (flag, False),
    ],
)
def test_what_is_there_is_read(read: Callable[..., Any], value: Any) -> None:
    assert read({"key": value}, "key", "spec") == value


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (text_field, 5),
        (list_field, "a"),
        (list_field, {"a": 1}),
        (mapping_field, ["a"]),
        (number_field, "5"),
        (number_field, True),
        (flag, "true"),
        (flag, 0),
    ],
)
def test_what_is_of_another_kind_is_refused_by_its_place(read: Callable[..., Any], value: Any) -> None:
    with pytest.raises(BadInput) as refused:
        read({"key": value}, "key", "spec")
    assert (refused.value.field, refused.value.value) == ("spec.key", value)


def test_at_the_top_a_field_has_no_dot_before_it() -> None:
    with pytest.raises(BadInput) as refused:
        list_field({"items": 1}, "items", "")
    assert refused.value.field == "items"


def test_mappings_of_a_list_come_with_their_places() -> None:
    assert mappings_field({"rules": [{"a": 1}, None]}, "rules", "spec") == [
        ("spec.rules[0]", {"a": 1}),
        ("spec.rules[1]", {}),
    ]
    with pytest.raises(BadInput) as refused:
        mappings_field({"rules": [{}, "x"]}, "rules", "spec")
    assert refused.value.field == "spec.rules[1]"


@pytest.mark.parametrize(
    ("effects", "keeps"),
    [([], True), ([SKIPPED], True), ([SKIPPED, MISSING], False), ([STALE], False)],
)
def test_an_object_is_kept_where_only_values_are_left_out(effects: list[str], keeps: bool) -> None:
    notes = Notes()
    for effect in effects:
        notes.add("spec.a", 1, effect, "why")
    assert notes.keeps_object() is keeps
    assert [found.effect for found in notes.found] == effects
