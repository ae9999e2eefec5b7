# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time from a switch to its way back, with one node cut off and with all of them: it must not grow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tests.faults.lab import NEIGHBOURS, Lab, allow, policy
from tests.faults.matrix import failsafes

# Logins to cut-off nodes are given up at the same time; the machine is another for each run.
_MORE, _SECONDS_MORE = 1.5, 5.0
_OPEN = [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS])]


def main(lab: Lab) -> bool:
    """:returns: whether it does not grow"""
    nodes = list(lab.record.nodes)
    took = []
    with failsafes(lab, inbound=[{"protocol": "tcp", "port": 6443}]):
        for cut_off in (nodes[-1:], nodes):
            lab.directly(_OPEN)
            took.append(_seconds(lab, _without_ssh(lab, cut_off)))
            print(f"{len(cut_off)} of {len(nodes)} nodes cut off: back after {took[-1]:.1f} s", flush=True)
    good = took[1] <= _MORE * took[0] + _SECONDS_MORE and not lab.left_behind()
    print(f"the time to go back does not grow with nodes: {good}")
    lab.directly([])
    return good


def _without_ssh(lab: Lab, nodes: Sequence[str]) -> list[dict[str, Any]]:
    """The same policy, but nobody can log in to these nodes any more."""
    found = [lab.record.nodes[name] for name in nodes]
    denied = [
        {**allow(22), "action": "Deny", "destination": {"ports": [22], "nets": nets}}
        for nets in ([f"{node.ipv4}/32" for node in found], [f"{node.ipv6}/128" for node in found])
    ]
    return [policy("in", 10, ingress=[*denied, allow(22, 10250), NEIGHBOURS])]


def _seconds(lab: Lab, wish: Sequence[dict[str, Any]]) -> float:
    options = {"sets": ["edge"], "waves": ["all"], "window": 60, "watchdogs": 0, "nodes": lab.logins}
    process = lab.start("enforce", writes=lab.rehearsal(wish), **options)
    if not lab.wait_for(lambda: lab.switch()[0] == "switched", 120):
        raise SystemExit(process.communicate()[0].decode()[-500:])
    began = time.monotonic()
    if not lab.wait_for(lambda: lab.switch()[0] != "switched", 120):
        raise SystemExit("it never went back")
    took = time.monotonic() - began
    output, _errors = process.communicate()
    if b"Every host has the policy that it had before" not in output:
        raise SystemExit(output.decode()[-500:])
    return took
