# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that is ended after every single API write and before its answer, by SIGKILL, SIGINT or SIGHUP: the
next one converges, and no node was cut off for longer than a window, which a recorder watches.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any

from tests.faults.lab import NEIGHBOURS, Cutter, Lab, allow, policy
from tests.faults.matrix import WINDOW
from tests.faults.recorder import Recorder

# A watchdog's next look, and Felix's way to the kernel.
GRACE = 10

A = [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS])]
B = [
    policy("in", 10, ingress=[allow(22, 9999), NEIGHBOURS]),
    policy("out", 20, egress=[allow(6443, 22), NEIGHBOURS]),
]


def main(lab: Lab, watchdogs: int, first: int, step: int, signals: Sequence[Signals]) -> bool:
    """:param signals: taken in turn
    :returns: whether every run after an ended one converged, and nothing was cut off for too long
    """
    lab.directly(B)
    new = lab.verdicts()
    lab.directly(A)
    old = lab.verdicts()
    options = {"sets": ["edge"], "waves": ["all"], "window": WINDOW, "watchdogs": watchdogs}
    options["nodes"] = lab.logins
    with tempfile.TemporaryDirectory() as place:
        recorder = Recorder(lab, Path(place) / "record")
        with contextlib.closing(recorder):
            good, tried = _end_after_each(lab, options, (old, new), first, step, signals)
        outage, what = recorder.longest_outage()
    print(f"ended after every write: {good}/{tried}; longest cut: {what} {outage:.1f} s")
    lab.directly([])
    return good == tried and outage <= WINDOW + GRACE


def _end_after_each(
    lab: Lab,
    options: Mapping[str, Any],
    ends: tuple[dict[str, str], dict[str, str]],
    first: int,
    step: int,
    signals: Sequence[Signals],
) -> tuple[int, int]:
    """:returns: after how many ended runs the next one converged, and how many were ended"""
    old, new = ends
    watchdogs = options["watchdogs"]
    good = tried = 0
    number = first
    while True:
        by = signals[tried % len(signals)]
        cutter = Cutter(lab, number, by)
        wanted, verdicts = (B, new) if tried % 2 == 0 else (A, old)
        process = lab.start("enforce", kubeconfig=cutter.kubeconfig, writes=lab.rehearsal(wanted), **options)
        cutter.process = process
        process.communicate()
        cutter.close()
        if not cutter.did_end_it:
            print(f"no write {number}: the run makes {cutter.writes}")
            break
        tried += 1
        waits = not watchdogs or lab.wait_for(lambda: lab.switch()[0] != "switched", WINDOW + GRACE)
        between = lab.verdicts()
        exact = between in (old, new)
        again = lab.module("enforce", writes=lab.rehearsal(wanted), **options)
        lab.wait_for(lambda verdicts=verdicts: lab.verdicts() == verdicts, 3)
        left = lab.left_behind()
        done = not again["failed"] and lab.verdicts() == verdicts and not left
        good += done and exact and waits
        state = "old or new" if exact else "NEITHER OLD NOR NEW"
        print(
            f"{by.name} after write {number:2}: {state}{'' if waits else ', UNCONFIRMED AFTER ITS WINDOW'}; "
            "next run: "
            + (
                "converged"
                if done
                else f"NOT: {again.get('msg')} {left} {_differs(lab.verdicts(), verdicts)}"
            ),
            flush=True,
        )
        number += step
    return good, tried


def _differs(seen: dict[str, str], wanted: dict[str, str]) -> str:
    return ", ".join(flow for flow in wanted if seen[flow] != wanted[flow])[:200]
