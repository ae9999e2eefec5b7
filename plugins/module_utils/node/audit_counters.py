# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel counted at the rules of audited copies, by the rules of the policies that they stand for.

Felix writes a Calico rule as one or more kernel rules. The last of them that sets a mark is the one where all
of the rule's conditions hold, and its counter is that of the rule. A comment tells which rule it is; of which
policy, the chain's name or the comment of its first rule.
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
# Felix of Calico 3.29 names no kind of policy.
_POLICY = re.compile(r"(?:^| )(?:GlobalNetworkPolicy|Policy) (\S+) (ingress|egress)(?: |\Z)")
_CHAIN = re.compile(rf"(?:filter-|mangle-|raw-)?(?:{'|'.join(POLICIES)})")
_NAMED_CHAIN = re.compile(_CHAIN.pattern + r"[^/]+/(\S+)\Z")
_INGRESS = POLICIES[0]
_PLACE = re.compile(rf"(?:^| ){re.escape(RULE_ANNOTATION)}=([0-9]{{1,6}}|end-of-tier)(?: |\Z)")
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
class CountedRule:
    """A rule of an audited policy; ``rule`` counts from 0, or is ``end-of-tier``."""

    policy: str
    direction: str
    rule: str


def count(rules: Iterable[KernelRule]) -> dict[tuple[str, CountedRule], int]:
    """Packets of each rule, by the kernel's table: (table, place) -> packets."""
    found: dict[tuple[str, CountedRule], int] = {}
    names: dict[tuple[str, str], tuple[str, str]] = {}
    for rule in rules:
        where = (rule.table, rule.chain)
        policy = _policy_of(rule)
        if policy:
            names[where] = policy
        place = _place_of(rule.comments)
        if place and rule.sets_mark and where in names:
            # Later rules of the same place replace earlier ones: those hold only some of the conditions.
            found[rule.table, CountedRule(*names[where], place)] = rule.packets
    return found


def _policy_of(rule: KernelRule) -> Optional[tuple[str, str]]:
    """Original policy and direction of a copy's rule, by its chain's name, or its comment if that is a hash.

    Felix cuts comments off in nftables, and writes a hash for a long name of a chain in iptables.
    """
    chain = _NAMED_CHAIN.match(rule.chain)
    if chain:
        name, direction = chain.group(1), "ingress" if _INGRESS in rule.chain[: chain.start(1)] else "egress"
    else:
        said = _POLICY.search(" ".join(rule.comments))
        name, direction = said.groups() if said else ("", "")
    original = original_name(name)
    return (original, direction) if original else None


def _place_of(comments: Sequence[str]) -> str:
    match = _PLACE.search(" ".join(comments))
    return match.group(1) if match else ""


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
    """Rules of policies' chains in the output of ``nft -j list table``.

    :param table: names the family; Felix keeps what are several tables of iptables in one, which are told
        apart
    """
    for element in elements:
        rule = element.get("rule")
        chain = str(rule.get("chain")) if isinstance(rule, Mapping) else ""
        if not isinstance(rule, Mapping) or not _CHAIN.match(chain):
            continue
        comments = tuple(str(rule.get("comment") or "").split("; "))
        expressions = rule.get("expr") or ()
        counters = [part["counter"] for part in expressions if isinstance(part.get("counter"), Mapping)]
        packets = counters[0].get("packets") if counters else 0
        marks = any("mangle" in part for part in expressions)
        yield KernelRule(f"{table} {chain.partition('-')[0]}", chain, comments, int(packets or 0), marks)


def read() -> dict[tuple[str, CountedRule], int]:
    """What this node's kernel counted, in every back end and family.

    :raises NodeError: not root, no tool to read with, or a tool that fails
    """
    found: dict[tuple[str, CountedRule], int] = {}
    for family, backend, command in kernel.iptables_commands():
        lines = kernel.output_lines([*command, "-c"])
        found.update(count(from_iptables(lines, f"ipv{family} {backend}")))
    nft = kernel.find("nft")
    for family_name, name in _NFT_TABLES if nft else ():
        elements = kernel.nftables_elements(str(nft), family_name, name)
        found.update(count(from_nftables(elements, f"{family_name} nftables")))
    return found


def since(
    now: Mapping[tuple[str, CountedRule], int], boot_id: str, previous: Optional[Mapping[str, Any]]
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
    summed: dict[CountedRule, int] = {}
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


def _text(table: str, place: CountedRule) -> str:
    return json.dumps([table, place.policy, place.direction, place.rule])


def _parsed(name: str) -> Optional[CountedRule]:
    try:
        _table, policy, direction, rule = json.loads(name)
    except ValueError:
        return None
    return CountedRule(str(policy), str(direction), str(rule))


def _numbers(raw: object) -> dict[str, int]:
    if not isinstance(raw, Mapping):
        return {}
    return {str(name): value for name, value in raw.items() if isinstance(value, int)}
