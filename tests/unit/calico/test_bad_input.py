# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Input that is refused: one line that names source, field, value and remedy."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput


def test_the_message_names_source_field_value_and_remedy() -> None:
    assert str(BadInput("spec.order", "x", "a number", "a.yml")) == "a.yml: spec.order: 'x': a number"
    assert str(BadInput("spec.order", None, "a number")) == "spec.order: None: a number"


def test_the_message_is_one_line_whatever_a_source_or_a_value_holds() -> None:
    said = str(BadInput("spec.order", "a\nb", "a number", "Tier a\nb"))
    assert said.splitlines() == [said]


@pytest.mark.parametrize(
    ("field", "prefix", "whole"),
    [("order", "spec", "spec.order"), ("order", "", "order"), ("", "spec", "spec"), ("", "", "")],
)
def test_seen_from_outside_a_field_has_the_outer_one_before_it(field: str, prefix: str, whole: str) -> None:
    found = BadInput(field, 1, "r").within(prefix)
    assert (found.field, found.value, found.remedy, found.source) == (whole, 1, "r", "")


def test_the_source_that_was_named_first_stays() -> None:
    inner = BadInput("order", 1, "r").within("spec", "a.yml")
    assert (inner.source, inner.within("x", "b.yml").source) == ("a.yml", "a.yml")
