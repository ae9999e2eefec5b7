# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Damage to recorded dumps, one thing at a time: what a failsafe check must find.

A mutation is a label and the damaged dump: lines of iptables-save, or elements of ``nft -j``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

TABLES = ("raw", "mangle", "filter", "nat")
HASH = re.compile(r'-m comment --comment "cali:[A-Za-z0-9_-]{16}" ')

Lines = list[str]
Elements = list[dict]


def iptables(lines: Lines) -> Iterator[tuple[str, Lines]]:
    table = ""
    for at, line in enumerate(lines):
        if line.startswith("*"):
            table = line[1:].strip()
        where = f"{table}:{at + 1}"
        if line.startswith("-A cali-failsafe-"):
            yield from _failsafe_line(lines, at, where)
        if re.search(r" -[jg] cali-", line):
            yield f"jump removed {line.split()[1]} {where}", _without(lines, at)
        if line.startswith("-A cali-") and re.search(r"-j cali-failsafe-", line):
            chain = line.split()[1]
            policy = f"-A {chain} -j cali-pi-gnp/x\n"
            yield f"unsigned policy jump before the failsafe jump {where}", [*lines[:at], policy, *lines[at:]]
            signed = f'-A {chain} -m comment --comment "cali:AAAAAAAAAAAAAAAA" -j cali-pi-gnp/x\n'
            yield f"signed policy jump before the failsafe jump {where}", [*lines[:at], signed, *lines[at:]]
            later = next(
                (
                    i
                    for i in range(at + 1, len(lines))
                    if " -j cali-p" in lines[i] or " -j cali-g" in lines[i]
                ),
                None,
            )
            if later is not None and lines[later].split()[1] == chain:
                yield f"policy jump moved before the failsafe jump {where}", _moved(lines, later, at)
        if line.startswith(":cali-"):
            name = line[1:].split()[0]
            yield f"chain {name} renamed {where}", _renamed(lines, at, name)
        if line.startswith(":INPUT") and table == "filter":
            first = next(i for i in range(at, len(lines)) if lines[i].startswith("-A INPUT"))
            yield (
                f"foreign DROP first in INPUT {where}",
                [*lines[:first], "-A INPUT -j DROP\n", *lines[first:]],
            )
            narrow = "-A INPUT -p tcp -m tcp --dport 22 -j DROP\n"
            yield f"foreign DROP of tcp/22 first in INPUT {where}", [*lines[:first], narrow, *lines[first:]]
            hidden = '-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j DROP\n'
            yield f"foreign DROP signed as Calico's {where}", [*lines[:first], hidden, *lines[first:]]
        if line.startswith(":OUTPUT") and table == "filter":
            first = next(i for i in range(at, len(lines)) if lines[i].startswith("-A OUTPUT"))
            yield (
                f"foreign DROP first in OUTPUT {where}",
                [*lines[:first], "-A OUTPUT -j DROP\n", *lines[first:]],
            )
        for chain in ("cali-INPUT", "cali-failsafe-in", "cali-from-host-endpoint"):
            if line.startswith(f"-A {chain} ") and not lines[at - 1].startswith(f"-A {chain} "):
                yield (
                    f"foreign DROP first in {chain} {where}",
                    [*lines[:at], f"-A {chain} -j DROP\n", *lines[at:]],
                )


def _failsafe_line(lines: Lines, at: int, where: str) -> Iterator[tuple[str, Lines]]:
    line = lines[at]
    chain = line.split()[1]
    yield f"failsafe removed {where}", _without(lines, at)
    yield f"failsafe doubled {where}", [*lines[:at], line, *lines[at:]]
    siblings = [i for i, other in enumerate(lines) if other.startswith(f"-A {chain} ") and abs(i - at) <= 40]
    block = _block(siblings, at)
    if len(block) > 1:
        target = block[0] if at != block[0] else block[-1]
        yield f"failsafe moved {where}", _moved(lines, at, target)
    for label, pattern, replacement in (
        ("port", r"(--[sd]ports) \d+", r"\1 1"),
        ("protocol", r"-p (tcp|udp)", "-p sctp"),
        ("verdict", r"-j ACCEPT", "-j RETURN"),
        ("verdict to drop", r"-j ACCEPT", "-j DROP"),
        ("source", r"(-A \S+)", r"\1 -s 192.0.2.1/32"),
        ("limit", r" -j ACCEPT", " -m limit --limit 1/sec -j ACCEPT"),
        ("hash", r'"cali:.', '"cali:~'),
        ("hash of another rule", r'"cali:[^"]{16}"', '"cali:AAAAAAAAAAAAAAAA"'),
    ):
        yield (
            f"failsafe edited ({label}) {where}",
            [*lines[:at], re.sub(pattern, replacement, line, count=1), *lines[at + 1 :]],
        )
    yield f"failsafe edited (unsigned) {where}", [*lines[:at], HASH.sub("", line), *lines[at + 1 :]]


def _block(siblings: list[int], at: int) -> list[int]:
    low = high = siblings.index(at)
    while low and siblings[low - 1] == siblings[low] - 1:
        low -= 1
    while high + 1 < len(siblings) and siblings[high + 1] == siblings[high] + 1:
        high += 1
    return siblings[low : high + 1]


def _without(lines: Lines, at: int) -> Lines:
    return [*lines[:at], *lines[at + 1 :]]


def _moved(lines: Lines, at: int, to: int) -> Lines:
    rest = _without(lines, at)
    rest.insert(to, lines[at])
    return rest


