# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Traffic that staged policy would deny, from what flow_audit returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils.calico.audit.rows import PROTOCOL_NAMES, WOULD_ALLOW

Json = dict[str, Any]
_SHOWN = 3


def audit(result: Mapping[str, Any]) -> Json:
    """The report's part about it: every row that would not simply be allowed."""
    rows = [row for row in result["rows"] if row["group"] != WOULD_ALLOW]
    return {
        "gate": str(result["gate"]),
        "reasons": [str(reason) for reason in result["reasons"]],
        "unseen": [str(text) for text in result["unseen"]],
        "nodes": int(result["nodes"]),
        "left_out": int(result["rows_left_out"]),
        "groups": [_group(row) for row in rows],
        "assumptions": sorted({str(text) for row in rows for text in row["assumptions"]}),
    }


def _group(row: Mapping[str, Any]) -> Json:
    found: Json = {
        "verdict": str(row["then"]["verdict"]),
        "direction": str(row["direction"]),
        "protocol": PROTOCOL_NAMES.get(row["protocol"], f"protocol {row['protocol']}"),
        "port": row["port"] if row["original_port"] is None else row["original_port"],
        "node": str(row["node_names"][0]) if row["nodes"] == 1 else f"{row['nodes']} nodes",
        "peer": _some(row["peers"]),
        "connections": int(row["connections"]),
        "reason_code": str(row["then"]["reason_code"]),
        "decided_by": dict(row["then"]["decided_by"]),
    }
    if row["owners"]:
        found["process"] = ", ".join(map(str, row["owners"]))
    remedy = row["remedy"]
    if remedy:
        rule = {"rule": str(remedy["yaml"])} if remedy.get("yaml") else {}
        found["remedy"] = {"text": str(remedy["text"]), **rule}
    return found


def _some(names: Sequence[Any]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more
