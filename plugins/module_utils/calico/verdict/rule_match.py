# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a rule matches a packet: one rule at a time, and compiled for many rules and many packets.

Source: felix/rules/policy.go, felix/calc/rule_scanner.go and rule_convert.go, felix/labelindex (v3.32.1).

The compiled form (:class:`RuleTable`) numbers all rules of one direction and family in the order in which
Felix asks them. Every property of a packet has a table that turns its value into a set of rules, kept as the
bits of one integer; the bits that are left after joining these sets are the rules that match, and the lowest
bit is the first of them. There are always two such sets: the rules that match for sure, and those that may.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, itemgetter
from typing import Optional, TypeVar

from ..address import BITS, Address, Net, host_net
from ..selector import Selector, parse
from ..stored.model import EndpointPort, Entity, Ports, Rule, Store
from ..stored.reader import inherited_labels
from .flow import ICMP, ICMPV6, WITH_PORTS

# What the kernel picks for a connection that does not ask for a port (net.ipv4.ip_local_port_range).
EPHEMERAL = (32768, 60999)
EVERY_PORT = (1, 65535)
_EVERYTHING = parse("")
_SWEPT_ADDRESSES = 128

Interval = tuple[int, int]
Member = tuple[int, int, int]  # address, protocol, port
Key = TypeVar("Key")


@dataclass(frozen=True)
class Packet:
    """What a rule can see of a packet. A port or ICMP field that is None is unknown."""

    version: int
    protocol: int
    source: Address
    destination: Address
    source_port: Optional[int] = None
    destination_port: Optional[int] = None
    icmp_type: Optional[int] = None
    icmp_code: Optional[int] = None


# Compared by identity: every rule with the same selector has the same one, and thousands of intervals are not
# to be hashed for each rule.
@dataclass(frozen=True, eq=False)
class Members:
    """The addresses of an IP set, as intervals of one family; ``possible`` adds those that may be in it."""

    certain: tuple[Interval, ...]
    possible: tuple[Interval, ...]

    def holds(self, number: int) -> Optional[bool]:
        if _inside(self.certain, number):
            return True
        return None if _inside(self.possible, number) else False


