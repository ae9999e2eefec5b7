# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durations of windows."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.audit.duration import in_words, seconds
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput


@pytest.mark.parametrize(
    ("given", "expected"),
    [("10m", 600), ("1d12h", 129_600), ("2w", 1_209_600), ("90s", 90), ("86400", 86_400), (0, 0), ("0s", 0)],
)
def test_what_people_write(given: object, expected: int) -> None:
    assert seconds(given, "window") == expected
    assert seconds(in_words(expected), "window") == expected


@pytest.mark.parametrize(
    "given", ["", "m", "10 m", "10M", "5m1h", "-1", -1, True, 1.5, None, [], "1e9", "٣m"]
)
def test_what_is_no_duration(given: object) -> None:
    with pytest.raises(BadInput, match="window"):
        seconds(given, "window")
