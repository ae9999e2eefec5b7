# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking again while the API server does not answer, for a bounded time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Callable, TypeVar

from .client import ApiError, ClusterError, NoAnswer

T = TypeVar("T")

_SHORTEST, _LONGEST = 0.5, 5.0
# Of a server that is up and cannot do it now: overloaded, starting, or without its own storage.
_LATER = (429, 500, 502, 503, 504)


class Patience:
    """For how long one run goes on asking, whatever it asks for.

    :param seconds: from the first request that was not answered
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked_again = 0
        self._until: float | None = None

    def persist(self, ask: Callable[[], T]) -> T:
        """What it returns, asked again until there is an answer or the time is over.

        :param ask: can be done twice
        :raises ClusterError: another answer than that it is not possible now, or none in all the time
        """
        for pause in pauses():
            try:
                found = ask()
            except ClusterError as error:
                if not is_passing(error) or not self._waits(pause):
                    raise
            else:
                self._until = None
                return found
        raise AssertionError("unreachable")

    def _waits(self, pause: float) -> bool:
        now = time.monotonic()
        if self._until is None:
            self._until = now + self.seconds
        if now + pause > self._until:
            return False
        self.asked_again += 1
        time.sleep(pause)
        return True


def pauses() -> Iterator[float]:
    """Seconds between two tries: growing, and never the same for two runs that lost the server together."""
    pause = _SHORTEST
    while True:
        yield random.uniform(pause / 2, pause)
        pause = min(pause * 2, _LONGEST)


def is_passing(error: ClusterError) -> bool:
    """Whether the same request may succeed a moment later."""
    return isinstance(error, NoAnswer) or (isinstance(error, ApiError) and error.status in _LATER)
