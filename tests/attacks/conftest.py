# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attacked cluster, and the line for each invariant at the end."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parent)]

from world import World  # noqa: E402

_INVARIANTS = {
    "I1": "bounded",
    "I2": "two states",
    "I3": "green means proved",
    "I4": "truthful",
    "I5": "mutation per flow",
    "I6": "no silent switch",
    "I7": "serial",
    "I9": "place",
    "I10": "late",
    "I11": "the inventory hides nothing",
}
_held: Counter[str] = Counter()
_tried: Counter[str] = Counter()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("the testbed needs root")
    found = World(tmp_path_factory.mktemp("attacks"))
    try:
        yield found
    finally:
        found.down()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "invariant(*names): which invariants an attack puts to the test")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    asked = item.get_closest_marker("invariant")
    if asked is None or report.skipped or (report.when != "call" and not report.failed):
        return
    for name in asked.args:
        _tried[name] += 1
        _held[name] += report.passed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _tried:
        return
    on = (
        "a real Felix and packets"
        if os.environ.get("HOSTFENCE_CALICO_BIN")
        else "recorded states, by the engine"
    )
    terminalreporter.section(f"invariants, on {on}")
    for name, meaning in _INVARIANTS.items():
        if _tried[name]:
            terminalreporter.line(f"{name} {meaning}: {_held[name]}/{_tried[name]}")
