# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of one direction and family, compiled for many packets.

All rules are numbered in the order in which Felix evaluates them. Every property of a packet has a table that
turns its value into a set of rules, kept as the bits of one integer; the bits that are left after joining
these sets are the rules that match, and the lowest bit is the first of them. There are always two such sets:
the rules that match for sure, and those that may.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_, itemgetter
from typing import Optional, TypeVar

from ..stored.model import Entity, Rule
from .address_sets import AddressSets, Interval, Members, intervals, is_inside, merged
from .flow import WITH_PORTS
from .rule_match import (
    EPHEMERAL,
    EVERY_PORT,
    Packet,
    applies_to_family,
    icmp_matches,
    only_named,
    protocol_matches,
)

Key = TypeVar("Key")
_SWEPT_ADDRESSES = 128


class IntervalTable:
    """For a number (an address, a port): which rules are content with it, as the bits of an integer.

    :param swept: demands with more intervals than that are looked up as they come: sweeping over the
        addresses of thousands of nodes would cost more. Such a table cannot be asked for a span.
    """

    def __init__(self, everything: int, swept: int) -> None:
        self.everything = everything
        self._swept = swept
        self._layers: list[tuple[bool, dict[tuple[Interval, ...], int]]] = []
        self._large: list[tuple[bool, tuple[Interval, ...], int]] = []
        self._known: dict[int, int] = {}
        self._starts: list[int] = [0]
        self._rules: list[int] = [everything]
        self._spans: dict[Interval, tuple[int, int]] = {}

    def require(self, wanted: Mapping[tuple[Interval, ...], int], inside: bool) -> None:
        """Add a demand: the rules of a value want the number inside (or outside) the key's intervals."""
        small = {spans: rules for spans, rules in wanted.items() if len(spans) <= self._swept}
        if small:
            self._layers.append((inside, small))
        self._large.extend((inside, spans, rules) for spans, rules in wanted.items() if spans not in small)

    def finish(self) -> None:
        """Sweep once over all bounds. No table can be asked before."""
        events: list[tuple[int, int, int]] = []
        state = []
        for layer, (inside, demands) in enumerate(self._layers):
            concerned = 0
            for spans, rules in demands.items():
                concerned |= rules
                for first, last in spans:
                    events.append((first, layer, rules))
                    events.append((last + 1, layer, rules))
            state.append(self.everything & ~concerned if inside else self.everything)
        events.sort(key=itemgetter(0))
        self._starts, self._rules = [], []
        position = 0
        for start, layer, change in events:
            if start != position:
                self._starts.append(position)
                self._rules.append(reduce(and_, state))
                position = start
            state[layer] ^= change
        self._starts.append(position)
        self._rules.append(reduce(and_, state, self.everything))

    def at(self, number: int) -> int:
        """The rules that are content with this number."""
        if not self._large:
            return self._rules[bisect_right(self._starts, number) - 1]
        if number not in self._known:
            content = self._rules[bisect_right(self._starts, number) - 1]
            for inside, spans, rules in self._large:
                if is_inside(spans, number) is not inside:
                    content &= ~rules
            self._known[number] = content
        return self._known[number]

    def between(self, first: int, last: int) -> tuple[int, int]:
        """The rules content with every number of a span, and those content with at least one."""
        key = (first, last)
        if key not in self._spans:
            low = bisect_right(self._starts, first) - 1
            high = bisect_right(self._starts, last)
            every, some = self.everything, 0
            for rules in self._rules[low:high]:
                every &= rules
                some |= rules
            self._spans[key] = (every, some)
        return self._spans[key]


