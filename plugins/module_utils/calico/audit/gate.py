# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an audit lets a policy be enforced: it passes, fails, or is inconclusive.

Fails: something that works would be denied and is not accepted. Inconclusive: nothing of the kind was found,
but the audit did not see enough to say so. With neither, it passes.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Optional

from ..address import Net, parse_net
from ..bad_input import BadInput
from .audit import Audit
from .duration import in_words
from .observed import Window
from .required import RequiredPacket
from .rows import ESTABLISHED_ONLY, GROUPS, UNKNOWN, WOULD_DENY, Row

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
UNSEEN = "unseen"
"""The group, in audit_accepted, of required flows that would be denied, seen or not."""
_GROUPS = (*GROUPS, UNSEEN)
_FAILING = (WOULD_DENY, ESTABLISHED_ONLY)
_FIELDS = ("group", "direction", "protocol", "port", "peer", "node", "reason", "until")
_NAMED = 3
_SHORTEST_BREAK = 3600.0
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}


@dataclass(frozen=True)
class Accepted:
    """Rows that the operator knows and accepts, why, and until when (that day included)."""

    reason: str
    until: datetime.date
    group: str = ""
    direction: str = ""
    protocol: Optional[int] = None
    port: Optional[int] = None
    peer: Optional[Net] = None
    node: str = ""

    def covers(self, row: Row) -> bool:
        """Whether all of a row is accepted."""
        key = row.key
        port = key.port if key.original_port is None else key.original_port
        return (
            self.group in ("", key.group)
            and self.direction in ("", key.direction)
            and self.protocol in (None, key.protocol)
            and (self.port is None or (self.port == port and not key.several_ports))
            and (not self.node or row.nodes == {self.node})
            and (self.peer is None or _all_within(row, self.peer))
        )

    def covers_unseen(self, packet: RequiredPacket) -> bool:
        """Whether it is accepted that a required flow would be denied."""
        flow = packet.flow
        _address, port = flow.before_translation()
        return (
            self.group in ("", UNSEEN)
            and self.direction in ("", flow.direction)
            and self.protocol in (None, flow.protocol)
            and self.port in (None, port)
            and self.node in ("", flow.node)
            and (self.peer is None or self.peer.covers(packet.peers))
        )


def _all_within(row: Row, peer: Net) -> bool:
    nets = [parse_net(text) for text in row.peers.nets()]
    return all(net is not None and peer.covers(net) for net in nets)


def parse_accepted(raw: Sequence[object]) -> list[Accepted]:
    """Read ``audit_accepted``.

    :raises BadInput: an entry without reason and until, or that accepts everything
    """
    return [_accepted(entry, f"audit_accepted[{index}]") for index, entry in enumerate(raw)]


def _accepted(entry: object, place: str) -> Accepted:
    if not isinstance(entry, Mapping):
        raise BadInput(place, entry, "a mapping with what is accepted, reason and until")
    for key in entry:
        if key not in _FIELDS:
            raise BadInput(f"{place}.{key}", entry[key], f"no such field; there are {', '.join(_FIELDS)}")
    reason, until = entry.get("reason"), entry.get("until")
    if not isinstance(reason, str) or not reason.strip():
        raise BadInput(f"{place}.reason", reason, "why this is accepted, in words")
    try:
        day = datetime.date.fromisoformat(str(until))
    except ValueError:
        raise BadInput(f"{place}.until", until, "the last day that this holds, as YYYY-MM-DD") from None
    if not {"direction", "protocol", "port", "peer", "node"} & entry.keys():
        raise BadInput(place, dict(entry), "what is accepted: direction, protocol, port, peer or node")
    if entry.get("group", "") not in ("", *_GROUPS):
        raise BadInput(f"{place}.group", entry["group"], f"one of {', '.join(_GROUPS)}")
    peer = parse_net(entry["peer"]) if "peer" in entry else None
    if "peer" in entry and peer is None:
        raise BadInput(f"{place}.peer", entry["peer"], "an address or a CIDR")
    return Accepted(
        reason,
        day,
        str(entry.get("group") or ""),
        str(entry.get("direction") or ""),
        _protocol(entry.get("protocol"), place),
        _number(entry.get("port"), f"{place}.port"),
        peer,
        str(entry.get("node") or ""),
    )


def _protocol(value: object, place: str) -> Optional[int]:
    if isinstance(value, str) and value.lower() in _PROTOCOLS:
        return _PROTOCOLS[value.lower()]
    return _number(value, f"{place}.protocol")


def _number(value: object, place: str) -> Optional[int]:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise BadInput(place, value, "a number, or for a protocol its name")
    return value


def in_force(accepted: Iterable[Accepted], today: datetime.date) -> list[Accepted]:
    """The entries that still hold."""
    return [entry for entry in accepted if entry.until >= today]


