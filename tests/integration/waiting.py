# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits for what comes about by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(seen: Callable[[], bool], seconds: float, what: str = "") -> float:
    """Wait until something is so; returns the seconds that it took."""
    begun = time.monotonic()
    while not seen():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun
