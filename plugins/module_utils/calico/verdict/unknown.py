# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to hold of a packet for a rule to match it, as far as the input leaves that open, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ..address import Address
from ..selector import Selector
from ..stored.model import Entity, Ports, Rule
from .address_sets import AddressSets
from .rule_match import Packet, icmp_matches, ports_match


def unknown_of(rule: Rule, packet: Packet, sets: AddressSets, *, nftables: bool) -> Iterator[str]:
    """One clause for each thing that is not known.

    :param nftables: as for :func:`.rule_match.match_rule`
    """
    icmp = icmp_matches(
        rule, packet.version, packet.protocol, packet.icmp_type, packet.icmp_code, nftables=nftables
    )
    if icmp is None:
        yield from _icmp(rule)
    sides = (
        ("source", rule.source, packet.source, packet.source_port),
        ("destination", rule.destination, packet.destination, packet.destination_port),
    )
    for name, side, address, port in sides:
        yield from _peer(side, address, packet.version, sets)
        if ports_match(rule, side, packet, address, port, sets) is None:
            yield from _ports(name, side, port)


def _icmp(rule: Rule) -> Iterator[str]:
    for wanted, verb in ((rule.icmp, "is"), (rule.not_icmp, "is not")):
        if wanted:
            code = "" if wanted[1] is None else f" with code {wanted[1]}"
            yield f"the ICMP type {verb} {wanted[0]}{code}"


def _ports(name: str, side: Entity, port: Optional[int]) -> Iterator[str]:
    which = f"the {name} port" if port is None else f"the {name} port {port}"
    for ports, verb in ((side.ports, "is"), (side.not_ports, "is not")):
        if ports:
            yield f"{which} {verb} {_listed(ports)}"


def _listed(ports: Ports) -> str:
    ranges = (str(first) if first == last else f"{first}:{last}" for first, last in ports.ranges)
    return " or ".join((*ranges, *ports.names))


def _peer(side: Entity, address: Address, version: int, sets: AddressSets) -> Iterator[str]:
    if side.domains:
        yield f"{address} is an address of {' or '.join(side.domains)}"
    if side.service and side.service not in sets.services:
        yield f"{address} belongs to service {side.service}"
    for selector, verb in ((side.selector, "is"), (side.not_selector, "is not")):
        if selector and sets.of_selector(selector, version).holds(address.number) is None:
            yield f"{address} {verb} a pod with {readable(selector)}"


def readable(selector: Selector) -> str:
    """A selector as users write it, where Calico's own prefixes stand for namespaces and service accounts."""
    text = str(selector).replace("pcns.", "namespace label ").replace("pcsa.", "service account label ")
    return text[1:-1] if text.startswith("(") and text.endswith(")") and text.count("(") == 1 else text
