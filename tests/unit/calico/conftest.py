# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests of generated cases share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def counted(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[list[object]]:
    """What was tried; how many is printed."""
    tried: list[object] = []
    yield tried
    assert len(tried) > 1
    with capsys.disabled():
        print(f"\n{len(tried)} of {len(tried)}: {request.node.name[len('test_') :]}")
