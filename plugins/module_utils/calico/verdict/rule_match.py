# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether one rule matches one packet.

Source: felix/rules/policy.go, felix/calc/rule_scanner.go and rule_convert.go (v3.32.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from ..address import Address
from ..selector import parse
from ..stored.model import Entity, Ports, Rule
from .address_sets import AddressSets, Interval, merged
from .flow import ICMP, ICMPV6, WITH_PORTS

# What the kernel picks for a connection that does not ask for a port (net.ipv4.ip_local_port_range).
EPHEMERAL = (32768, 60999)
EVERY_PORT = (1, 65535)
_EVERYTHING = parse("")


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
        protocol_matches(rule, packet.protocol),
        icmp_matches(rule, packet.version, packet.protocol, packet.icmp_type, packet.icmp_code, nftables),
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


def protocol_matches(rule: Rule, protocol: int) -> bool:
    """Whether a rule wants this protocol."""
    return rule.protocol in (None, protocol) and rule.not_protocol != protocol


def icmp_matches(
    rule: Rule, version: int, protocol: int, kind: Optional[int], code: Optional[int], nftables: bool
) -> Optional[bool]:
    """Whether a rule wants this ICMP type and code; None where they are unknown and decide."""
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
    if side.selector is not None and not only_named(side):
        answers.append(sets.of_selector(side.selector, version).holds(number))
    if side.not_selector is not None:
        answers.append(_not(sets.of_selector(side.not_selector, version).holds(number)))
    answers.append(ports_match(rule, side, packet, address, port, sets))
    answers.append(_service_matches(rule, side, packet, address, port, sets))
    if side.domains:
        # Which addresses a name stands for, each node learns from the answers that it sees.
        answers.append(None)
    return _all(answers)


def only_named(side: Entity) -> bool:
    """With named ports alone the selector already limits the set of the named port."""
    return bool(side.ports.names) and not side.ports.ranges


def ports_match(
    rule: Rule, side: Entity, packet: Packet, address: Address, port: Optional[int], sets: AddressSets
) -> Optional[bool]:
    """Whether a packet has the ports that one side of a rule wants; None where something unknown decides."""
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
