# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents ``hostfence.flows/1`` as nodes give them: a node that was taken over may write anything in them.

What cannot be read is counted and named, and never stops an audit: a result that rests on it is inconclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ..bad_input import BadInput
from ..mapping import mapping_of
from ..verdict.flow import Flow, parse_flow
from ..verdict.interface_owner import NodeFacts, parse_nodes

SCHEMA = "hostfence.flows/1"
ROUTE = "route"
_NAME_LENGTH = 64
_COUNT_LIMIT = 2**63
_LATEST = 2**36
"""The last second that counts as a time; it is in the year 4147."""
_STRANGE = re.compile(r"[^A-Za-z0-9 ._:@/+-]")
_STRANGE_IN_TEXT = re.compile(r"[^A-Za-z0-9 ._:@/+,;()\[\]-]")
_TEXT_LENGTH = 200
_MOST_COMPLAINTS = 20


@dataclass(frozen=True)
class Window:
    """When a node was watched, in seconds since 1970; ``gaps`` are ids of what was missed."""

    start: float
    end: float
    gaps: tuple[str, ...]
    not_recorded: int

    @property
    def seconds(self) -> float:
        return max(self.end - self.start, 0.0)


@dataclass(frozen=True)
class ObservedFlow:
    """A distinct flow of one node and how often it was seen.

    ``replied`` is None where nobody knows; ``source_bits`` and ``destination_bits`` are prefix lengths where
    the address stands for a net; ``owner`` is a name for people, harmless to print.
    """

    flow: Flow
    count: int
    replied: Optional[bool]
    interface_assumed: bool
    direction_certain: bool
    older_than_window: bool
    source_bits: Optional[int]
    destination_bits: Optional[int]
    owner: str


class FlowDocument:
    """What one node saw. Its flows are parsed as they are asked for.

    :param raw: the decoded document
    :param place: where it came from, for complaints
    :raises BadInput: it is no such document
    """

    def __init__(self, raw: object, place: str) -> None:
        if not isinstance(raw, Mapping) or raw.get("schema") != SCHEMA:
            found = raw.get("schema") if isinstance(raw, Mapping) else type(raw).__name__
            raise BadInput("schema", found, f"a document of {SCHEMA}, as node_flows returns it", place)
        node = raw.get("node")
        if not isinstance(node, str) or not node:
            raise BadInput("node", node, "the node's name", place)
        flows = raw.get("flows")
        if not isinstance(flows, list):
            raise BadInput("flows", type(flows).__name__, "a list of flows", place)
        self.node = node
        self.window = _window(raw, place)
        self._flows = flows
        self._interfaces = raw.get("interfaces")
        self.unreadable: list[str] = []
        """Why flows cannot be read, of the first few; ``unreadable_flows`` counts all."""
        self.unreadable_flows = 0

    def facts(self) -> Optional[NodeFacts]:
        """The node's interfaces, where the document holds them."""
        if not isinstance(self._interfaces, Mapping):
            return None
        try:
            named = {harmless(name): addresses for name, addresses in self._interfaces.items()}
            return parse_nodes([{"name": self.node, "interfaces": named}])[self.node]
        except BadInput as error:
            self._complain(error)
            return None

    def flows(self) -> Iterator[ObservedFlow]:
        """Each flow that can be read; of the others, why not is added to ``unreadable``."""
        for index, record in enumerate(self._flows):
            try:
                yield _observed(record, self.node, f"flows[{index}]")
            except BadInput as error:
                self._complain(error)

    def _complain(self, error: BadInput) -> None:
        self.unreadable_flows += 1
        if len(self.unreadable) < _MOST_COMPLAINTS:
            text = _STRANGE_IN_TEXT.sub("?", f"{error.field}: {error.remedy}")
            self.unreadable.append(f"{harmless(self.node)}: {text[:_TEXT_LENGTH]}")


def _window(raw: Mapping[str, Any], place: str) -> Window:
    window = raw.get("window")
    if not isinstance(window, Mapping):
        raise BadInput("window", window, "a mapping with start, end and gaps", place)
    gaps = window.get("gaps")
    ids = [
        harmless(gap.get("id")) if isinstance(gap, Mapping) else "unreadable"
        for gap in (gaps if isinstance(gaps, list) else ["unreadable"])
    ]
    if not ids and window.get("complete") is not True:
        ids.append("incomplete")
    start, end = _time(window.get("start"), place), _time(window.get("end"), place)
    return Window(start, end, tuple(ids), _count(raw.get("not_recorded")))


def _time(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput("window", value, "start and end in seconds since 1970", place)
    return float(value) if 0 <= value <= _LATEST else 0.0


def _observed(record: object, node: str, place: str) -> ObservedFlow:
    if not isinstance(record, Mapping) or not isinstance(record.get("flow"), Mapping):
        raise BadInput(place, type(record).__name__, "a mapping with flow and seen")
    flow = parse_flow({**_plain(record["flow"]), "node": node}, f"{place}.flow")
    seen = mapping_of(record.get("seen"))
    replied = seen.get("replied")
    bits = 32 if flow.version == 4 else 128
    return ObservedFlow(
        flow,
        _count(seen.get("count")),
        replied if isinstance(replied, bool) else None,
        seen.get("interface_by") == ROUTE,
        seen.get("direction_certain") is not False,
        seen.get("older_than_window") is True,
        _prefix(seen.get("source_prefix"), bits),
        _prefix(seen.get("destination_prefix"), bits),
        _owner(record.get("owner")),
    )


def _plain(flow: Mapping[str, Any]) -> Mapping[str, Any]:
    """A flow with interfaces' names that are harmless to print, as almost all are."""
    names = [key for key in ("interface", "out_interface") if _STRANGE.search(str(flow.get(key) or ""))]
    return {**flow, **{key: harmless(flow[key]) for key in names}} if names else flow


def _owner(raw: object) -> str:
    if not isinstance(raw, Mapping):
        return ""
    return harmless(raw.get("process") or raw.get("unit"))


def harmless(value: object) -> str:
    """A name from outside, short and without anything that a report or YAML could take for more."""
    return _STRANGE.sub("?", value)[:_NAME_LENGTH] if isinstance(value, str) else ""


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), _COUNT_LIMIT)


def _prefix(value: object, bits: int) -> Optional[int]:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < bits:
        return value
    return None
