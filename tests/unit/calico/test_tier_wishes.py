# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each policy set wants at the end of a tier."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.tier_wishes import (
    DENY_ONCE_ENFORCED,
    is_denying_once_enforced,
    wishes,
    without_wishes,
)

from tests.unit import builders
from tests.unit.builders import Object

NOTE = {"example.com/note": "x"}


def tier(**wanted: str) -> Object:
    kept = {f"sets.hostfence.io/{name}": end for name, end in wanted.items()}
    return builders.resource("Tier", "t", annotations={**kept, **NOTE}, order=1)


def test_each_set_that_uses_a_tier_has_its_wish_there() -> None:
    assert wishes(tier(edge="Deny", ssh="Pass")) == {"edge": "Deny", "ssh": "Pass"}
    assert wishes(builders.tier("t")) == {}


@pytest.mark.parametrize("metadata", [None, "t", {}, {"annotations": None}, {"annotations": ["a"]}])
def test_a_tier_of_another_form_holds_none(metadata: Any) -> None:
    assert wishes({"metadata": metadata}) == {}


@pytest.mark.parametrize(
    ("wanted", "denies"),
    [
        ({"a": "Deny"}, False),
        ({"a": "Pass"}, False),
        ({"a": "Pass", "b": DENY_ONCE_ENFORCED}, True),
        ({}, False),
    ],
)
def test_whether_a_tier_is_to_end_in_deny_later(wanted: dict[str, str], denies: bool) -> None:
    assert is_denying_once_enforced(tier(**wanted)) is denies


def test_a_tier_without_its_wishes_keeps_what_others_wrote() -> None:
    stored = tier(edge="Deny")
    assert without_wishes(stored) == {**stored, "metadata": {"name": "t", "annotations": NOTE}}
    assert wishes(stored) == {"edge": "Deny"}, "the stored one is as it was"
