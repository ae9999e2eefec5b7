# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mapping or nothing is read in one place."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.mapping import mapping_of

UTILITIES = Path(__file__).parents[3] / "plugins" / "module_utils"


@pytest.mark.parametrize("value", [{"a": 1}, {}, MappingProxyType({"a": 1})], ids=repr)
def test_a_mapping_is_given_back_as_it_is(value: Any) -> None:
    assert mapping_of(value) is value


@pytest.mark.parametrize("value", [None, "", "text", 0, 5, [], [("a", 1)], ["a"]], ids=repr)
def test_all_else_is_an_empty_one(value: Any) -> None:
    assert mapping_of(value) == {}


def test_no_other_file_decides_it_on_its_own() -> None:
    own = re.compile(r"if isinstance\(.*, (?:Mapping|dict)\) else \{\}")
    assert [path.name for path in UTILITIES.rglob("*.py") if own.search(path.read_text())] == ["mapping.py"]
