# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which earlier rules, one alone or several together, leave a rule nothing to match.

A rule is a box of four sides - addresses and ports of both ends - for one family. Of what else it asks, such
as a selector or an ICMP type, an earlier rule must ask no more. Where they are not known exactly, a rule is
taken for larger than it is and those before it for smaller, so that a finding is always right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from ..address import BITS, Net
from ..stored.model import Entity, Ports, Rule
from ..verdict.address_sets import Interval, intervals, merged, without
from ..verdict.rule_match import EVERY_PORT, applies_to_family

Spans = tuple[Interval, ...]
Box = tuple[Spans, Spans, Spans, Spans]

# Boxes left over while many rules are cut out of one; beyond, the rule counts as reachable.
_MOST_PIECES = 256


def shadow(rule: Rule, earlier: Sequence[Rule]) -> Optional[list[Rule]]:
    """The earlier rules that together match all that a rule matches, or None where they do not."""
    found: list[Rule] = []
    for version in BITS:
        if not applies_to_family(rule, version):
            continue
        hiders = _hiders(rule, earlier, version)
        if hiders is None:
            return None
        found.extend(hider for hider in hiders if hider not in found)
    return found or None


def apart(one: Rule, other: Rule) -> bool:
    """Whether no packet can match both rules, by protocol, addresses or ports; False where it is not sure."""
    if None not in (one.protocol, other.protocol) and one.protocol != other.protocol:
        return True
    return all(
        any(
            not _meeting(*sides)
            for sides in zip(_box(one, version, larger=True), _box(other, version, larger=True))
        )
        for version in BITS
        if applies_to_family(one, version) and applies_to_family(other, version)
    )


def lacks_addresses(rule: Rule, side: Entity) -> bool:
    """Whether ``notNets`` of one side leave no address of any family that the rule is for."""
    versions = [version for version in BITS if applies_to_family(rule, version)]
    return bool(side.not_nets and versions) and not any(_addresses(side, version) for version in versions)


def lacks_ports(side: Entity) -> bool:
    """Whether ``notPorts`` of one side leave no port; named ones may be any."""
    return bool(side.not_ports.ranges) and not _ports(side, True, side)


def _meeting(one: Spans, other: Spans) -> bool:
    return any(first <= high and low <= last for first, last in one for low, high in other)


def _hiders(rule: Rule, earlier: Sequence[Rule], version: int) -> Optional[list[Rule]]:
    used: list[Rule] = []
    left = [_box(rule, version, larger=True)]
    for hider in earlier:
        if not applies_to_family(hider, version) or not _asks_no_more(hider, rule):
            continue
        cut = _box(hider, version, larger=False, beside=rule)
        rest = [piece for box in left for piece in _cut_out(box, cut)]
        if len(rest) > _MOST_PIECES:
            return None
        if rest != left:
            used.append(hider)
        left = rest
        if not left:
            return used
    return None


def _asks_no_more(hider: Rule, rule: Rule) -> bool:
    """Whether the rule meets all that the earlier one asks apart from addresses and ports."""
    if hider.protocol not in (None, rule.protocol):
        return False
    excluded = hider.not_protocol
    if excluded not in (None, rule.not_protocol) and rule.protocol in (None, excluded):
        return False
    if hider.icmp is not None and hider.icmp not in (rule.icmp, (rule.icmp[0], None) if rule.icmp else None):
        return False
    if hider.not_icmp is not None and hider.not_icmp != rule.not_icmp:
        return False
    return all(
        _same_peers(one, other)
        for one, other in ((hider.source, rule.source), (hider.destination, rule.destination))
    )


def _same_peers(hider: Entity, side: Entity) -> bool:
    return (
        hider.selector in (None, side.selector)
        and hider.not_selector in (None, side.not_selector)
        and hider.service in ("", side.service)
        and not (hider.domains and hider.domains != side.domains)
    )


def _box(rule: Rule, version: int, larger: bool, beside: Optional[Rule] = None) -> Box:
    """:param beside: the later rule, whose named ports a box of an earlier one may share"""
    other = beside or rule
    return (
        _addresses(rule.source, version),
        _addresses(rule.destination, version),
        _ports(rule.source, larger, other.source),
        _ports(rule.destination, larger, other.destination),
    )


def _addresses(side: Entity, version: int) -> Spans:
    wanted: Spans = ((0, (1 << BITS[version]) - 1),)
    if side.nets:
        wanted = _of_family(side.nets, version)
    return tuple(without(wanted, _of_family(side.not_nets, version)))


def _of_family(nets: Iterable[Net], version: int) -> Spans:
    return intervals(net for net in nets if net.version == version)


def _ports(side: Entity, larger: bool, other: Entity) -> Spans:
    wanted: Spans = (EVERY_PORT,)
    if side.ports and not (larger and side.ports.names) and not _shares(side.ports, other.ports, larger):
        wanted = merged(sorted(side.ports.ranges))
    if side.not_ports.names:
        # It is unknown where such ports are, so nothing is certain.
        return wanted if larger or side.not_ports == other.not_ports else ()
    return tuple(without(wanted, merged(sorted(side.not_ports.ranges))))


def _shares(ports: Ports, other: Ports, larger: bool) -> bool:
    """Whether an earlier rule has all named ports of the later one, which is then measured by those alone."""
    return not larger and bool(other.names) and not other.ranges and set(other.names) <= set(ports.names)


def _cut_out(box: Box, hole: Box) -> Iterable[Box]:
    """What is left of a box, as boxes that do not overlap."""
    for index in range(len(box)):
        outside = tuple(without(box[index], hole[index]))
        if outside:
            yield (*box[:index], outside, *box[index + 1 :])  # type: ignore[misc]
        inside = tuple(without(box[index], outside))
        if not inside:
            return
        box = (*box[:index], inside, *box[index + 1 :])  # type: ignore[assignment]
