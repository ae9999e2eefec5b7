# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan for people, on one screen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from difflib import unified_diff
from typing import Optional

from ..finding import WARNING, Finding
from ..verdict.reach import sentences
from ..verdict.vital_flows import summaries
from .document import shown
from .model import Object, Plan, Step, Write

_NAMES, _LINES = 4, 8


def screen(plan: Plan) -> list[str]:
    """The lines: what would be written, what it means for connections, what to fix."""
    if not (plan.steps or plan.all_refusals):
        return ["What was looked at:", *(f"  {f.severity:<8} {_sentence(f)}" for f in plan.findings)]
    lines = ["What would be written:", *(f"  {line}" for line in _steps(plan.steps))]
    lines += _section("What it means for connections:", _connections(plan))
    lines += _section("Fix first, or nothing is written:", plan.all_refusals)
    lines += _section("Worth a look:", _warnings(plan))
    return lines


def drift(plan: Plan) -> list[str]:
    """What of the cluster differs from what is wanted, one line a step; empty where nothing does."""
    return [f"{step.title}: {_writes(step.writes)}" for step in plan.steps if step.writes]


def objects(plan: Plan) -> list[str]:
    """The lines that change in every object, as ``diff -u`` shows them."""
    return [
        line for step in plan.steps for write in step.writes if not write.interim for line in _diff(write)
    ]


def _diff(write: Write) -> Iterator[str]:
    before, after = (_lines(shown(obj)) for obj in (write.before, write.after))
    names = (f"before: {write.title}", f"after: {write.title}")
    yield from unified_diff(before, after, *names, lineterm="")


def _lines(obj: Optional[Object]) -> list[str]:
    return json.dumps(obj, indent=2, sort_keys=True).splitlines() if obj else []


def _section(title: str, texts: Iterable[str]) -> list[str]:
    lines = list(dict.fromkeys(texts))
    if not lines:
        return []
    more = [f"  ... and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
    return ["", title, *(f"  {line}" for line in lines[:_LINES]), *more]


def _steps(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield f"{step.title:<34} {_writes(step.writes)}"
    if not steps:
        yield "not looked at: see below"


def _writes(writes: tuple[Write, ...]) -> str:
    if not writes:
        return "nothing to do"
    groups: dict[tuple[str, str], list[str]] = {}
    for write in writes:
        if not write.interim:
            groups.setdefault((write.action, write.kind), []).append(write.name)
    return "; ".join(f"{action} {kind} {_some(names)}" for (action, kind), names in groups.items())


def _some(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - _NAMES} more" if len(unique) > _NAMES else ""
    return ", ".join(unique[:_NAMES]) + more


def _connections(plan: Plan) -> Iterator[str]:
    deciding = [step for step in plan.steps if step.changes_enforcement]
    if not deciding:
        yield "nothing that is enforced changes: no packet is treated otherwise than now"
        return
    titles = ", ".join(step.title for step in deciding)
    yield f"what is enforced changes on {len(plan.governed)} nodes, by: {titles}"
    at_risk = [obstacle for step in deciding for obstacle in step.at_risk]
    lost = [loss for step in deciding for loss in step.losses]
    yield from sentences(at_risk)
    yield from summaries(lost)
    unseen = [step.title for step in deciding if step.unseen]
    if unseen:
        yield f"nobody looked what that means for connections: {', '.join(unseen)}"
    elif not (at_risk or lost):
        yield "every connection that was looked at stays allowed: logins, the API, and what nodes live by"
    if plan.unreached:
        yield f"could not be logged in to: {_some(list(plan.unreached))}"


def _warnings(plan: Plan) -> Iterator[str]:
    for finding in plan.findings:
        if finding.severity == WARNING:
            yield _sentence(finding)
    for step in plan.steps:
        for finding in step.findings:
            yield _sentence(finding)


def _sentence(finding: Finding) -> str:
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.id}: {finding.message}{remedy}"
