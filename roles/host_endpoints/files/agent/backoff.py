# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long to wait before trying again."""

from __future__ import annotations

import random


class Backoff:
    """Full jitter: any time between none and a limit that doubles with every try.

    After an outage the agents of all nodes try again, and must not do so at the same moment.

    :param first: limit of the first wait, in seconds
    :param longest: limit that no wait exceeds, in seconds
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._tries = 0

    def next(self, at_least: float = 0) -> float:
        """Seconds to wait this time.

        :param at_least: what the server asked for (Retry-After); the jitter comes on top
        """
        limit = min(self._longest, self._first * 2 ** min(self._tries, 16))
        self._tries += 1
        return at_least + random.uniform(0, limit)

    def reset(self) -> None:
        """All is well again: the next wait is short."""
        self._tries = 0
