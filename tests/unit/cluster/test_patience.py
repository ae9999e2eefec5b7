# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking again while the API server does not answer."""

from __future__ import annotations

from itertools import islice

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.cluster import patience
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.client import (
    ApiError,
    ClusterError,
    NoAnswer,
)
from ansible_collections.hostfence.calico.plugins.module_utils.cluster.patience import (
    Patience,
    is_passing,
    pauses,
)


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(patience, "time", found)
    return found


class Server:
    """Gives no answer until a time."""

    def __init__(self, clock: Clock, until: float, error: ClusterError) -> None:
        self.clock, self.until, self.error = clock, until, error

    def ask(self) -> str:
        if self.clock.now < self.until:
            raise self.error
        return "answer"


def refusal(status: int) -> ApiError:
    return ApiError(status, "", "", "GET", "/")


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (NoAnswer("down"), True),
        *((refusal(status), True) for status in (429, 500, 502, 503, 504)),
        *((refusal(status), False) for status in (400, 401, 403, 404, 409, 422)),
        (ClusterError("not an API server"), False),
    ],
    ids=str,
)
def test_what_may_pass_is_asked_again_and_a_refusal_is_not(
    clock: Clock, error: ClusterError, passing: bool
) -> None:
    assert is_passing(error) is passing
    server = Server(clock, 3, error)
    if passing:
        assert Patience(30).persist(server.ask) == "answer"
        return
    with pytest.raises(ClusterError):
        Patience(30).persist(server.ask)
    assert clock.now == 0


def test_it_ends_with_the_last_error_once_the_time_is_over(clock: Clock) -> None:
    found = Patience(10)
    with pytest.raises(NoAnswer):
        found.persist(Server(clock, 1000, NoAnswer("down")).ask)
    assert 5 <= clock.now <= 10
    assert found.asked_again > 2


def test_an_answer_ends_the_time_that_has_run(clock: Clock) -> None:
    found = Patience(10)
    for _outage in range(3):
        assert found.persist(Server(clock, clock.now + 4.5, NoAnswer("down")).ask) == "answer"
    assert clock.now > 13


def test_without_patience_nothing_is_asked_twice(clock: Clock) -> None:
    with pytest.raises(NoAnswer):
        Patience(0).persist(Server(clock, 1, NoAnswer("down")).ask)
    assert clock.now == 0


def test_pauses_grow_to_a_bound() -> None:
    found = list(islice(pauses(), 40))
    assert 0.25 <= found[0] <= 0.5
    assert max(found) <= 5
    assert min(found[10:]) >= 2.5
