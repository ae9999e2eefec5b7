# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long kube-controllers is waited for, on a clock that the test turns."""

from __future__ import annotations

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import auto_host_endpoints
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.auto_host_endpoints import _Patience


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(auto_host_endpoints, "time", clock)
    return clock


def waited(clock, patience, looks):
    """Seconds until patience was spent; ``looks`` gives (left, made) for the time since the start."""
    start = clock.now
    while not patience.spent(*looks(clock.now - start)):
        if clock.now - start > 10_000:
            return None
    return clock.now - start


def test_without_progress_it_waits_as_long_as_it_is_told(clock):
    assert waited(clock, _Patience(120), lambda _: (3, 0)) == pytest.approx(120)


def test_it_looks_again_soon_at_first_and_ever_more_rarely(clock):
    waited(clock, _Patience(120), lambda _: (3, 0))
    assert clock.pauses[0] == 0.5
    assert max(clock.pauses) == 5.0
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])


def test_it_does_not_give_up_while_less_is_left(clock):
    # One in eight seconds, with ten seconds of patience: 100 take 800 s, and then nothing moves.
    ended = waited(clock, _Patience(10), lambda t: (max(100 - int(t / 8), 5), 0))
    assert 95 * 8 + 10 <= ended <= 95 * 8 + 20


def test_it_does_not_give_up_while_nodes_join_faster_than_they_are_served(clock):
    ended = waited(clock, _Patience(10), lambda t: (100 + int(min(t, 500)), int(min(t, 500) / 4)))
    assert 510 <= ended <= 520


def test_going_back_and_forth_is_no_progress(clock):
    assert waited(clock, _Patience(10), lambda t: (3 + int(t) % 2, 5 - int(t) % 2)) <= 20
