# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An audit as the module returns it and as people read it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .audit import Audit, unseen
from .gate import PASS, Accepted, Decision, Enough, decide, in_force
from .remedy import Remedies, Remedy, RemedyOptions
from .required import RequiredPacket
from .rows import ESTABLISHED_ONLY, FAILSAFE_ONLY, GROUPS, PROTOCOL_NAMES, WOULD_DENY, Row

_WITH_REMEDY = (WOULD_DENY, ESTABLISHED_ONLY, FAILSAFE_ONLY)
_HEADINGS = {
    WOULD_DENY: "would be denied",
    ESTABLISHED_ONLY: "lives on a connection that is older than the window; its next one would be denied",
    FAILSAFE_ONLY: "allowed by a failsafe only",
    "unknown": "cannot be told",
    "would_allow": "denied now, would be allowed",
}
_SHOWN = 10
_SHOWN_ASSUMPTIONS = 3
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?:\.\d{1,3}){0,3})(/\d+)?"
)


@dataclass(frozen=True)
class Asked:
    """How an audit is to be concluded; ``rows`` is the most that are returned.

    :ivar idle: nothing that is enforced changes, so there is nothing to wait for
    """

    wishes: RemedyOptions
    accepted: Sequence[Accepted]
    enough: Enough
    rows: int
    anonymise: bool
    salt: str = ""
    idle: bool = False


def conclude(audit: Audit, asked: Asked, required: Iterable[RequiredPacket] = ()) -> dict[str, Any]:
    """The result of an audit in plain types.

    :param required: of flows that have to work, seen or not
    """
    rows = audit.rows.ranked()
    remedies = Remedies(audit.candidate, asked.wishes)
    denied, accepted_unseen = _denied(audit, required, in_force(asked.accepted, asked.enough.today), remedies)
    decision = decide(audit, rows, asked.accepted, asked.enough, denied)
    if asked.idle:
        decision = Decision(PASS, ("nothing that is enforced changes",), (), 0, decision.expired)
    reasons = _reasons(decision, remedies)
    found: list[tuple[Row, Optional[Remedy]]] = [
        (row, remedies.of(row) if row.key.group in _WITH_REMEDY else None) for row in rows[: asked.rows]
    ]
    result = {
        "gate": decision.result,
        "reasons": reasons,
        "accepted": decision.accepted + accepted_unseen,
        "expired": list(decision.expired),
        "counts": {name: audit.counts.get(name, 0) for name in (*GROUPS, "allow", "deny")},
        "unseen": denied,
        "nodes": len(audit.coverage.windows),
        "rows": [_row(row, remedy, asked) for row, remedy in found],
        "rows_left_out": max(len(rows) - asked.rows, 0),
        "message": _message(audit, decision, reasons, found, asked),
    }
    return _anonymous(result, asked.salt) if asked.anonymise else result


def _denied(
    audit: Audit, required: Iterable[RequiredPacket], accepted: Sequence[Accepted], remedies: Remedies
) -> tuple[list[str], int]:
    """Required flows that the candidate denies, in words, those of several nodes together.

    :returns: those that are not accepted, each with the rule that would keep it, and how many are
    """
    denied: dict[str, Row] = {}
    known: set[str] = set()
    for packet, row in unseen(required, audit):
        flow, decided = packet.flow, row.then.decided_by
        port = "" if flow.destination_port is None else f"/{flow.destination_port}"
        protocol = PROTOCOL_NAMES.get(flow.protocol, f"protocol {flow.protocol}")
        by = f"{decided.tier}: {decided.name}".strip(": ")
        text = (
            f"would deny what the platform needs: {packet.purpose}, {flow.direction} {protocol}{port} [{by}]"
        )
        if any(entry.covers_unseen(packet) for entry in accepted):
            known.add(text)
            continue
        together = denied.setdefault(text, row)
        together.nodes |= row.nodes
        together.peers.add_net(packet.peers)
    return [
        f"{text} at {len(row.nodes)} nodes -> {remedies.of(row).text}" for text, row in denied.items()
    ], len(known)


def _row(row: Row, remedy: Optional[Remedy], asked: Asked) -> dict[str, Any]:
    return {
        **row.as_dict(asked.wishes.generalise),
        "remedy": remedy.as_dict() if remedy else None,
    }


def _reasons(decision: Decision, remedies: Remedies) -> list[str]:
    """Why the gate does not let it pass, with the rule that would keep each of the rows that fail."""
    failing = len(decision.failing)
    rules = [f" -> {remedies.of(row).text}" for row in decision.failing]
    return [*map("".join, zip(decision.reasons, rules)), *decision.reasons[failing:]]


def _message(
    audit: Audit,
    decision: Decision,
    reasons: Sequence[str],
    found: Sequence[tuple[Row, Optional[Remedy]]],
    asked: Asked,
) -> list[str]:
    """Lines for one screen."""
    counts = audit.counts
    lines = [
        f"{sum(counts.values()):,} distinct flows of {len(audit.coverage.windows)} nodes: "
        f"{counts['allow']:,} allowed as now, {counts['deny']:,} denied as now"
    ]
    for group in GROUPS:
        of_group = [(row, remedy) for row, remedy in found if row.key.group == group]
        if not of_group:
            continue
        lines.append(f"{counts[group]:,} {_HEADINGS[group]}:")
        for row, remedy in of_group[:_SHOWN]:
            decided = row.then.decided_by
            by = f"{decided.tier}: {decided.name}".strip(": ") or row.then.reason_code
            lines.append(f"  {row.text(asked.wishes.generalise)} [{row.then.reason_code}, {by}]")
            if remedy:
                lines.append(f"    -> {remedy.text}")
            elif row.assumptions:
                lines.append(f"    ? not known: {'; '.join(row.assumptions[:_SHOWN_ASSUMPTIONS])}")
        if len(of_group) > _SHOWN:
            lines.append(f"  and {len(of_group) - _SHOWN} more rows")
    lines.append(f"gate: {decision.result}")
    lines.extend(f"  {reason}" for reason in reasons)
    lines.extend(f"  accepted no longer: {entry}" for entry in decision.expired)
    return lines


def _anonymous(value: Any, salt: str) -> Any:
    """The same with every address replaced by a hash: rows can be told apart, and nobody is named."""
    if isinstance(value, str):
        return _ADDRESS.sub(lambda match: _hashed(match.group(0), salt), value)
    if isinstance(value, Mapping):
        return {key: _anonymous(part, salt) for key, part in value.items()}
    if isinstance(value, list):
        return [_anonymous(part, salt) for part in value]
    return value


def _hashed(text: str, salt: str) -> str:
    return f"address-{hashlib.sha256(f'{salt}:{text}'.encode()).hexdigest()[:10]}"
