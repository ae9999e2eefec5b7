# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of a dump is taken in: a hostile one ends as a problem in the report, not as a full memory."""

from __future__ import annotations

MAX_LINE = 16 * 1024
MAX_KEPT_RULES = 50_000
MAX_FOREIGN_CHAINS = 100_000
MAX_JSON_ELEMENT = 16 * 1024 * 1024
MAX_JSON_FILE = 16 * 1024 * 1024
MAX_PROBLEMS = 20


class DumpProblems:
    """Collects what is wrong with a dump: the first faults, and that there were more."""

    def __init__(self, into: list[str]) -> None:
        self.into = into

    def add(self, problem: str) -> None:
        if len(self.into) < MAX_PROBLEMS:
            self.into.append(problem)
        elif len(self.into) == MAX_PROBLEMS:
            self.into.append("and more of the kind")
