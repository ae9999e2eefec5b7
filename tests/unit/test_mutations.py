# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The list of protections that ``tests/run mutations`` switches off fits the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.protections import PROTECTIONS, Protection

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda protection: protection.name)
def test_every_protection_is_where_it_is_said_to_be(protection: Protection) -> None:
    text = (ROOT / protection.path).read_text(encoding="utf-8")
    assert text.count(protection.there) == 1
    file, _colons, name = protection.test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