@dataclass(frozen=True)
class _Item:
    """An endpoint (with ``addresses``) or network set (with ``nets``) that a selector can find."""

    labels: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    nets: tuple[Net, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    def spans(self, version: int) -> Iterable[Interval]:
        for address in self.addresses:
            if address.version == version:
                yield address.number, address.number
        for net in self.nets:
            if net.version == version:
                yield net.number, net.number + (1 << BITS[version] - net.prefix) - 1


class AddressSets:
    """Turns the selectors, named ports and services of rules into addresses.

    :param complete: the store knows all pods: an address of the pods' nets that none of them has is no pod's
    """

    def __init__(self, store: Store, complete: bool = False) -> None:
        self.services = store.services
        self._items = list(_items(store, complete))
        self._groups: dict[frozenset[str], list[tuple[_Item, list[_Item]]]] = {}
        self._found: dict[Selector, list[tuple[_Item, bool]]] = {}
        self._members: dict[tuple[Selector, int], Members] = {}
        self._named: dict[tuple[Selector, str, Optional[int], int], tuple[set[Member], set[Member]]] = {}

    def of_selector(self, selector: Selector, version: int) -> Members:
        """The addresses that a selector stands for in one family."""
        key = (selector, version)
        if key not in self._members:
            certain: list[Interval] = []
            possible: list[Interval] = []
            for item, sure in self._matching(selector):
                possible.extend(item.spans(version))
                if sure:
                    certain.extend(item.spans(version))
            sure_spans = merged(sorted(certain))
            all_sure = len(certain) == len(possible)
            self._members[key] = Members(sure_spans, sure_spans if all_sure else merged(sorted(possible)))
        return self._members[key]

    def of_named_port(
        self, name: str, protocol: Optional[int], selector: Selector, version: int
    ) -> tuple[set[Member], set[Member]]:
        """The (address, protocol, port) that a named port stands for: for sure, and possibly."""
        key = (selector, name, protocol, version)
        if key not in self._named:
            certain: set[Member] = set()
            possible: set[Member] = set()
            for item, sure in self._matching(selector):
                for port in item.ports:
                    if port.name != name or protocol not in (None, port.protocol):
                        continue
                    addresses = (address for address in item.addresses if address.version == version)
                    found = {(address.number, port.protocol, port.port) for address in addresses}
                    possible |= found
                    if sure:
                        certain |= found
            self._named[key] = (certain, possible)
        return self._named[key]

    def _matching(self, selector: Selector) -> list[tuple[_Item, bool]]:
        """The items that a selector finds, each with whether that is sure."""
        if selector in self._found:
            return self._found[selector]
        found: list[tuple[_Item, bool]] = []
        for example, alike in self._alike(selector.label_names()):
            answer = selector.decide(example.labels, example.unknown) if example.unknown else None
            if not example.unknown:
                answer = selector.matches(example.labels)
            if answer is not False:
                found.extend((item, answer is True) for item in alike)
        self._found[selector] = found
        return found

    def _alike(self, names: frozenset[str]) -> list[tuple[_Item, list[_Item]]]:
        """Items grouped by what a selector over these labels can tell apart, each with one example."""
        if names not in self._groups:
            order = sorted(names)
            groups: dict[object, tuple[_Item, list[_Item]]] = {}
            for item in self._items:
                key = (tuple(item.labels.get(name) for name in order), item.unknown)
                groups.setdefault(key, (item, []))[1].append(item)
            self._groups[names] = list(groups.values())
        return self._groups[names]


def _items(store: Store, complete: bool) -> Iterable[_Item]:
    for hep in store.host_endpoints:
        labels = inherited_labels(hep.labels, hep.profiles, store.profiles)
        yield _Item(labels, (), hep.expected_ips, (), hep.ports)
    for workload in store.workloads:
        labels = inherited_labels(workload.labels, workload.profiles, store.profiles)
        yield _Item(labels, workload.unknown_labels, workload.addresses, (), workload.ports)
    for network_set in store.network_sets:
        yield _Item(network_set.labels, nets=network_set.nets)
    if store.pod_nets and not complete:
        # An address of the pods' nets that belongs to no pod we were told of may carry any label.
        yield _Item({}, ("",), nets=tuple(_free_nets(store)))


def _free_nets(store: Store) -> Iterable[Net]:
    taken = [host_net(address) for workload in store.workloads for address in workload.addresses]
    for version in BITS:
        whole = intervals(net for net in store.pod_nets if net.version == version)
        holes = intervals(net for net in taken if net.version == version)
        for first, last in without(whole, holes):
            yield from _nets_between(version, first, last)


def _nets_between(version: int, first: int, last: int) -> Iterable[Net]:
    while first <= last:
        aligned = (first & -first).bit_length() - 1 if first else BITS[version]
        size = min(aligned, (last - first + 1).bit_length() - 1)
        yield Net(version, first, BITS[version] - size)
        first += 1 << size


def without(whole: Sequence[Interval], holes: Sequence[Interval]) -> Iterable[Interval]:
    """What is left of sorted intervals once sorted holes are cut out of them."""
    index = 0
    for first, last in whole:
        start = first
        while index < len(holes) and holes[index][0] <= last:
            low, high = holes[index]
            if low > start:
                yield start, low - 1
            start = max(start, high + 1)
            if high >= last:
                break
            index += 1
        if start <= last:
            yield start, last


def intervals(nets: Iterable[Net]) -> tuple[Interval, ...]:
    """Nets of one family as sorted intervals that do not touch."""
    spans = sorted((net.number, net.number + (1 << BITS[net.version] - net.prefix) - 1) for net in nets)
    return merged(spans)


def merged(spans: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sorted intervals, joined where they overlap or touch."""
    result: list[Interval] = []
    start, end = 0, -2  # touches nothing
    for first, last in spans:
        if first > end + 1:
            if end >= 0:
                result.append((start, end))
            start, end = first, last
        elif last > end:
            end = last
    if end >= 0:
        result.append((start, end))
    return tuple(result)


def _inside(spans: tuple[Interval, ...], number: int) -> bool:
    index = bisect_right(spans, (number, 1 << 129)) - 1
    return index >= 0 and number <= spans[index][1]


# -- one rule --------------------------------------------------------------------------------------


def applies_to_family(rule: Rule, version: int) -> bool:
    """Whether Felix renders the rule for a family at all (FilterRuleToIPVersion).

    A list of nets, wanted or unwanted, that holds only nets of the other family takes the rule away.
    """
    if rule.ip_version not in (None, version):
        return False
    for side in (rule.source, rule.destination):
        for nets in (side.nets, side.not_nets):
            if nets and not any(net.version == version for net in nets):
                return False
    return True


def unprogrammable(rule: Rule, nftables: bool) -> str:
    """Why the kernel's tools refuse a rule as Felix renders it; empty where they take it.

    Felix then programs nothing more, and ends and starts again for ever (seen with v3.32.1 and nft 1.0.6).
    """
    if rule.icmp is None and rule.not_icmp is None:
        return ""
    for version, protocol in ((4, ICMP), (6, ICMPV6)):
        if applies_to_family(rule, version) and rule.protocol != protocol:
            name = "ICMP" if version == 4 else "ICMPv6"
            return f"its ICMP fields would need protocol {name} in IPv{version}"
    code = (rule.icmp and rule.icmp[1], rule.not_icmp and rule.not_icmp[1])
    if nftables and code != (None, None):
        return "nft refuses the ICMP code"
    return ""


def match_rule(rule: Rule, packet: Packet, sets: AddressSets, nftables: bool = False) -> Optional[bool]:
    """Whether one rule matches; None where something unknown decides.

    :param nftables: as the nftables data plane renders it, where that differs
    """
    answers = (
        applies_to_family(rule, packet.version),
        _protocol_matches(rule, packet.protocol),
        _icmp_matches(rule, packet.version, packet.protocol, packet.icmp_type, packet.icmp_code, nftables),
        _side_matches(rule, rule.source, packet, packet.source, packet.source_port, sets),
        _side_matches(rule, rule.destination, packet, packet.destination, packet.destination_port, sets),
    )
    return _all(answers)


def _all(answers: Iterable[Optional[bool]]) -> Optional[bool]:
    unknown = False
    for answer in answers:
        if answer is False:
            return False
        unknown = unknown or answer is None
    return None if unknown else True


def _not(answer: Optional[bool]) -> Optional[bool]:
    return None if answer is None else not answer


def _protocol_matches(rule: Rule, protocol: int) -> bool:
    return rule.protocol in (None, protocol) and rule.not_protocol != protocol


def _icmp_matches(
    rule: Rule, version: int, protocol: int, kind: Optional[int], code: Optional[int], nftables: bool
) -> Optional[bool]:
    if rule.icmp is None and rule.not_icmp is None:
        return True
    if protocol != (ICMP if version == 4 else ICMPV6):
        return False
    wanted = True if rule.icmp is None else _same_icmp(rule.icmp, kind, code)
    if rule.not_icmp is None:
        return wanted
    if nftables and rule.not_icmp[1] is not None:
        # Rendered as two separate comparisons there: the rule needs another type and another code.
        refused: Optional[bool] = _all((_differs(rule.not_icmp[0], kind), _differs(rule.not_icmp[1], code)))
        return _all((wanted, refused))
    return _all((wanted, _not(_same_icmp(rule.not_icmp, kind, code))))


def _differs(number: int, found: Optional[int]) -> Optional[bool]:
    return None if found is None else number != found


def _same_icmp(wanted: tuple[int, Optional[int]], kind: Optional[int], code: Optional[int]) -> Optional[bool]:
    same_kind = None if kind is None else kind == wanted[0]
    if wanted[1] is None:
        return same_kind
    return _all((same_kind, None if code is None else code == wanted[1]))


def _side_matches(
    rule: Rule, side: Entity, packet: Packet, address: Address, port: Optional[int], sets: AddressSets
) -> Optional[bool]:
    number, version = address.number, packet.version
    answers: list[Optional[bool]] = []
    own_nets = [net for net in side.nets if net.version == version]
    if own_nets:
        answers.append(any(net.contains(address) for net in own_nets))
    if side.not_nets:
        answers.append(not any(net.contains(address) for net in side.not_nets))
    if side.selector is not None and not _only_named(side):
        answers.append(sets.of_selector(side.selector, version).holds(number))
    if side.not_selector is not None:
        answers.append(_not(sets.of_selector(side.not_selector, version).holds(number)))
    answers.append(_ports_match(rule, side, packet, address, port, sets))
    answers.append(_service_matches(rule, side, packet, address, port, sets))
    if side.domains:
        # Which addresses a name stands for, each node learns from the answers that it sees.
        answers.append(None)
    return _all(answers)


def _only_named(side: Entity) -> bool:
    """With named ports alone the selector already limits the set of the named port."""
    return bool(side.ports.names) and not side.ports.ranges


def _ports_match(
    rule: Rule, side: Entity, packet: Packet, address: Address, port: Optional[int], sets: AddressSets
) -> Optional[bool]:
    answers: list[Optional[bool]] = []
    if side.ports:
        answers.append(_port_listed(rule, side.ports, side, packet, address, port, sets))
    if side.not_ports:
        answers.append(_not(_port_listed(rule, side.not_ports, side, packet, address, port, sets)))
    return _all(answers)


def _port_listed(
    rule: Rule,
    ports: Ports,
    side: Entity,
    packet: Packet,
    address: Address,
    port: Optional[int],
    sets: AddressSets,
) -> Optional[bool]:
    answer = _in_ranges(ports.ranges, port, side is rule.source)
    if answer is True or not ports.names or packet.protocol not in WITH_PORTS:
        return answer
    # Negated named ports, too, are looked up under the side's wanted selector (ruleToParsedRule).
    selector = side.selector or _EVERYTHING
    for name in ports.names:
        certain, possible = sets.of_named_port(name, rule.protocol, selector, packet.version)
        if port is None:
            if any(member[:2] == (address.number, packet.protocol) for member in possible):
                answer = None
            continue
        member = (address.number, packet.protocol, port)
        if member in certain:
            return True
        if member in possible:
            answer = None
    return answer


def _in_ranges(ranges: Sequence[Interval], port: Optional[int], source: bool) -> Optional[bool]:
    if not ranges:
        return False
    first, last = (port, port) if port is not None else EPHEMERAL if source else EVERY_PORT
    spans = merged(sorted(ranges))
    if any(low <= first and last <= high for low, high in spans):
        return True
    return None if any(low <= last and first <= high for low, high in spans) else False


def _service_matches(
    rule: Rule, side: Entity, packet: Packet, address: Address, port: Optional[int], sets: AddressSets
) -> Optional[bool]:
    if not side.service:
        return True
    members = sets.services.get(side.service)
    if members is None:
        return None
    if side is rule.source:
        return any(member.address == address for member in members)
    alike = [item for item in members if item.address == address and item.protocol == packet.protocol]
    if port is None:
        return None if alike else False
    return any(item.port == port for item in alike)


# -- many rules ------------------------------------------------------------------------------------


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
                if _inside(spans, number) is not inside:
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
                if not applies_to_family(rule, self.version) or not _protocol_matches(rule, protocol):
                    continue
                answer = _icmp_matches(rule, self.version, protocol, kind, code, self.nftables)
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
            if side.selector is not None and not _only_named(side):
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