class RuleTable:
    """All rules of one direction and family, numbered in Felix's order (see the module's text)."""

    def __init__(self, rules: Sequence[Rule], version: int, sets: AddressSets, nftables: bool) -> None:
        self.rules = rules
        self.version = version
        self.sets = sets
        self.nftables = nftables
        self.everything = (1 << len(rules)) - 1
        self._protocols: dict[tuple[int, Optional[int], Optional[int]], tuple[int, int]] = {}
        # Rules with a condition that is not a plain interval are looked at one by one when they come up.
        self.special = _bits(index for index, rule in enumerate(rules) if _is_special(rule))
        self._sources, self._maybe_sources = self._addresses([rule.source for rule in rules])
        self._destinations, self._maybe_destinations = self._addresses([rule.destination for rule in rules])
        self._source_ports = self._ports([rule.source for rule in rules])
        self._destination_ports = self._ports([rule.destination for rule in rules])

    def matching(self, packet: Packet) -> tuple[int, int]:
        """The rules that match for sure, and those that may: special ones are only in the second."""
        certain, possible = self._of_protocol(packet.protocol, packet.icmp_type, packet.icmp_code)
        source, destination = packet.source.number, packet.destination.number
        if packet.protocol in WITH_PORTS:
            every, some = self._of_port(self._source_ports, packet.source_port, EPHEMERAL)
            certain, possible = certain & every, possible & some
            every, some = self._of_port(self._destination_ports, packet.destination_port, EVERY_PORT)
            certain, possible = certain & every, possible & some
        certain &= self._sources.at(source) & self._destinations.at(destination) & ~self.special
        possible &= self._maybe_sources.at(source) & self._maybe_destinations.at(destination)
        return certain, possible

    def address_kind(self, number: int) -> tuple[int, int, int, int]:
        """What rules make of an address as source and as destination; equal kinds are matched alike."""
        return (
            self._sources.at(number),
            self._maybe_sources.at(number),
            self._destinations.at(number),
            self._maybe_destinations.at(number),
        )

    def depends_on_source_port(self) -> int:
        """The rules that are not content with every source port."""
        return self.everything & ~self._source_ports.between(*EVERY_PORT)[0]

    def _of_port(self, table: IntervalTable, port: Optional[int], span: Interval) -> tuple[int, int]:
        if port is None:
            return table.between(*span)
        rules = table.at(port)
        return rules, rules

    def _of_protocol(self, protocol: int, kind: Optional[int], code: Optional[int]) -> tuple[int, int]:
        key = (protocol, kind, code)
        if key not in self._protocols:
            certain = possible = 0
            for index, rule in enumerate(self.rules):
                if not applies_to_family(rule, self.version) or not protocol_matches(rule, protocol):
                    continue
                answer = icmp_matches(rule, self.version, protocol, kind, code, self.nftables)
                if answer is not False:
                    possible |= 1 << index
                if answer:
                    certain |= 1 << index
            self._protocols[key] = (certain, possible)
        return self._protocols[key]

    def _addresses(self, sides: Sequence[Entity]) -> tuple[IntervalTable, IntervalTable]:
        nets: dict[tuple[Interval, ...], int] = {}
        not_nets: dict[tuple[Interval, ...], int] = {}
        selected: dict[Members, int] = {}
        not_selected: dict[Members, int] = {}
        for index, side in enumerate(sides):
            bit = 1 << index
            for given, demands in ((side.nets, nets), (side.not_nets, not_nets)):
                own = [net for net in given if net.version == self.version]
                if own:
                    _add(demands, intervals(own), bit)
            if side.selector is not None and not only_named(side):
                _add(selected, self.sets.of_selector(side.selector, self.version), bit)
            if side.not_selector is not None:
                _add(not_selected, self.sets.of_selector(side.not_selector, self.version), bit)
        certain = self._table(
            _SWEPT_ADDRESSES, nets, not_nets, _pick(selected, "certain"), _pick(not_selected, "possible")
        )
        if all(found.certain == found.possible for found in (*selected, *not_selected)):
            return certain, certain
        return certain, self._table(
            _SWEPT_ADDRESSES, nets, not_nets, _pick(selected, "possible"), _pick(not_selected, "certain")
        )

    def _table(self, swept: int, *demands: Mapping[tuple[Interval, ...], int]) -> IntervalTable:
        table = IntervalTable(self.everything, swept)
        for wanted, inside in zip(demands, (True, False, True, False)):
            table.require(wanted, inside)
        table.finish()
        return table

    def _ports(self, sides: Sequence[Entity]) -> IntervalTable:
        wanted: dict[tuple[Interval, ...], int] = {}
        unwanted: dict[tuple[Interval, ...], int] = {}
        for index, side in enumerate(sides):
            for ports, demands in ((side.ports, wanted), (side.not_ports, unwanted)):
                if ports.ranges and not ports.names:
                    _add(demands, merged(sorted(ports.ranges)), 1 << index)
        return self._table(EVERY_PORT[1], wanted, unwanted)


def _is_special(rule: Rule) -> bool:
    return any(
        side.ports.names or side.not_ports.names or side.service or side.domains
        for side in (rule.source, rule.destination)
    )


def _bits(indexes: Iterable[int]) -> int:
    found = 0
    for index in indexes:
        found |= 1 << index
    return found


def _add(demands: dict[Key, int], key: Key, bit: int) -> None:
    demands[key] = demands.get(key, 0) | bit


def _pick(demands: Mapping[Members, int], which: str) -> dict[tuple[Interval, ...], int]:
    """One of the two readings of IP sets; different sets can have the same members."""
    picked: dict[tuple[Interval, ...], int] = {}
    for members, bits in demands.items():
        _add(picked, members.certain if which == "certain" else members.possible, bits)
    return picked
