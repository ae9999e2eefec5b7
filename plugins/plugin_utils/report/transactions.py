# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last change of what is enforced, from what policies_info and enforce returned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
NONE, PENDING, LIVE, CONFIRMED, ROLLED_BACK = STATES = (
    "none",
    "pending",
    "live",
    "confirmed",
    "rolled-back",
)
_WAITS = ("armed", "switched")


def transaction(record: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]] = ()) -> Json:
    """The report's part about it.

    :param record: ``transaction`` of policies_info; empty where none is stored
    :param timeline: that of enforce, confirm or rollback in the same run. Without it, the steps are those
        whose time is stored.
    """
    steps = list(_told(timeline) if timeline else _kept(record))
    found: Json = {
        "state": _state(record, [str(step["event"]) for step in timeline]),
        "steps": steps,
        "changes": [dict(change) for change in record.get("changes") or ()],
    }
    if record:
        found["sets"] = [str(name) for name in record["sets"]]
        found["begun_by"] = str(record["who"])
    waits = sorted(w["deadline"] for w in record.get("waves") or () if w["phase"] in _WAITS and w["deadline"])
    return {**found, "deadline": waits[0]} if waits else found


def _told(timeline: Sequence[Mapping[str, Any]]) -> Iterator[Json]:
    for step in timeline:
        told = {"at": str(step["at"]), "event": str(step["event"])}
        yield {**told, "text": f"wave {step['wave']}"} if step.get("wave") else told


def _kept(record: Mapping[str, Any]) -> Iterator[Json]:
    if not record:
        return
    yield {"at": str(record["since"]), "event": "begun", "text": f"by {record['who']}"}
    waves = [wave for wave in record["waves"] if wave["at"]]
    for wave in sorted(waves, key=lambda wave: str(wave["at"])):
        why = f": {wave['reason']}" if wave["reason"] else ""
        text = f"wave {wave['name']}, {len(wave['nodes'])} nodes{why}"
        yield {"at": str(wave["at"]), "event": str(wave["phase"]), "text": text}
    if record["finished"]:
        yield {"at": str(record["finished"]), "event": "settled"}


def _state(record: Mapping[str, Any], events: Sequence[str]) -> str:
    if not record:
        # What was undone leaves no record.
        return ROLLED_BACK if events and events[-1] == "undone" else NONE
    phases = [wave["phase"] for wave in record["waves"]]
    if record["phase"] in ("settling", "settled"):
        return CONFIRMED
    if record["phase"] == "undoing" or "rolled-back" in phases:
        return ROLLED_BACK
    return LIVE if {"switched", "confirmed"} & set(phases) else PENDING
