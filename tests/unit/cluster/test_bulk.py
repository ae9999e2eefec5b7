# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many writes, each with its own outcome."""

from __future__ import annotations

import threading
import time

from ansible_collections.hostfence.calico.plugins.module_utils.cluster.bulk import WriteOutcome, write_all
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import (
    CONCURRENCY,
    ClusterError,
    NoAnswer,
)


def test_outcomes_come_in_the_order_of_the_items_and_a_refusal_stops_no_other() -> None:
    def write(number: int) -> None:
        time.sleep(0.001 * (number % 3))
        if number == 7:
            raise ClusterError("refused")

    outcomes = write_all(range(50), write)
    assert [outcome.item for outcome in outcomes] == list(range(50))
    assert [outcome for outcome in outcomes if not outcome.done] == [WriteOutcome(7, "refused")]


def test_once_the_server_is_silent_the_rest_is_not_tried() -> None:
    tried = []

    def write(number: int) -> None:
        tried.append(number)
        raise NoAnswer("no answer")

    outcomes = write_all(range(1000), write)
    assert len(tried) <= CONCURRENCY
    assert not any(outcome.done for outcome in outcomes)
    assert "not tried" in outcomes[-1].error


def test_several_are_on_their_way_at_once() -> None:
    together = threading.Barrier(CONCURRENCY, timeout=20)
    assert all(outcome.done for outcome in write_all(range(CONCURRENCY), lambda _item: together.wait()))


def test_nothing_to_write_is_no_outcome() -> None:
    assert write_all([], lambda _item: None) == []
