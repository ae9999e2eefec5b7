# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who reads objects as they are stored, and who reads a set's files, take the same items out of a list."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.mixed import sort_out
from ansible_collections.hostfence.calico.plugins.module_utils.calico.policy.reader import Document
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.items import items_of
from ansible_collections.hostfence.calico.plugins.module_utils.calico.stored.reader import opened

from tests.unit.builders import V3

NAMED = {"metadata": {"name": "t"}, "spec": {"order": 5}}
LISTED: dict[str, Any] = {"apiVersion": V3, "kind": "TierList"}


def test_an_item_of_one_kinds_list_inherits_kind_and_version() -> None:
    assert items_of({**LISTED, "items": [NAMED]}) == [{"apiVersion": V3, "kind": "Tier", **NAMED}]


def test_what_an_item_says_of_itself_stays() -> None:
    own = {"apiVersion": "v1", "kind": "Node", **NAMED}
    assert items_of({**LISTED, "items": [own]}) == [own]


def test_a_plain_list_gives_nothing_to_its_items() -> None:
    assert items_of({"apiVersion": "v1", "kind": "List", "items": [NAMED, 5, None]}) == [NAMED, 5, None]


def test_what_is_no_object_stays_in_for_its_reader_to_refuse() -> None:
    assert items_of({**LISTED, "items": [5, None]}) == [5, None]


@pytest.mark.parametrize("items", [[], None])
def test_an_empty_list_has_no_items(items: Any) -> None:
    assert items_of({**LISTED, "items": items}) == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        [NAMED],
        {"kind": "Tier", "items": [NAMED]},
        {"kind": None, "items": [NAMED]},
        {"items": [NAMED]},
        LISTED,
        {**LISTED, "items": {"a": 1}},
        {**LISTED, "items": "text"},
    ],
    ids=str,
)
def test_all_else_is_no_list(value: Any) -> None:
    assert items_of(value) is None


def test_both_readers_take_the_same_items() -> None:
    tiers = {**LISTED, "items": [NAMED, {"apiVersion": V3, "kind": "Tier", "metadata": {"name": "u"}}]}
    within = {"apiVersion": "v1", "kind": "List", "items": [tiers]}
    found = sort_out([Document(within, "all.yaml")], strict=True)
    assert [document.value for document in found.documents] == opened([within])
