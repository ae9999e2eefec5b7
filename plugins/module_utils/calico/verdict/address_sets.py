# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The addresses and ports that the selectors, named ports and services of rules stand for.

Source: felix/labelindex, felix/calc/rule_scanner.go (v3.32.1).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ..address import BITS, Address, Net, host_net
from ..selector import Selector
from ..stored.model import EndpointPort, Store
from ..stored.reader import inherited_labels

Interval = tuple[int, int]
Member = tuple[int, int, int]  # address, protocol, port


# Compared by identity: every rule with the same selector has the same one, and thousands of intervals are not
# to be hashed for each rule.
@dataclass(frozen=True, eq=False)
class Members:
    """The addresses of an IP set, as intervals of one family; ``possible`` adds those that may be in it."""

    certain: tuple[Interval, ...]
    possible: tuple[Interval, ...]

    def holds(self, number: int) -> Optional[bool]:
        if is_inside(self.certain, number):
            return True
        return None if is_inside(self.possible, number) else False


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
        # An address of the pods' nets that belongs to no known pod may carry any label.
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


def is_inside(spans: tuple[Interval, ...], number: int) -> bool:
    index = bisect_right(spans, (number, 1 << 129)) - 1
    return index >= 0 and number <= spans[index][1]
