# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node was seen to do since its agent began: distinct flows with first and last time, bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Record = dict[str, Any]
_BY_HOOK = "hook"
_OF_A_CONNECTION = ("source", "destination", "protocol", "destination_port", "icmp_type", "icmp_code")


class Aggregate:
    """Readings of one window, merged.

    :param most: distinct flows that are kept; others are counted
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._flows: dict[str, Record] = {}
        self._latest: Record = {}
        self._gaps: dict[str, Any] = {}
        self._left_out = 0

    def add(self, document: Mapping[str, Any]) -> None:
        """Take in a reading: counts of the kernel's sets only grow, so the newest is the sum."""
        self._latest = {key: value for key, value in document.items() if key != "flows"}
        for gap in document["window"]["gaps"]:
            self._gaps[gap["id"]] = gap
        now = document["window"]["end"]
        left_out = 0
        for record in document["flows"]:
            left_out += self._merge(record, now)
        # What found no place is in every reading, so the newest counts for all.
        self._left_out = max(self._left_out, left_out)

    def _merge(self, record: Mapping[str, Any], now: float) -> int:
        """How many connections found no place."""
        seen = record["seen"]
        key = json.dumps([record["flow"], seen["source_prefix"], seen["destination_prefix"]], sort_keys=True)
        known = self._flows.get(key)
        if known is None:
            if len(self._flows) >= self._most:
                return int(seen["count"])
            self._flows[key] = {**record, "all_of": None, "seen": {**seen, "first": now, "last": now}}
            return 0
        before = known["seen"]
        if seen["count"] > before["count"]:
            before.update(count=seen["count"], last=now)
        if seen["interface_by"] == _BY_HOOK:
            before.update({name: seen[name] for name in ("by", "interface_by", "direction_certain")})
        before["replied"] = before["replied"] or seen["replied"]
        before["older_than_window"] = before["older_than_window"] and seen["older_than_window"]
        known["owner"] = record["owner"] or known["owner"]
        return 0

    def document(self) -> Record:
        """All readings as one document ``hostfence.flows/1``."""
        gaps = list(self._gaps.values())
        return {
            **self._latest,
            "mode": "agent",
            "window": {**self._latest["window"], "complete": not gaps, "gaps": gaps},
            "not_recorded": self._latest["not_recorded"] + self._left_out,
            "flows": self._paired(),
        }

    def _paired(self) -> list[Record]:
        """With a number for both legs of a connection over loopback."""
        numbers: dict[tuple[object, ...], int] = {}
        found = []
        for record in self._flows.values():
            flow = record["flow"]
            if flow.get("interface") == "lo":
                connection = tuple(flow.get(name) for name in _OF_A_CONNECTION)
                record = {**record, "all_of": numbers.setdefault(connection, len(numbers))}
            found.append(record)
        return found
