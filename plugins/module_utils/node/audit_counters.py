# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel counted at the rules of audited copies, by the rules of the policies that they stand for.

Felix writes a Calico rule as one or more kernel rules. The last of them that sets a mark is the one where all
of the rule's conditions hold, and its counter is that of the rule. A comment tells which rule it is of which
policy.
A packet is counted when it opens a connection; a SYN that is sent again counts again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..calico.felix.chains import POLICIES
from ..calico.policy.audited import RULE_ANNOTATION, original_name
from . import kernel

_LINE = re.compile(r"\[(\d+):\d+\] -A (\S+) (.*)\Z")
_COMMENT = re.compile(r'--comment (?:"([^"]*)"|(\S+))')
_POLICY = re.compile(r"GlobalNetworkPolicy (\S+) (ingress|egress)\Z")
_CHAIN = re.compile(rf"(?:filter-|mangle-|raw-)?(?:{'|'.join(POLICIES)})")
_PLACE = re.compile(re.escape(RULE_ANNOTATION) + r"=([0-9]{1,6}|end-of-tier)\Z")
_SETS_MARK = re.compile(r"-j MARK --(?:set-xmark|or-mark|set-mark) ")
_NFT_TABLES = (("ip", "calico"), ("ip6", "calico"))


@dataclass(frozen=True)
class KernelRule:
    """A rule of a policy's chain: where it is, what it says of itself, what it counted."""

    table: str
    chain: str
    comments: tuple[str, ...]
    packets: int
    sets_mark: bool


@dataclass(frozen=True)
class Place:
    """A rule of an audited policy; ``rule`` counts from 0, or is ``end-of-tier``."""

    policy: str
    direction: str
    rule: str


def count(rules: Iterable[KernelRule]) -> dict[tuple[str, Place], int]:
    """Packets of each rule, by the kernel's table: (table, place) -> packets."""
    found: dict[tuple[str, Place], int] = {}
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for rule in rules:
        where = (rule.table, rule.chain)
        policy = _policy_of(rule.comments)
        if policy:
            names[where] = policy
        place = _place_of(rule.comments)
        if place and rule.sets_mark and where in names:
            # Later rules of the same place replace earlier ones: those hold only some of the conditions.
            found[rule.table, Place(*names[where], place)] = rule.packets
    return found


def _policy_of(comments: Sequence[str]) -> Optional[tuple[str, str]]:
    for comment in comments:
        match = _POLICY.match(comment)
        name = original_name(match.group(1)) if match else ""
        if match and name:
            return name, match.group(2)
    return None


def _place_of(comments: Sequence[str]) -> str:
    for comment in comments:
        match = _PLACE.match(comment)
        if match:
            return match.group(1)
    return ""


def from_iptables(lines: Iterable[str], table: str) -> Iterator[KernelRule]:
    """Rules of policies' chains in the output of ``iptables-save -c``.

    :param table: names the family and back end; the kernel's table is added
    """
    inside = ""
    for line in lines:
        if line.startswith("*"):
            inside = line[1:].strip()
        match = _LINE.match(line.rstrip("\n"))
        if match and _CHAIN.match(match.group(2)):
            text = match.group(3)
            comments = tuple(quoted or bare for quoted, bare in _COMMENT.findall(text))
            marks = bool(_SETS_MARK.search(text))
            yield KernelRule(f"{table} {inside}", match.group(2), comments, int(match.group(1)), marks)


def from_nftables(elements: Iterable[Mapping[str, Any]], table: str) -> Iterator[KernelRule]:
    """Rules of policies' chains in the output of ``nft -j list table``."""
    for element in elements:
        rule = element.get("rule")
        if not isinstance(rule, Mapping) or not _CHAIN.match(str(rule.get("chain"))):
            continue
        comments = tuple(str(rule.get("comment") or "").split("; "))
        expressions = rule.get("expr") or ()
        counters = [part["counter"] for part in expressions if isinstance(part.get("counter"), Mapping)]
        packets = counters[0].get("packets") if counters else 0
        marks = any("mangle" in part for part in expressions)
        yield KernelRule(table, str(rule["chain"]), comments, int(packets or 0), marks)


def read() -> dict[tuple[str, Place], int]:
    """What this node's kernel counted, in every back end and family.

    :raises NodeError: not root, no tool to read with, or a tool that fails
    """
    found: dict[tuple[str, Place], int] = {}
    for family, backend, command in kernel.iptables_commands():
        lines = kernel.output_lines([*command, "-c"])
        found.update(count(from_iptables(lines, f"ipv{family} {backend}")))
    nft = kernel.find("nft")
    for family_name, name in _NFT_TABLES if nft else ():
        elements = kernel.nftables_elements(str(nft), family_name, name)
        found.update(count(from_nftables(elements, f"{family_name} nftables")))
    return found


def since(
    now: Mapping[tuple[str, Place], int], boot_id: str, previous: Optional[Mapping[str, Any]]
) -> dict[str, Any]:
    """Totals since the first reading. A counter that went back was started again by Felix.

    :param previous: what this returned before, or None for the first reading
    :returns: ``boot_id``, ``readings`` (the kernel's own numbers) and ``totals``, both by a text a rule
    """
    before = previous or {}
    same_boot = before.get("boot_id") == boot_id
    readings = {_text(table, place): packets for (table, place), packets in now.items()}
    last = _numbers(before.get("readings")) if same_boot else {}
    totals = _numbers(before.get("totals"))
    for name, packets in readings.items():
        grown = packets - last.get(name, 0)
        totals[name] = totals.get(name, 0) + (grown if grown >= 0 else packets)
    return {"boot_id": boot_id, "readings": readings, "totals": totals}


def rows(totals: Mapping[str, int]) -> list[dict[str, Any]]:
    """Packets by rule of the original policies, over all tables, in order."""
    summed: dict[Place, int] = {}
    for name, packets in totals.items():
        place = _parsed(name)
        if place:
            summed[place] = summed.get(place, 0) + packets
    ordered = sorted(summed.items(), key=lambda item: (item[0].policy, item[0].direction, _at(item[0].rule)))
    return [
        {
            "policy": place.policy,
            "direction": place.direction,
            "rule": int(place.rule) if place.rule.isdigit() else place.rule,
            "packets": packets,
        }
        for place, packets in ordered
    ]


def _at(rule: str) -> int:
    return int(rule) if rule.isdigit() else 1 << 30


def _text(table: str, place: Place) -> str:
    return json.dumps([table, place.policy, place.direction, place.rule])


def _parsed(name: str) -> Optional[Place]:
    try:
        _table, policy, direction, rule = json.loads(name)
    except ValueError:
        return None
    return Place(str(policy), str(direction), str(rule))


def _numbers(raw: object) -> dict[str, int]:
    if not isinstance(raw, Mapping):
        return {}
    return {str(name): value for name, value in raw.items() if isinstance(value, int)}
