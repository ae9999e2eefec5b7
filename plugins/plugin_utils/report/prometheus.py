# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prometheus' text format, for node_exporter's textfile collector (docs/report.md has an alert for each)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Optional

from .shown import visible
from .transactions import STATES

Json = dict[str, Any]
_Sample = tuple[Mapping[str, str], float]


def prometheus(document: Json) -> str:
    """The counters of a report. What was not looked at has no metric: its absence can be alerted on."""
    counts = document["counts"]
    absent = {item["subject"] for item in document["not_looked_at"]}
    lines: list[str] = []

    def gauge(name: str, help_text: str, samples: Iterable[_Sample]) -> None:
        lines.append(f"# HELP hostfence_{name} {help_text}")
        lines.append(f"# TYPE hostfence_{name} gauge")
        lines.extend(f"hostfence_{name}{_labels(labels)} {number:.15g}" for labels, number in samples)

    def one(name: str, help_text: str, number: Optional[float]) -> None:
        if number is not None:
            gauge(name, help_text, [({}, number)])

    gauge("info", "Version of Hostfence that wrote this.", [({"version": document["hostfence_version"]}, 1)])
    one("last_run_timestamp_seconds", "When the report was made.", _seconds(document["generated_at"]))
    one("nodes", "Nodes that were looked at.", counts["nodes"])
    if "nodes" not in absent:
        one("nodes_covered", "Nodes with a HostEndpoint.", counts["covered"])
    if "failsafes" not in absent:
        help_text = "Nodes whose failsafes were verified in the kernel."
        one("nodes_failsafes_verified", help_text, counts["failsafes_verified"])
    by_status = [({"status": key}, number) for key, number in counts["checks"].items()]
    gauge("checks", "Results of all checks of all nodes.", by_status)
    if "lint" not in absent:
        by_severity = [({"severity": key}, number) for key, number in counts["lint"].items()]
        gauge("lint_findings", "Traps in stored policy.", by_severity)
    if "sets" not in absent:
        sets = [({"set": s["name"], "state": s["state"]}, 1) for s in document["policy_sets"]]
        gauge("policy_set", "A policy set and its state.", sets)
    one("would_be_denials", "Connections that staged policy would deny.", counts.get("would_be_denials"))
    if "transaction" not in absent:
        state = document["transaction"]["state"]
        states = [({"state": key}, float(key == state)) for key in STATES]
        gauge("transaction_state", "1 for the state of the last change of what is enforced.", states)
    return "\n".join(lines) + "\n"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return visible(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
