# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Thousands of rows as the few kinds that they are of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .checks import IDS, STATUSES

Json = dict[str, Any]
SEVERITIES = ("error", "warning", "info")
_NUMBER_AT_END = re.compile(r"^(.*?)(\d+)$", re.DOTALL)


@dataclass(frozen=True)
class NodeGroup:
    """Nodes with the same result in every check, for the same reasons.

    :ivar findings: those of its first node; of the others they are the same but for names and addresses
    """

    names: tuple[str, ...]
    title: str
    checks: dict[str, str]
    findings: tuple[Json, ...]


def group_nodes(nodes: Iterable[Json]) -> list[NodeGroup]:
    """Group what behaves alike, the gravest group first."""
    groups: dict[tuple[Any, ...], list[Json]] = {}
    for node in nodes:
        results = tuple(node["checks"][check] for check in IDS)
        reasons = tuple(sorted({(finding["id"], finding["severity"]) for finding in node["findings"]}))
        groups.setdefault((results, reasons), []).append(node)
    made = [_group(members) for members in groups.values()]
    return sorted(made, key=lambda group: (_gravity(group), -len(group.names), group.names))


def _group(members: Sequence[Json]) -> NodeGroup:
    names = tuple(node["name"] for node in members)
    return NodeGroup(names, ", ".join(ranges(names, 4)), members[0]["checks"], tuple(members[0]["findings"]))


def alike(findings: Iterable[Json]) -> list[list[Json]]:
    """Findings of one kind together, errors first: a broken chain is one fault with many places."""
    kinds: dict[tuple[str, str], list[Json]] = {}
    for finding in findings:
        kinds.setdefault((finding["id"], finding["severity"]), []).append(finding)
    return sorted(kinds.values(), key=lambda kind: SEVERITIES.index(kind[0]["severity"]))


@dataclass(frozen=True)
class LiveRules:
    """Chains that hold the same failsafe rules."""

    rules: tuple[str, ...]
    chains: tuple[str, ...]


def live_alike(live: Iterable[Json], chain: str) -> list[LiveRules]:
    """What is live in the chains of this name: of all tables and families, what is the same once."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for item in live:
        if chain in item["chain"]:
            place = f"{item['backend']} {item['family']} {item['chain']}"
            kinds.setdefault(tuple(item["rules"]), []).append(place)
    return [LiveRules(rules, tuple(places)) for rules, places in kinds.items()]


def _gravity(group: NodeGroup) -> tuple[int, ...]:
    found = list(group.checks.values())
    return tuple(-found.count(status) for status in STATUSES[:-1])


def ranges(names: Iterable[str], limit: int = 0) -> list[str]:
    """Names, with runs of numbered ones (worker-1, worker-2, worker-3) written as ``worker-1 … worker-3``.

    :param limit: after so many entries the rest is counted; 0 for all
    """
    runs: list[list[str]] = []
    for name in sorted(names, key=_natural):
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    entries = [text for run in runs for text in _written(run)]
    if not limit or len(entries) <= limit:
        return entries
    return [*entries[: limit - 1], f"and {len(entries) - limit + 1} more"]


def _written(run: list[str]) -> list[str]:
    return [f"{run[0]} … {run[-1]} ({len(run)})"] if len(run) > 2 else run


def _natural(name: str) -> tuple[str, int, str]:
    matched = _NUMBER_AT_END.match(name)
    # Digits of any script match; what int() cannot read stays text. Long numbers are no counters.
    if matched and matched[2].isascii() and len(matched[2]) < 10:
        return matched[1], int(matched[2]), name
    return name, -1, name


def _follows(before: str, name: str) -> bool:
    first, second = _natural(before), _natural(name)
    return first[0] == second[0] and first[1] >= 0 and second[1] == first[1] + 1


@dataclass(frozen=True)
class FlowGroup:
    """Flows of an audit that one decision and one rule speak of.

    :ivar flows: who with whom, and how often, a line each
    """

    verdict: str
    what: str
    decided_by: str
    remedy: str
    rule: str
    connections: int
    flows: tuple[str, ...]


def group_flows(groups: Iterable[Json]) -> list[FlowGroup]:
    """Group the flows of an audit, denials first, then by how many connections they are."""
    kinds: dict[tuple[str, str, str, str, str], list[Json]] = {}
    for item in groups:
        kinds.setdefault(_flow_key(item), []).append(item)
    made = [
        FlowGroup(
            *key,
            connections=sum(int(f.get("connections", 0)) for f in members),
            flows=tuple(map(_flow_line, members)),
        )
        for key, members in kinds.items()
    ]
    return sorted(made, key=lambda group: (group.verdict != "deny", -group.connections, group.what))


def _flow_line(item: Json) -> str:
    arrow = "\u2190" if item["direction"] == "egress" else "\u2192"
    process = f" ({item['process']})" if item.get("process") else ""
    return f"{item['peer']} {arrow} {item['node']}{process} \u00d7{item['connections']}"


def _flow_key(item: Json) -> tuple[str, str, str, str, str]:
    port = f"/{item['port']}" if item.get("port") is not None else ""
    remedy = item.get("remedy") or {}
    return (
        str(item["verdict"]),
        f"{item['protocol']}{port} {item['direction']}",
        decider(item.get("decided_by") or {}),
        str(remedy.get("text") or ""),
        str(remedy.get("rule") or ""),
    )


def decider(decided_by: Json) -> str:
    """In words, what decided."""
    if decided_by.get("kind") == "Tier":
        return f"the end of tier {decided_by.get('tier') or decided_by.get('name')}"
    parts = []
    if decided_by.get("tier"):
        parts.append(f"tier {decided_by['tier']}")
    if decided_by.get("name"):
        parts.append(f"{decided_by.get('kind', '')} {decided_by['name']}".strip())
    if decided_by.get("rule_index") is not None:
        parts.append(f"rule {decided_by['rule_index']}")
    return ", ".join(parts) or str(decided_by.get("stage") or "")
