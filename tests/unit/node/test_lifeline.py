# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of the last resort: what it lets pass."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hostfence.calico.plugins.module_utils.node import lifeline
from ansible_collections.hostfence.calico.plugins.module_utils.node.lifeline import (
    accept_mark,
    hold,
    reaches,
    table,
    wait,
)

GUARDS = ["cali-pi-guard"]
SWITCHED = {"chains": GUARDS, "guards": {"cali-pi-guard": "empty"}, "accept_mark": "0x10000"}
BACK = {**SWITCHED, "guards": {"cali-pi-guard": "full"}}
SETTLED = {**SWITCHED, "chains": ["cali-pi-kept"], "guards": {}}
# What a failed read of the rules looks like.
UNREAD = {"chains": [], "guards": {}, "accept_mark": ""}


def test_it_marks_what_the_node_lives_by_and_nothing_else() -> None:
    options = {
        "servers": [["10.0.0.1", 6443], ["fd00::1", 443]],
        "typha": [["10.0.0.2", 5473]],
        "dns": [["10.0.0.3", 53]],
        "administrators": [["192.0.2.9", 2222]],
    }
    lines = table(options, "0x10000").splitlines()
    marked = [
        line.partition(" meta mark set")[0] for line in lines if "meta mark set meta mark | 0x10000" in line
    ]
    assert marked == [
        "ip daddr 10.0.0.1 tcp dport 6443",
        "ip6 daddr fd00::1 tcp dport 443",
        "ip daddr 10.0.0.2 tcp dport 5473",
        "ip daddr 10.0.0.3 udp dport 53",
        "ip daddr 10.0.0.3 tcp dport 53",
        "icmpv6 type { 133, 134, 135, 136 }",
        "ip saddr 192.0.2.9 tcp dport 2222",
        "icmpv6 type { 133, 134, 135, 136 }",
    ]


def test_it_stands_between_what_clears_marks_and_what_reads_them() -> None:
    lines = table({"servers": [], "typha": [], "dns": [], "administrators": []}, "0x10000")
    priorities = [int(number) for number in re.findall(r"priority (-?\d+);", lines)]
    assert len(priorities) == 2
    # Calico's raw chains are at -300, its mangle chains at -150.
    assert all(-300 < priority < -150 for priority in priorities)


def test_a_server_that_refuses_was_reached() -> None:
    """The way is open; that no server runs there is nothing that a rule of the node's could change."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert reaches([["127.0.0.1", port]])


def test_one_that_was_asked_to_end_does_nothing(tmp_path: Path) -> None:
    own = tmp_path / "options.json"
    own.touch()
    assert wait({"seconds": 0}, str(own))
    os.unlink(own)
    assert not wait({"seconds": 60}, str(own))
    assert not wait({"seconds": 0}, str(own))


@pytest.mark.parametrize("administrators", [[["10.0.0.0/8", 22], ["fd00::/8", 2222]]])
def test_administrators_come_from_networks(administrators: list[list[object]]) -> None:
    text = table({"servers": [], "typha": [], "dns": [], "administrators": administrators}, "0x10000")
    assert "ip saddr 10.0.0.0/8 tcp dport 22 meta mark set" in text
    assert "ip6 saddr fd00::/8 tcp dport 2222 meta mark set" in text


class Kernel:
    """Looks that follow each other; the last one stays. A ValueError is what broken output makes."""

    def __init__(self, *looks: dict[str, Any] | ValueError) -> None:
        self.looks = list(looks)
        self.taken = 0

    def __call__(self, guards: list[str]) -> dict[str, Any]:
        assert guards == GUARDS
        seen = self.looks[min(self.taken, len(self.looks) - 1)]
        self.taken += 1
        if isinstance(seen, ValueError):
            raise seen
        return seen


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "SECONDS_BETWEEN", 0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("end", [BACK, SETTLED, UNREAD], ids=["back", "settled", "no policy at all"])
def test_it_is_held_until_several_looks_show_the_end(tmp_path: Path, end: dict[str, Any]) -> None:
    own = tmp_path / "options.json"
    own.touch()
    kernel = Kernel(SWITCHED, SWITCHED, end)
    hold({"guards": GUARDS}, str(own), kernel)
    assert kernel.taken == 5


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("bad", [UNREAD, ValueError("no JSON")], ids=["nothing", "broken"])
def test_one_look_that_fails_does_not_end_it(tmp_path: Path, bad: dict[str, Any] | ValueError) -> None:
    own = tmp_path / "options.json"
    own.touch()
    kernel = Kernel(SWITCHED, bad, bad, SWITCHED, BACK)
    hold({"guards": GUARDS}, str(own), kernel)
    assert kernel.taken == 7


@pytest.mark.usefixtures("at_once")
def test_the_mark_is_looked_for_again() -> None:
    assert accept_mark(Kernel(UNREAD, ValueError("no JSON"), SWITCHED), GUARDS) == "0x10000"
    assert accept_mark(Kernel(UNREAD), GUARDS) == ""