@dataclass(frozen=True)
class Enough:
    """How much has to have been seen for an audit to pass, and when it is judged (with its time zone).

    :ivar min_window: the shortest time that each node is watched for, in seconds
    :ivar max_age: how long ago a node's last window may have ended, in seconds
    """

    min_window: float
    max_age: float
    now: datetime.datetime

    @property
    def today(self) -> datetime.date:
        return self.now.date()

    def is_old(self, windows: Iterable[Window]) -> bool:
        return max(window.end for window in windows) < self.now.timestamp() - self.max_age


@dataclass(frozen=True)
class Decision:
    """The gate's answer: ``result``, why, the biggest rows that fail, and which acceptances have ended."""

    result: str
    reasons: tuple[str, ...]
    failing: tuple[Row, ...]
    accepted: int
    expired: tuple[str, ...]


def decide(
    audit: Audit,
    rows: Iterable[Row],
    accepted: Sequence[Accepted],
    enough: Enough,
    unseen: Sequence[str] = (),
) -> Decision:
    """Judge an audit.

    :param unseen: required flows that the candidate denies, in words: they fail, seen or not
    """
    valid = in_force(accepted, enough.today)
    expired = tuple(
        f"{entry.reason} (until {entry.until})" for entry in accepted if entry.until < enough.today
    )
    open_rows, covered = [], 0
    for row in rows:
        if any(entry.covers(row) for entry in valid):
            covered += 1
        else:
            open_rows.append(row)
    failing = [row for row in open_rows if row.key.group in _FAILING]
    unknown = [row for row in open_rows if row.key.group == UNKNOWN]
    earlier = [*_earlier(audit, enough.min_window)]
    doubts = [*_doubts(audit, enough), *earlier]
    if unknown:
        doubts.append(
            f"{sum(row.flows for row in unknown)} flows whose verdict depends on something unknown, first: "
            f"{unknown[0].text()}"
        )
    if failing or unseen:
        named = tuple(f"would deny: {row.text()}" for row in failing[:_NAMED])
        reasons = (*named, *unseen[:_NAMED], *earlier)
        return Decision(FAIL, reasons, tuple(failing[:_NAMED]), covered, expired)
    if doubts:
        return Decision(INCONCLUSIVE, tuple(doubts), (), covered, expired)
    return Decision(PASS, (), (), covered, expired)


def _doubts(audit: Audit, enough: Enough) -> Iterable[str]:
    """What the audit did not see."""
    coverage = audit.coverage
    missing = sorted(audit.governed_nodes - coverage.windows.keys())
    if missing:
        yield f"no data of {_some(missing)}"
    if not audit.governed_nodes:
        yield "no node has a host endpoint: policy decides about none"
    selected = audit.selected_nodes()
    if audit.governed_nodes and not selected:
        yield "the candidate selects no host endpoint, so nothing was audited"
    lossy: dict[str, list[str]] = {}
    short = []
    for node, windows in coverage.windows.items():
        for gap in sorted({gap for window in windows for gap in window.gaps}):
            lossy.setdefault(gap, []).append(node)
        if any(window.not_recorded for window in windows) and "set-full" not in lossy:
            lossy.setdefault("not-recorded", []).append(node)
        if _watched(windows) < enough.min_window:
            short.append(node)
    for gap, nodes in lossy.items():
        yield f"{gap} at {_some(sorted(nodes))}"
    if short:
        yield f"a window shorter than {in_words(enough.min_window)} at {_some(sorted(short))}"
    if old := sorted(node for node, windows in coverage.windows.items() if enough.is_old(windows)):
        yield f"a window that ended more than {in_words(enough.max_age)} ago at {_some(old)}"
    if coverage.strangers:
        yield f"data of nodes that the cluster does not have: {_some(sorted(set(coverage.strangers)))}"
    if coverage.unreadable_flows:
        yield f"{coverage.unreadable_flows} flows that cannot be read, first: {coverage.unreadable[0]}"


def _earlier(audit: Audit, min_window: float) -> Iterable[str]:
    """Which nodes were not watched in the latest audit: what is there of them was left by one before.

    Audits are told apart by a break in which no node was watched, of an hour at least.
    """
    windows = audit.coverage.windows
    begun, until = 0.0, float("-inf")
    for window in sorted(chain.from_iterable(windows.values()), key=lambda one: one.start):
        if window.start > until + max(min_window, _SHORTEST_BREAK):
            begun = window.start
        until = max(until, window.end)
    last = {node: max(window.end for window in of_node) for node, of_node in windows.items()}
    left = sorted(node for node, end in last.items() if end < begun)
    if left:
        end = datetime.datetime.fromtimestamp(max(last[node] for node in left), datetime.timezone.utc)
        yield f"flows of an earlier audit, which ended by {end:%Y-%m-%d %H:%M} UTC, at {_some(left)}"


def _watched(windows: Iterable[Window]) -> float:
    """Seconds that at least one of the windows covers."""
    total, until = 0.0, float("-inf")
    for window in sorted(windows, key=lambda one: one.start):
        total += max(window.end - max(window.start, until), 0.0)
        until = max(until, window.end)
    return total


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more nodes"
