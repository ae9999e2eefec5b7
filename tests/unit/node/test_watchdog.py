# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a watchdog switches back: by its own clock, whatever the wall's says."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node.watchdog import Watch, way_back

WINDOW = 120
WALL = 1_800_000_000.0


def switch(phase: str, nets: bool, arming: str = "a1", deadline: Optional[float] = None) -> dict[str, Any]:
    noted = {
        "hostfence.io/phase": phase,
        "hostfence.io/arming": arming,
        "hostfence.io/window": str(WINDOW),
        "hostfence.io/deadline": str(WALL + WINDOW if deadline is None else deadline),
    }
    return {"metadata": {"annotations": noted}, "spec": {"nets": ["0.0.0.0/0", "::/0"]} if nets else {}}


def due(watch: Watch, obj: dict[str, Any], now: float, wall: float) -> bool:
    watch.look(obj, now, wall)
    return watch.due(obj, now)


@pytest.mark.parametrize("jump", [0, -86400, 86400, 3600])
def test_a_clock_that_jumps_changes_nothing_for_one_that_saw_the_arming(jump: float) -> None:
    watch = Watch("x")
    assert not due(watch, switch("armed", True), 0, WALL)
    assert not due(watch, switch("switched", False), 1, WALL + jump)
    assert not due(watch, switch("switched", False), WINDOW, WALL + jump)
    assert due(watch, switch("switched", False), WINDOW + 1, WALL + jump)


@pytest.mark.parametrize(("left", "waits"), [(30, 30), (-5, 0), (100000, WINDOW)])
def test_one_that_was_started_in_a_window_waits_for_what_is_left_of_it(left: float, waits: float) -> None:
    watch = Watch("x")
    obj = switch("switched", False, deadline=WALL + left)
    assert due(watch, obj, 0, WALL) == (waits == 0)
    assert due(watch, obj, waits, WALL)
    assert not waits or not Watch("x").due(obj, waits)


def test_what_is_confirmed_is_left_alone() -> None:
    watch = Watch("x")
    due(watch, switch("armed", True), 0, WALL)
    due(watch, switch("switched", False), 1, WALL)
    assert not watch.due(switch("confirmed", False), WINDOW + 100)
    assert not due(watch, switch("confirmed", False), WINDOW + 100, WALL)
    assert not due(watch, switch("settled", True), WINDOW + 200, WALL)


def test_what_went_back_and_is_on_again_goes_back_again() -> None:
    watch = Watch("x")
    assert not due(watch, switch("rolled-back", True), 0, WALL)
    assert due(watch, switch("rolled-back", False), 1, WALL)


def test_another_arming_has_a_window_of_its_own() -> None:
    watch = Watch("x")
    due(watch, switch("armed", True), 0, WALL)
    due(watch, switch("switched", False), 0, WALL)
    due(watch, switch("armed", True, "a2"), 100, WALL)
    assert not due(watch, switch("switched", False, "a2"), 130, WALL)
    assert due(watch, switch("switched", False, "a2"), 250, WALL)


def test_the_way_back_is_taken_only_at_the_version_that_was_read() -> None:
    obj = switch("switched", False)
    obj["metadata"]["resourceVersion"] = "17"
    patch = way_back(obj, "w1")
    assert patch["metadata"]["resourceVersion"] == "17"
    assert patch["spec"] == {"nets": ["0.0.0.0/0", "::/0"]}
    assert patch["metadata"]["annotations"]["hostfence.io/phase"] == "rolled-back"