def _renamed(lines: Lines, at: int, name: str) -> Lines:
    """The chain under another name, wherever its table names it."""
    start = max(i for i in range(at) if lines[i].startswith("*"))
    end = next(i for i in range(at, len(lines)) if lines[i].startswith("COMMIT"))
    pattern = re.compile(rf"(?<![\w/-]){re.escape(name)}(?![\w/-])")
    return [
        *lines[:start],
        *(pattern.sub(f"{name[:20]}-renamed", line) for line in lines[start:end]),
        *lines[end:],
    ]


def nftables(elements: Elements) -> Iterator[tuple[str, Elements]]:
    for at, element in enumerate(elements):
        rule = element.get("rule")
        chain = element.get("chain")
        if chain and chain["table"] == "calico" and "hook" not in chain:
            yield f"chain {chain['family']} {chain['name']} renamed", _chain_renamed(elements, chain)
        if not rule or rule["table"] != "calico" or rule["family"] not in ("ip", "ip6"):
            continue
        where = f"{rule['family']} {rule['chain']}:{at}"
        verdicts = rule["expr"][-1]
        if "failsafe-" in rule["chain"]:
            yield from _failsafe_element(elements, at, where)
        if "jump" in verdicts or "goto" in verdicts:
            yield f"jump removed {where}", _without(elements, at)
            target = next(iter(verdicts.values()))["target"]
            if "failsafe-" in target:
                policy = _changed(
                    element,
                    expr=[{"jump": {"target": f"{target.split('-')[0]}-cali-pi-gnp/x"}}],
                    comment=None,
                )
                yield (
                    f"policy jump before the failsafe jump {where}",
                    [*elements[:at], policy, *elements[at:]],
                )
        if rule["chain"] in ("filter-INPUT", "filter-cali-INPUT", "filter-cali-failsafe-in", "filter-OUTPUT"):
            before = elements[at - 1].get("rule", {})
            if (before.get("family"), before.get("chain")) != (rule["family"], rule["chain"]):
                drop = _changed(element, expr=[{"drop": None}], comment=None)
                yield f"foreign DROP first {where}", [*elements[:at], drop, *elements[at:]]
    for family in ("ip", "ip6"):
        hooked = [
            {"chain": {"family": family, "table": "evil", "name": "in", "type": "filter", "hook": "input",
                       "prio": -400, "policy": "accept"}},
            {"rule": {"family": family, "table": "evil", "chain": "in", "expr": [{"drop": None}]}},
        ]  # fmt: skip
        yield f"a table of its own that drops {family}", [*elements, *hooked]
        yield f"family {family} left out", [item for item in elements if _family(item) != family]


def _family(element: dict) -> str:
    return str(next(iter(element.values())).get("family", "")) if element else ""


def _failsafe_element(elements: Elements, at: int, where: str) -> Iterator[tuple[str, Elements]]:
    element = elements[at]
    rule = element["rule"]
    yield f"failsafe removed {where}", _without(elements, at)
    yield f"failsafe doubled {where}", [*elements[:at], element, *elements[at:]]
    block = [
        i
        for i, other in enumerate(elements)
        if other.get("rule", {}).get("chain") == rule["chain"] and other["rule"]["family"] == rule["family"]
    ]
    if len(block) > 1:
        yield f"failsafe moved {where}", _moved(elements, at, block[0] if at != block[0] else block[-1])
    port = copy.deepcopy(rule["expr"])
    ports = next(
        item["match"]
        for item in port
        if item.get("match", {}).get("left", {}).get("payload", {}).get("field") in ("dport", "sport")
    )
    ports["right"] = 1
    yield f"failsafe edited (port) {where}", _with(elements, at, expr=port)
    for verdict in ("return", "drop"):
        yield (
            f"failsafe edited ({verdict}) {where}",
            _with(elements, at, expr=[*rule["expr"][:-1], {verdict: None}]),
        )
    net = {
        "match": {
            "op": "==",
            "left": {"payload": {"protocol": rule["family"], "field": "saddr"}},
            "right": "192.0.2.1",
        }
    }
    yield f"failsafe edited (source) {where}", _with(elements, at, expr=[net, *rule["expr"]])
    limit = {"limit": {"rate": 1, "burst": 1, "per": "second"}}
    yield f"failsafe edited (limit) {where}", _with(elements, at, expr=[limit, *rule["expr"]])
    yield f"failsafe edited (unsigned) {where}", _with(elements, at, comment=None)
    yield f"failsafe edited (hash) {where}", _with(elements, at, comment="cali:AAAAAAAAAAAAAAAA;")


def _changed(element: dict, **fields: object) -> dict:
    rule = {**element["rule"], **fields}
    return {"rule": {name: value for name, value in rule.items() if value is not None}}


def _with(elements: Elements, at: int, **fields: object) -> Elements:
    return [*elements[:at], _changed(elements[at], **fields), *elements[at + 1 :]]


def _chain_renamed(elements: Elements, chain: dict) -> Elements:
    old, new = chain["name"], f"{chain['name']}-renamed"

    def retarget(item: dict) -> dict:
        verdict = next((verdict for verdict in ("jump", "goto") if verdict in item), "")
        return {verdict: {"target": new}} if verdict and item[verdict]["target"] == old else item

    def rename(element: dict) -> dict:
        kind, body = next(iter(element.items()))
        if kind not in ("rule", "chain") or (body.get("family"), body.get("table")) != (
            chain["family"],
            "calico",
        ):
            return element
        body = {**body, **{key: new for key in ("name", "chain") if body.get(key) == old}}
        if "expr" in body:
            body["expr"] = [retarget(item) for item in body["expr"]]
        return {kind: body}

    return [rename(element) for element in elements]
