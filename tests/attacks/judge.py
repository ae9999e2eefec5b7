# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a record once the attack is over: no process, no cluster, only what was written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hostfence.calico.plugins.module_utils.calico.verdict.judge import (
    Options,
    judge_objects,
)
from paths import VitalPath

Objects = list[dict[str, Any]]
# A single failed try may be the machine's; the recorder tries about twice a second.
_TRIES_THAT_COUNT = 2


@dataclass(frozen=True)
class Record:
    """An attack's observations.

    :ivar states: (time, objects), one an observed change
    :ivar tries: (time, name of the path, whether a new connection was made)
    """

    states: tuple[tuple[float, Objects], ...]
    tries: tuple[tuple[float, str, bool], ...] = ()

    @property
    def before(self) -> Objects:
        return self.states[0][1]

    @property
    def after(self) -> Objects:
        return self.states[-1][1]

    @property
    def wrote(self) -> bool:
        """Whether anything that decides about hosts was ever another."""
        return any(decisive(objects) != decisive(self.before) for _at, objects in self.states)


def read(path: Path) -> Record:
    """A record as :class:`record.Recorder` wrote it."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return Record(
        tuple((entry["at"], entry["objects"]) for entry in entries if "objects" in entry),
        tuple((entry["at"], entry["path"], entry["open"]) for entry in entries if "path" in entry),
    )


def decisive(objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What decides about packets, and not whose it is or when it was written."""
    kept = [
        {"kind": item["kind"], "name": item["metadata"]["name"], "spec": item["spec"]}
        for item in objects
        if item["kind"] != "Tier" or "hostfence" in item["metadata"]["name"]
    ]
    return sorted(kept, key=lambda item: (item["kind"], item["name"]))


def denied(objects: Objects, paths: Sequence[VitalPath], options: Options | None = None) -> set[str]:
    """The paths that the verdict engine finds denied in this state, by name."""
    verdicts = judge_objects(objects, [path.flow() for path in paths], options=options)
    return {path.name for path, verdict in zip(paths, verdicts) if verdict.verdict == "deny"}


def newly_denied(record: Record, paths: Sequence[VitalPath]) -> set[str]:
    """The paths that were allowed before and are denied in the end."""
    return denied(record.after, paths) - denied(record.before, paths)


def cut(record: Record) -> dict[str, float]:
    """Path -> seconds for which no new connection was made, the longest such time, of those ever open."""
    longest: dict[str, float] = {}
    for name in {name for _at, name, _open in record.tries}:
        tries = [(at, is_open) for at, other, is_open in record.tries if other == name]
        if not tries or not tries[0][1]:
            continue
        longest[name] = _longest_outage(tries)
    return {name: seconds for name, seconds in longest.items() if seconds}


def _longest_outage(tries: Sequence[tuple[float, bool]]) -> float:
    worst, since, failed = 0.0, 0.0, 0
    for at, is_open in tries:
        if is_open:
            failed = 0
            continue
        failed += 1
        since = at if failed == 1 else since
        if failed >= _TRIES_THAT_COUNT:
            worst = max(worst, at - since)
    return worst


def shut_at_the_end(record: Record) -> set[str]:
    """The paths that were open first and whose last tries all failed."""
    found = set()
    for name in {name for _at, name, _open in record.tries}:
        answers = [is_open for _at, other, is_open in record.tries if other == name]
        if answers[0] and len(answers) >= _TRIES_THAT_COUNT and not any(answers[-_TRIES_THAT_COUNT:]):
            found.add(name)
    return found


@dataclass(frozen=True)
class Outcome:
    """How the attacked run ended."""

    code: int
    output: str

    @property
    def text(self) -> str:
        return " ".join(self.output.split())


def hurt(outcome: Outcome, record: Record, paths: Sequence[VitalPath]) -> list[str]:
    """Why this run broke its promise, or nothing.

    A run that ends green must leave every path open that was (I3, I5); one that fails, whether it refused or
    rolled back, must leave everything as it was (I4).
    """
    lost = sorted(newly_denied(record, paths) | shut_at_the_end(record))
    if outcome.code == 0 and lost:
        return [f"it ended green, and these paths are shut: {', '.join(lost)}"]
    if outcome.code != 0 and decisive(record.after) != decisive(record.before):
        return [f"it failed (rc {outcome.code}) and left what decides other than it was"]
    return [f"paths are shut after it: {', '.join(lost)}"] if lost else []
