# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many writes at once, each with its own outcome."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Callable, Generic, TypeVar

from .client import CONCURRENCY, ClusterError, NoAnswer

T = TypeVar("T")


@dataclass(frozen=True)
class WriteOutcome(Generic[T]):
    """What became of one write.

    :ivar error: why it was not done, or empty
    """

    item: T
    error: str = ""

    @property
    def done(self) -> bool:
        return not self.error


def write_all(items: Iterable[T], write: Callable[[T], object]) -> list[WriteOutcome[T]]:
    """Write every item over the client's parallel connections; one that is refused does not stop the others.

    Once the server no longer answers, the rest is not tried: thousands of items would each wait for it.

    :param write: performs one write; raises ClusterError when it cannot
    :returns: one outcome an item, in the order given
    """
    silent = Event()

    def attempt(item: T) -> WriteOutcome[T]:
        if silent.is_set():
            return WriteOutcome(item, "not tried, because the API server no longer answered")
        try:
            write(item)
        except NoAnswer as error:
            silent.set()
            return WriteOutcome(item, str(error))
        except ClusterError as error:
            return WriteOutcome(item, str(error))
        return WriteOutcome(item)

    # A future for each item would wake the caller thousands of times, a fifth of the processor's time.
    waiting = deque(enumerate(items))
    outcomes: dict[int, WriteOutcome[T]] = {}

    def write_waiting() -> None:
        while True:
            try:
                index, item = waiting.popleft()
            except IndexError:
                return
            outcomes[index] = attempt(item)

    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        for worker in [pool.submit(write_waiting) for _each in range(min(CONCURRENCY, len(waiting)))]:
            worker.result()
    return [outcomes[index] for index in sorted(outcomes)]
