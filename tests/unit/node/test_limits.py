# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of what is wrong with a dump is told."""

from __future__ import annotations

from ansible_collections.hostfence.calico.plugins.module_utils.node.limits import MAX_PROBLEMS, DumpProblems


def test_the_first_problems_are_kept_and_that_there_were_more() -> None:
    found: list[str] = []
    problems = DumpProblems(found)
    for number in range(MAX_PROBLEMS):
        problems.add(f"line {number}")
    assert found == [f"line {number}" for number in range(MAX_PROBLEMS)]
    for number in range(1000):
        problems.add(f"more {number}")
    assert found[MAX_PROBLEMS:] == ["and more of the kind"]
