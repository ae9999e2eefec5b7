# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that is killed (SIGKILL) after every single API write and before its answer: the next "
"one converges."""

from __future__ import annotations

from tests.faults.lab import NEIGHBOURS, Cutter, Lab, allow, policy

A = [policy("in", 10, ingress=[allow(22, 10250), NEIGHBOURS])]
B = [
    policy("in", 10, ingress=[allow(22, 9999), NEIGHBOURS]),
    policy("out", 20, egress=[allow(6443, 22), NEIGHBOURS]),
]


def main(lab: Lab, watchdogs: int, first: int, step: int) -> bool:
    """:returns: whether every run after a killed one converged"""
    lab.directly(B)
    new = lab.verdicts()
    lab.directly(A)
    old = lab.verdicts()
    options = {"sets": ["edge"], "waves": ["all"], "window": 30, "watchdogs": watchdogs, "nodes": lab.logins}
    good = tried = 0
    number = first
    while True:
        cutter = Cutter(lab, number)
        wanted, verdicts = (B, new) if tried % 2 == 0 else (A, old)
        process = lab.start("enforce", kubeconfig=cutter.kubeconfig, writes=lab.rehearsal(wanted), **options)
        cutter.process = process
        process.communicate()
        cutter.close()
        if process.returncode >= 0:
            print(f"no write {number}: the run makes {cutter.writes}")
            break
        tried += 1
        between = lab.verdicts()
        exact = between in (old, new)
        again = lab.module("enforce", writes=lab.rehearsal(wanted), **options)
        lab.wait_for(lambda verdicts=verdicts: lab.verdicts() == verdicts, 3)
        left = lab.left_behind()
        done = not again["failed"] and lab.verdicts() == verdicts and not left
        good += done and exact
        state = "old or new" if exact else "NEITHER OLD NOR NEW"
        print(
            f"killed after write {number:2}: {state}; next run: "
            + (
                "converged"
                if done
                else f"NOT: {again.get('msg')} {left} {_differs(lab.verdicts(), verdicts)}"
            ),
            flush=True,
        )
        number += step
    print(f"killed after every write: {good}/{tried}")
    lab.directly([])
    return good == tried


def _differs(seen: dict[str, str], wanted: dict[str, str]) -> str:
    return ", ".join(flow for flow in wanted if seen[flow] != wanted[flow])[:200]
