# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which gaps a window has, and what is said where the kernel does not answer.

What is seen of real connections, tests/testbed/test_node_flows.py shows.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, NoReturn, Optional

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.calico.bad_input import BadInput
from ansible_collections.hostfence.calico.plugins.module_utils.node.boot import boot_id
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows import (
    conntrack,
    flow_table,
    observe,
)
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.conntrack import Connections
from ansible_collections.hostfence.calico.plugins.module_utils.node.flows.flow_table import Health, OpenWindow

STARTED = {"boot_id": boot_id(), "handle": 5, "start": 1700000000.0}
OPEN = OpenWindow(5, 1700000000.0)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without connections, with room in its table, and a window whose table is as it was made."""
    monkeypatch.setattr(flow_table, "find", lambda: OPEN)
    monkeypatch.setattr(flow_table, "flows", lambda: iter(()))
    monkeypatch.setattr(flow_table, "openers", lambda: iter(()))
    monkeypatch.setattr(flow_table, "health", lambda: Health(intact=True, owners=True, lost=0))
    monkeypatch.setattr(conntrack, "read", lambda *_asked: Connections({}))
    monkeypatch.setattr(conntrack, "fill", lambda: (5, 100))
    monkeypatch.setattr(conntrack, "tracked_families", lambda: frozenset((4, 6)))


def gaps(document: dict[str, Any]) -> list[str]:
    return [gap["id"] for gap in document["window"]["gaps"]]


@pytest.mark.parametrize(
    ("window", "started", "expected"),
    [
        (OPEN, STARTED, []),
        (OPEN, None, []),
        (None, STARTED, ["table-gone"]),
        (OpenWindow(6, OPEN.start), STARTED, ["table-replaced"]),
        (OpenWindow(5, OPEN.start + 1), STARTED, ["table-replaced"]),
        (OpenWindow(5, 0.0), None, ["table-replaced"]),
        (OPEN, {**STARTED, "boot_id": "another"}, ["rebooted"]),
        (None, {**STARTED, "boot_id": "another"}, ["rebooted"]),
    ],
)
@pytest.mark.usefixtures("kernel")
def test_a_window_that_was_not_kept_is_no_whole_one(
    monkeypatch: pytest.MonkeyPatch,
    window: Optional[OpenWindow],
    started: Optional[dict[str, Any]],
    expected: list[str],
) -> None:
    monkeypatch.setattr(flow_table, "find", lambda: window)
    found = observe.collect("n", started)
    assert gaps(found) == expected
    assert found["window"]["complete"] == (not expected)


@pytest.mark.usefixtures("kernel")
def test_what_was_not_recorded_is_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "health", lambda: Health(intact=False, owners=True, lost=3))
    monkeypatch.setattr(conntrack, "read", lambda *_asked: Connections({}, lost=4))
    monkeypatch.setattr(conntrack, "fill", lambda: (96, 100))
    found = observe.collect("n", STARTED)
    assert gaps(found) == ["rules-gone", "set-full", "connections-cut", "connections-full"]
    assert found["not_recorded"] == 7


@pytest.mark.usefixtures("kernel")
def test_one_look_is_never_a_whole_window() -> None:
    found = observe.once("n")
    assert (found["mode"], gaps(found)) == ("once", ["one-shot"])
    assert found["window"]["start"] == found["window"]["end"]


@pytest.mark.usefixtures("kernel")
def test_a_family_that_is_not_tracked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack, "tracked_families", lambda: frozenset((4,)))
    assert gaps(observe.once("n")) == ["one-shot", "not-tracked"]


@pytest.mark.usefixtures("kernel")
def test_without_a_window_nothing_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "find", lambda: None)
    with pytest.raises(BadInput, match="state=started"):
        observe.collect("n")


@pytest.mark.usefixtures("kernel")
def test_a_window_that_is_open_is_kept() -> None:
    found = observe.start("n")
    assert (found["handle"], found["start"], found["opened"]) == (5, OPEN.start, False)


@pytest.mark.usefixtures("kernel")
def test_a_node_that_tracks_nothing_is_not_made_to_unless_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_table, "find", lambda: None)
    monkeypatch.setattr(flow_table, "start", lambda now, _size: OpenWindow(1, now))
    monkeypatch.setattr(conntrack, "tracked_families", frozenset)
    with pytest.raises(BadInput, match="enable_tracking"):
        observe.start("n")
    assert observe.start("n", enable_tracking=True)["opened"]


@pytest.mark.usefixtures("kernel")
def test_a_window_that_an_agent_holds_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "find", lambda: OpenWindow(5, OPEN.start, owned=True))
    for call in (observe.stop, lambda: observe.start("n")):
        with pytest.raises(BadInput, match="audit_mode"):
            call()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EPERM, "needs root"), (errno.EACCES, "needs root"), (errno.ENOENT, "state=watched")],
)
def test_a_kernel_that_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuses() -> NoReturn:
        raise OSError(number, "refused")

    monkeypatch.setattr(flow_table, "find", refuses)
    with pytest.raises(BadInput, match=remedy):
        observe.is_open()


def test_every_gap_is_on_the_page_of_audits() -> None:
    page = (Path(__file__).parents[4] / "docs" / "auditing.md").read_text()
    assert [gap for gap in observe.GAPS if gap not in page] == []
